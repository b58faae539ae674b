"""Values of many releases, to render the chart with."""

from __future__ import annotations

from typing import Any

from tests.support.chart import merged

WORKERS = ("poller", "processor", "relay")
HPA = {"autoscaling": {"type": "hpa"}}
KEDA = {"autoscaling": {"type": "keda"}}
PROMETHEUS = {"address": "http://prometheus:9090"}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "small": {},
    "names": {"nameOverride": "mail", "fullnameOverride": "haul"},
    "image": {"image": {"registry": "images.example.org/", "tag": "edge", "pullSecrets": ["one", "two"]}},
    "digest": {"image": {"digest": f"sha256:{'0' * 64}"}},
    "global": {"global": {"imageRegistry": "mirror.example.org", "imagePullSecrets": [{"name": "pull"}], "other": 1}},
    "replicas": {name: {"replicas": 3} for name in ("poller", "processor", "relay", "scheduler")},
    "hpa": dict.fromkeys(WORKERS, HPA),
    "hpa metrics": {"poller": merged(HPA, {"autoscaling": {"metrics": [
        {"type": "External", "external": {"metric": {"name": "lag"}, "target": {"type": "Value", "value": "30"}}}
    ]}})},
    "keda": {"prometheus": PROMETHEUS, **dict.fromkeys(WORKERS, KEDA)},
    "keda with login": {"prometheus": {**PROMETHEUS, "authentication": "thanos"}, "poller": KEDA},
    "keda alone": {"prometheus": PROMETHEUS, "poller": merged(KEDA, {"autoscaling": {"fallbackReplicas": 0}})},
    "no budgets": {name: {"replicas": 2, "pdb": {"enabled": False}} for name in ("poller", "scheduler")},
    "pods": {"pods": {
        "labels": {"azure.workload.identity/use": "true"},
        "annotations": {"example.org/team": "mail"},
        "priorityClassName": "high",
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "mail", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "env": [{"name": "AWS_REGION", "value": "eu-central-1"}],
        "envFrom": [{"secretRef": {"name": "aws"}}],
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
    }},
    "one pod otherwise": {"relay": {"pod": {"priorityClassName": "low", "topologySpreadConstraints": []}}},
    "account": {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mail"}}},
    "account of yours": {"serviceAccount": {"create": False, "name": "mail"}},
    "monitors": {"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "relabelings": [{"action": "labeldrop", "regex": "pod"}],
    }}},
    "IPv6": {"metrics": {"address": "::", "port": 9000}},
    "mailboxes elsewhere": {"mailboxConfigMaps": ["tenants"], "mailboxSecrets": ["passwords"]},
    "more objects": {"extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}, "data": {}},
    ]},
}  # fmt: skip
