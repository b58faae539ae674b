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
    metadata = _object({"name": _TEXT, "namespace": _TEXT, "labels": _LABEL_VALUES}, {"annotations": _LABEL_VALUES})
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
    ("keda.sh/v1alpha1", "ScaledObject"): _resource("keda.sh/v1alpha1", "ScaledObject", _SCALED),
}
