"""Values of many releases, to render the chart with."""

from __future__ import annotations

from typing import Any

from tests.support.chart import merged

WORKERS = ("poller", "processor", "relay")
# More than one or two pollers make sense with many mailboxes only.
MANY = {"mailboxConfigMaps": ["tenants"]}
HPA = {"autoscaling": {"type": "hpa"}}
KEDA = {"autoscaling": {"type": "keda"}}
PROMETHEUS = {"address": "http://prometheus:9090"}
PEERS = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
CONTAINER: dict[str, Any] = {
    "image": "images.example.org/proxy:1",
    "securityContext": {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    },
    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
}  # fmt: skip
# Something of every section of the configuration.
EVERYTHING: dict[str, Any] = {"config": {
    "store": {
        "url": "s3://invoices/mail", "endpoint": "https://s3.example.org:9000", "path_style": True,
        "access_key": "secret:store/access", "secret_key": "secret:store/secret",
    },
    "ledger": "secret:ledger/url",
    "broker": "amqps://mq.example.org",
    "audit": {"enabled": True, "key": "secret:audit/key.pem"},
    "sinks": [
        {"type": "webhook", "url": "https://erp.example:8443/hook",
         "secret": "secret:hook/key", "ca": "secret:hook/ca.crt"},
        {"type": "sqs", "url": "https://sqs.eu-central-1.amazonaws.com/123456789012/mail"},
        {"type": "sns", "topic": "arn:aws:sns:eu-central-1:123456789012:mail"},
        {"type": "amqp", "url": "amqps://mq.example.org", "queue": "mail",
         "username": "u", "password": "secret:mq/password"},
        {"type": "kafka", "brokers": "k1.example.org:9093,k2.example.org:9094", "topic": "mail"},
    ],
    "defaults": {"interval": "2m", "policy": {"delete_after": "30d"}, "limits": {"message_bytes": 157_286_400}},
    "mailboxes": [
        {"id": "plain", "host": "pop.example.org", "tls": "starttls",
         "auth": {"type": "password", "username": "a", "password": "secret:mailboxes/plain"}},
        {"id": "own-port", "host": "pop.example.net", "port": 2995, "tls_minimum": 1.0, "labels": {"key": "x"},
         "client_certificate": {"certificate": "secret:client/tls.crt", "key": "secret:client/tls.key"},
         "auth": {"type": "scram-sha-256", "username": "b", "password": "secret:own/password"}},
        {"id": "m365", "provider": "microsoft365", "auth": {
            "type": "oauth2", "username": "c@example.com", "tenant": "example.com", "client_id": "5f",
            "client_secret": "secret:m365/secret"}},
        {"id": "behind", "host": "pop.example.info", "proxy": {"url": "socks5://proxy.example:1080"},
         "auth": {"type": "password", "username": "d", "password": "env:BEHIND"}},
    ],
    "parse": {"parts": 500},
    "scan": "tcp://clamd:3310",
    "metrics": {"mailbox_label": False},
}}  # fmt: skip
TOKEN = {"name": "erp", "sha256": "0" * 64}
CONSOLE: dict[str, Any] = {"console": {"enabled": True}, "config": {"console": {"tokens": [TOKEN]}}}
RULES = [{"name": "all", "keep": "10y"}]
JOBS: dict[str, Any] = {
    "retention": {"schedule": "30 2 * * *"}, "audit": {"schedule": "30 1 * * *"},
    "config": {"retention": RULES, "audit": {"enabled": True, "key": "secret:audit/key.pem"}},
}  # fmt: skip
COMBINATIONS: dict[str, dict[str, Any]] = {
    "small": {},
    "names": {"nameOverride": "mail", "fullnameOverride": "haul"},
    "image": {"image": {"registry": "images.example.org/", "tag": "edge", "pullSecrets": ["one", "two"]}},
    "digest": {"image": {"digest": f"sha256:{'0' * 64}"}},
    "global": {"global": {"imageRegistry": "mirror.example.org", "imagePullSecrets": [{"name": "pull"}], "other": 1}},
    "replicas": {**MANY, **{name: {"replicas": 3} for name in ("poller", "processor", "relay", "scheduler")}},
    "hpa": {**MANY, **dict.fromkeys(WORKERS, HPA)},
    "hpa metrics": {**MANY, "poller": merged(HPA, {"autoscaling": {"metrics": [
        {"type": "External", "external": {"metric": {"name": "lag"}, "target": {"type": "Value", "value": "30"}}}
    ]}})},
    "keda": {**MANY, "prometheus": PROMETHEUS, **dict.fromkeys(WORKERS, KEDA)},
    "keda with login": {**MANY, "prometheus": {**PROMETHEUS, "authentication": "thanos"}, "poller": KEDA},
    "keda alone": {
        **MANY, "prometheus": PROMETHEUS, "poller": merged(KEDA, {"autoscaling": {"fallbackReplicas": 0}}),
    },
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
    "alerts": {"metrics": {
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "alertLabels": {"team": "mail"},
                           "alerts": {"MailhaulPollersBehind": {"threshold": 900, "for": "20m", "severity": "page"}}},
        "dashboards": {"enabled": True},
    }},
    "IPv6": {"metrics": {"address": "::", "port": 9000}},
    "mailboxes elsewhere": {"mailboxConfigMaps": ["tenants"], "mailboxSecrets": ["passwords"]},
    "trial": {"config": {"ledger": ""}, "valkey": {"enabled": True}, "networkPolicy": {"enabled": True}},
    "trial that forgets": {"config": {"ledger": ""}, "valkey": {"enabled": True, "persistence": {"enabled": False}}},
    "trial elsewhere": {"config": {"ledger": ""}, "valkey": {
        "enabled": True, "podSecurityContext": None, "persistence": {"storageClass": "-"},
        "image": {"digest": f"sha256:{'1' * 64}"},
    }},
    "network": {"networkPolicy": {"enabled": True}, **EVERYTHING},
    "network with peers": {**EVERYTHING, "networkPolicy": {
        "enabled": True,
        **dict.fromkeys(("scrapers", "dns", "ledger", "store", "mail", "sinks"), PEERS),
        "extraEgress": [{"ports": [{"protocol": "TCP", "port": 80}]}],
    }},
    "settings": merged(merged(CONSOLE, JOBS), {
        "namespaceOverride": "elsewhere",
        "commonLabels": {"team": "mail", "app.kubernetes.io/name": "ignored"},
        "commonAnnotations": {"example.org/owner": "mail"},
        "updateStrategy": {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 1}},
        "revisionHistoryLimit": 1,
        "service": {"annotations": {"example.org/scrape": "yes"}, "ipFamilyPolicy": "PreferDualStack",
                    "ipFamilies": ["IPv6", "IPv4"]},
        "console": {"service": {"annotations": {"example.org/login": "yes"}}, "persistence": {"enabled": True}},
        "verticalAutoscaling": {"processes": [*WORKERS, "scheduler", "exporter", "console"],
                                "minAllowed": {"memory": "256Mi"}, "maxAllowed": {"cpu": 2}},
        "pods": {
            "labels": {"example.org/tier": "back"}, "annotations": {"example.org/note": "read"},
            "schedulerName": "binpack", "runtimeClassName": "gvisor", "priorityClassName": "high",
            "dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.10"]},
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["pop.example.org"]}],
            "nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "mail", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "securityContext": {"runAsUser": 10001, "runAsGroup": 10001},
            "env": [{"name": "AWS_REGION", "value": "eu-central-1"}], "envFrom": [{"secretRef": {"name": "aws"}}],
            "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
            "initContainers": [{**CONTAINER, "name": "wait"}],
            "sidecars": [{**CONTAINER, "name": "proxy"}],
            "extraArgs": ["--help"],
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        },
        "relay": {"pod": {"extraArgs": ["--verbose"]}},
    }),
    "settings of a trial": {
        "config": {"ledger": ""}, "valkey": {"enabled": True, "persistence": {"enabled": False}},
        "commonLabels": {"team": "mail"}, "commonAnnotations": {"example.org/owner": "mail"},
        "service": {"ipFamilyPolicy": "SingleStack"}, "pods": {"tolerations": [{"operator": "Exists"}]},
    },
    "network behind services": {**EVERYTHING, "networkPolicy": {
        "enabled": True,
        "store": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "minio"}},
                   "podSelector": {"matchLabels": {"v1.min.io/tenant": "mail"}}}],
        "targetPorts": {"store": [9000], "sinks": ["https"]},
    }},
    "everything": EVERYTHING,
    "folders": {"config": {"store": "file:///mail/store", "sinks": [{"type": "jsonl", "path": "/mail/events.jsonl"}]},
        "pods": {"volumes": [{"name": "mail", "persistentVolumeClaim": {"claimName": "mail"}}],
                 "volumeMounts": [{"name": "mail", "mountPath": "/mail"}]}},
    "console": CONSOLE,
    "console for others": {
        "console": {"enabled": True, "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "console-tls",
                                                 "annotations": {"example.org/login": "yes"}}},
        "config": {"console": {
            "hosts": ["mail.example.org", "mail.example.net"], "port": 8000, "database": "secret:catalog/url",
            "proxy": {"header": "X-Forwarded-User", "addresses": ["10.0.0.0/8"], "users": [{"name": "*"}]}}},
        "networkPolicy": {"enabled": True, "console": PEERS},
    },
    "console behind a gateway": {
        "console": {"enabled": True, "httpRoute": {
            "enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}]}},
        "config": {"console": {"hosts": ["mail.example.org"], "tokens": [TOKEN]}},
    },
    "console with a volume": merged(CONSOLE, {"console": {"persistence": {"enabled": True, "storageClass": "-"}}}),
    "jobs": {**JOBS, "networkPolicy": {"enabled": True}},
    "jobs otherwise": merged(merged(EVERYTHING, JOBS), {
        "retention": {"schedule": "@weekly", "timeZone": "Europe/Berlin", "suspend": True, "pod": {
            "extraArgs": ["--json"], "nodeSelector": {"disk": "slow"}}},
        "networkPolicy": {"enabled": True},
    }),
    "no test": {"test": {"enabled": False}},
    "more objects": {"extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}, "data": {}},
    ]},
}  # fmt: skip
