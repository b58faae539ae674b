"""Schemas of the custom resources that the chart makes: those fields of theirs that it may use, and no others.

Written after the operators' published types (prometheus-operator monitoring.coreos.com/v1, KEDA keda.sh/v1alpha1).
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h|d|w|y))+$"}
_LABEL_VALUES: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _list(of: Schema, least: int = 1) -> Schema:
    return {"type": "array", "items": of, "minItems": least}


def _resource(api_version: str, kind: str, spec: Schema) -> Schema:
    # That the chart's objects have labels, another test sees to.
    metadata = _object(
        {"name": _TEXT, "namespace": _TEXT},
        {"labels": _LABEL_VALUES, "annotations": _LABEL_VALUES, "finalizers": _list(_TEXT)},
    )
    return _object(
        {"apiVersion": {"const": api_version}, "kind": {"const": kind}, "metadata": metadata, "spec": spec}
    )


_SELECTOR = _object(
    {"matchLabels": _LABEL_VALUES},
    {
        "matchExpressions": _list(
            _object(
                {"key": _TEXT, "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]}},
                {"values": _list(_TEXT)},
            )
        )
    },
)
_RELABELING = _object(
    {},
    {
        "sourceLabels": _list(_TEXT),
        "separator": {"type": "string"},
        "targetLabel": _TEXT,
        "regex": _TEXT,
        "modulus": {"type": "integer"},
        "replacement": {"type": "string"},
        "action": {"type": "string"},
    },
)
_ENDPOINT = _object(
    {"port": _TEXT, "interval": _DURATION, "scrapeTimeout": _DURATION},
    {"relabelings": _list(_RELABELING), "metricRelabelings": _list(_RELABELING)},
)
_RULE: Schema = {
    **_object(
        {"expr": _TEXT},
        {
            "alert": _TEXT,
            "record": {"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"},
            "for": _DURATION,
            "keep_firing_for": _DURATION,
            "labels": _LABEL_VALUES,
            "annotations": _LABEL_VALUES,
        },
    ),
    "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],
}
_TRIGGER = _object(
    {
        "type": {"const": "prometheus"},
        "metricType": {"enum": ["AverageValue", "Value"]},
        "metadata": _object(
            {"serverAddress": _TEXT, "query": _TEXT, "threshold": _TEXT}, {"ignoreNullValues": _TEXT}
        ),
    },
    {"authenticationRef": _object({"name": _TEXT})},
)
_AMOUNTS: Schema = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_UPDATE_MODES = ["Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto"]
_VERTICAL = _object(
    {
        "targetRef": _object({"apiVersion": _TEXT, "kind": _TEXT, "name": _TEXT}),
        "updatePolicy": _object({"updateMode": {"enum": _UPDATE_MODES}}),
        "resourcePolicy": _object(
            {
                "containerPolicies": _list(
                    _object(
                        {"containerName": _TEXT, "controlledResources": _list({"enum": ["cpu", "memory"]})},
                        {"minAllowed": _AMOUNTS, "maxAllowed": _AMOUNTS},
                    )
                )
            }
        ),
    }
)
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SCALED = _object(
    {
        "scaleTargetRef": _object({"name": _TEXT}),
        "minReplicaCount": _COUNT,
        "maxReplicaCount": _COUNT,
        "triggers": _list(_TRIGGER),
    },
    {
        "fallback": _object({"failureThreshold": _COUNT, "replicas": _COUNT}),
        "advanced": _object({"horizontalPodAutoscalerConfig": _object({"behavior": {"type": "object"}})}),
    },
)
_SOURCE = _object(
    {"repoURL": _TEXT, "targetRevision": _TEXT},
    {"path": _TEXT, "ref": _TEXT, "helm": _object({}, {"releaseName": _TEXT, "valueFiles": _list(_TEXT)})},
)
_BACKOFF = _object({"duration": _DURATION, "factor": _COUNT, "maxDuration": _DURATION})
_APPLICATION = _object(
    {
        "project": _TEXT,
        "destination": _object({"server": _TEXT, "namespace": _TEXT}),
        "sources": _list(_SOURCE),
        "syncPolicy": _object(
            {
                "automated": _object({"prune": {"type": "boolean"}, "selfHeal": {"type": "boolean"}}),
                "syncOptions": _list({"type": "string", "pattern": "^[A-Za-z]+=[a-z]+$"}),
            },
            {
                "managedNamespaceMetadata": _object({"labels": _LABEL_VALUES}),
                "retry": _object({"limit": _COUNT, "backoff": _BACKOFF}),
            },
        ),
    }
)
_REMEDIATION = _object(
    {"retries": _COUNT},
    {"strategy": {"enum": ["rollback", "uninstall"]}, "remediateLastFailure": {"type": "boolean"}},
)
_RELEASE = _object(
    {
        "interval": _DURATION,
        "chart": _object(
            {
                "spec": _object(
                    {
                        "chart": _TEXT,
                        "sourceRef": _object(
                            {"kind": {"enum": ["HelmRepository", "GitRepository", "Bucket"]}, "name": _TEXT}
                        ),
                    }
                )
            }
        ),
    },
    {
        "releaseName": _TEXT,
        "timeout": _DURATION,
        "install": _object({"remediation": _REMEDIATION}),
        "upgrade": _object({"remediation": _REMEDIATION}),
        "test": _object({"enable": {"type": "boolean"}}, {"timeout": _DURATION}),
        "valuesFrom": _list(_object({"kind": {"enum": ["ConfigMap", "Secret"]}, "name": _TEXT})),
    },
)
_REPOSITORY = _object({"url": _TEXT, "interval": _DURATION, "ref": _object({}, {"tag": _TEXT, "branch": _TEXT})})
_ROUTE = _object(
    {
        "parentRefs": _list(_object({"name": _TEXT}, {"namespace": _TEXT, "sectionName": _TEXT})),
        "hostnames": _list(_TEXT),
        "rules": _list(
            _object(
                {
                    "matches": _list(_object({"path": _object({"type": {"const": "PathPrefix"}, "value": _TEXT})})),
                    "backendRefs": _list(_object({"name": _TEXT, "port": {"type": "integer"}})),
                }
            )
        ),
    }
)
_EXTERNAL = _object(
    {
        "refreshInterval": _DURATION,
        "secretStoreRef": _object({"kind": {"enum": ["SecretStore", "ClusterSecretStore"]}, "name": _TEXT}),
        "target": _object({"name": _TEXT}),
    },
    {
        "data": _list(_object({"secretKey": _TEXT, "remoteRef": _object({"key": _TEXT}, {"property": _TEXT})})),
        "dataFrom": _list(
            _object(
                {"find": _object({"path": _TEXT, "name": _object({"regexp": _TEXT})})},
                {"rewrite": _list(_object({"regexp": _object({"source": _TEXT, "target": _TEXT})}))},
            )
        ),
    },
)
_MONITORING = "monitoring.coreos.com/v1"

SCHEMAS: dict[tuple[str, str], Schema] = {
    (_MONITORING, "PodMonitor"): _resource(
        _MONITORING, "PodMonitor", _object({"selector": _SELECTOR, "podMetricsEndpoints": _list(_ENDPOINT)})
    ),
    (_MONITORING, "ServiceMonitor"): _resource(
        _MONITORING, "ServiceMonitor", _object({"selector": _SELECTOR, "endpoints": _list(_ENDPOINT)})
    ),
    (_MONITORING, "PrometheusRule"): _resource(
        _MONITORING,
        "PrometheusRule",
        _object({"groups": _list(_object({"name": _TEXT, "rules": _list(_RULE)}, {"interval": _DURATION}))}),
    ),
    ("autoscaling.k8s.io/v1", "VerticalPodAutoscaler"): _resource(
        "autoscaling.k8s.io/v1", "VerticalPodAutoscaler", _VERTICAL
    ),
    **{
        (version, kind): _resource(version, kind, spec)
        for version, kind, spec in (
            ("argoproj.io/v1alpha1", "Application", _APPLICATION),
            ("gateway.networking.k8s.io/v1", "HTTPRoute", _ROUTE),
            ("helm.toolkit.fluxcd.io/v2", "HelmRelease", _RELEASE),
            ("source.toolkit.fluxcd.io/v1", "GitRepository", _REPOSITORY),
            ("external-secrets.io/v1", "ExternalSecret", _EXTERNAL),
        )
    },
    ("keda.sh/v1alpha1", "ScaledObject"): _resource("keda.sh/v1alpha1", "ScaledObject", _SCALED),
}
