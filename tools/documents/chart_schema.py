"""The chart's values, read from `values.yaml`: its schema and its README are made from them, by `make docs`.

What stands under `config` is Mailhaul's own configuration, so its schema is Mailhaul's too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ingest.config import config_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHART = Path(__file__).parents[2] / "helm" / "mailhaul"

Schema = dict[str, Any]

_PATTERNS: dict[str, str | None] = {
    # Helm would quote what does not fit, which may be a password. The chart's own checks do not.
    r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$": None,
    # Go's regular expressions do not look ahead.
    r"^(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s?)?$": r"^\d[\d.dhms]*$",
    r"^(?=\d)(\d{1,3}y)?(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s?)?$": r"^\d[\d.ydhms]*$",
}
# Words for people, which Helm does not show.
_NOT_NEEDED = {"title", "default", "discriminator", "format"}
_PROCESSES = ("poller", "processor", "relay", "scheduler", "exporter", "console")

_NAME: Schema = {"type": "string", "pattern": r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"}
_NAMES: Schema = {"type": "array", "items": {**_NAME, "minLength": 1}, "uniqueItems": True}
_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_FREE: Schema = {"type": "object"}
_FREE_LIST: Schema = {"type": "array", "items": _FREE}
_QUANTITY: Schema = {"type": ["string", "number"], "pattern": r"^[0-9.]+([eE][0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}
_AMOUNTS: Schema = {"type": "object", "additionalProperties": _QUANTITY}
_RESOURCES: Schema = {
    "type": "object",
    "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS, "claims": _FREE_LIST},
    "additionalProperties": False,
}
_STRATEGY: Schema = {
    "type": "object",
    "properties": {"type": {"enum": ["RollingUpdate", "Recreate"]}, "rollingUpdate": {"type": ["object", "null"]}},
    "additionalProperties": False,
}
_PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65_535}
_CONNECTIONS = ("ledger", "store", "mail", "sinks", "scan", "tracing", "identityProvider")
_TARGET_PORTS: Schema = {
    "type": "array",
    "items": {"anyOf": [_PORT, {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$"}]},
}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SOME: Schema = {"type": "integer", "minimum": 1}
_ALERT: Schema = {
    "type": "object",
    "properties": {
        "enabled": {"type": "boolean"},
        "threshold": {"type": "number", "minimum": 0},
        "for": {"type": "string", "pattern": "^([0-9]+(s|m|h|d))+$"},
        "severity": {"type": "string", "minLength": 1},
    },
    "additionalProperties": False,
}
_POD: Schema = {"$ref": "#/$defs/pods"}

# By the end of a value's path; the longest that fits holds.
_SPECIAL: dict[str, Schema] = {
    "global": _FREE,
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.repository": {"type": "string", "minLength": 1},
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "pullSecrets": _NAMES,
    "mailboxConfigMaps": _NAMES,
    "mailboxSecrets": _NAMES,
    "resources": _RESOURCES,
    "scratchSize": _QUANTITY,
    "progressDeadlineSeconds": _SOME,
    "schedule": {
        "type": "string",
        "pattern": r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|\S+( \S+){4})?$",
    },
    "startingDeadlineSeconds": {"type": "integer", "minimum": 10},
    "activeDeadlineSeconds": _SOME,
    "persistence.size": _QUANTITY,
    "podSecurityContext": {"type": ["object", "null"]},
    "autoscaling.type": {"enum": ["none", "hpa", "keda"]},
    "autoscaling.metrics": _FREE_LIST,
    "autoscaling.targetCPU": _SOME,
    "minReplicas": _SOME,
    "maxReplicas": _SOME,
    "replicas": _COUNT,
    "perReplica": _SOME,
    "autoscaling.age": _SOME,
    "pdb.maxUnavailable": {"type": ["integer", "string"], "pattern": "^[0-9]+%$"},
    "pdb.minAvailable": {"type": ["integer", "string", "null"], "pattern": "^[0-9]+%$"},
    "pod": _POD,
    "pods": _POD,
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "commonLabels": _TEXTS,
    "commonAnnotations": _TEXTS,
    "namespaceOverride": _NAME,
    "updateStrategy": _STRATEGY,
    "ipFamilyPolicy": {"enum": ["", "SingleStack", "PreferDualStack", "RequireDualStack"]},
    "ipFamilies": {"type": "array", "items": {"enum": ["IPv4", "IPv6"]}, "uniqueItems": True, "maxItems": 2},
    "verticalAutoscaling.processes": {"type": "array", "items": {"enum": list(_PROCESSES)}, "uniqueItems": True},
    "updateMode": {"enum": ["Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto"]},
    "controlledResources": {"type": "array", "items": {"enum": ["cpu", "memory"]}, "minItems": 1},
    "minAllowed": _AMOUNTS,
    "maxAllowed": _AMOUNTS,
    "mailPorts": {"type": "array", "items": _PORT},
    "ledgerPorts": {"type": "array", "items": _PORT},
    "databasePorts": {"type": "array", "items": _PORT},
    **{
        f"targetPorts.{kind}": _TARGET_PORTS
        for kind in ("ledger", "store", "mail", "sinks", "scan", "tracing", "identityProvider")
    },
    "metrics.port": _PORT,
    "service.port": _PORT,
    "tlsSecret": _NAME,
    "interval": {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"},
    "scrapeTimeout": {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"},
    "alertLabels": _TEXTS,
    "prometheusRule.alerts": {"$ref": "#/$defs/alerts"},
    "prometheus.address": {"type": "string", "pattern": "^(https?://.+)?$"},
    "extraObjects": {"type": "array", "items": {"type": ["object", "string"]}},
}
_POD_VALUES: dict[str, Schema] = {
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "priorityClassName": _NAME,
    "schedulerName": _NAME,
    "runtimeClassName": _NAME,
    "dnsPolicy": {"enum": ["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]},
    "dnsConfig": _FREE,
    "hostAliases": _FREE_LIST,
    "initContainers": _FREE_LIST,
    "sidecars": _FREE_LIST,
    "extraArgs": {"type": "array", "items": {"type": "string"}},
    "lifecycle": _FREE,
    "nodeSelector": _TEXTS,
    "tolerations": _FREE_LIST,
    "affinity": _FREE,
    "topologySpreadConstraints": _FREE_LIST,
    "securityContext": _FREE,
    "containerSecurityContext": _FREE,
    "env": _FREE_LIST,
    "envFrom": _FREE_LIST,
    "volumes": _FREE_LIST,
    "volumeMounts": _FREE_LIST,
}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the chart.

    Attributes:
        path: from the root.
        default: as it stands in `values.yaml`.
        meaning: the comment above it, or above the same value of the poller; may be empty.
        section: whether there are values in it that stand by themselves.
    """

    path: tuple[str, ...]
    default: Any
    meaning: str
    section: bool

    @property
    def name(self) -> str:
        """As people write it: `poller.pdb.enabled`."""
        return ".".join(self.path)


def chart_values() -> list[Value]:
    """Every value and every section, in the order of the file."""
    text = (CHART / "values.yaml").read_text()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return list(_read(root, (), text.splitlines()))


def _read(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        steps = (*path, key.value)
        block = isinstance(value, yaml.MappingNode) and not value.flow_style
        default = yaml.safe_load(yaml.serialize(value))
        yield Value(steps, default, _comment(lines, key.start_mark.line), section=block)
        if block:
            yield from _read(value, steps, lines)


def _comment(lines: list[str], line: int) -> str:
    above: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        above.insert(0, lines[line].lstrip().removeprefix("#").strip())
    return " ".join(above)


def _schema(alerts: Sequence[str]) -> Schema:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    own = _own_configuration()
    properties = {name: _of(value, name) for name, value in values.items() if name != "config"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            **properties,
            "config": own["config"],
            # A parent chart's `condition` and `tags` arrive here too.
            "enabled": {"type": "boolean"},
            "tags": _FREE,
        },
        "additionalProperties": False,
        "$defs": {
            "pods": {"type": "object", "properties": _POD_VALUES, "additionalProperties": False},
            "alerts": {"type": "object", "properties": dict.fromkeys(alerts, _ALERT), "additionalProperties": False},
            **own["definitions"],
        },
    }


def _of(default: Any, path: str) -> Schema:
    """What may stand in place of a default."""
    fitting = [ending for ending in _SPECIAL if path == ending or path.endswith(f".{ending}")]
    if fitting:
        return _SPECIAL[max(fitting, key=len)]
    if isinstance(default, dict):
        properties = {name: _of(value, f"{path}.{name}") for name, value in default.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}
    if isinstance(default, bool):
        return {"type": "boolean"}
    if isinstance(default, int):
        return _COUNT
    return {"type": "string"} if isinstance(default, str) else _FREE_LIST


def _own_configuration() -> dict[str, Schema]:
    """Mailhaul's schema for `config`, and its definitions."""
    own = _adapted(config_schema())
    definitions, properties = own.pop("$defs"), own["properties"]
    # The chart says whether these are there, in better words; and where metrics are, it knows itself.
    del own["required"], own["$schema"]
    properties["ledger"] = {"type": "string"}
    definitions["MetricsSection"]["properties"] = {"mailbox_label": {"type": "boolean"}}
    del definitions["LedgerSection"]
    return {"config": own, "definitions": definitions}


def _adapted(node: Any) -> Any:
    if isinstance(node, list):
        return [_adapted(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "discriminator" in node:
        return _by_type(node["discriminator"]["mapping"])
    result: Schema = {}
    for name, value in node.items():
        if name == "properties":
            result[name] = _adapted_properties(value)
        elif name == "pattern":
            result[name] = _PATTERNS.get(value, value)
        elif name not in _NOT_NEEDED:
            result[name] = _adapted(value)
    return {name: value for name, value in result.items() if value is not None}


def _adapted_properties(properties: Schema) -> Schema:
    """Their names are not ours to leave out."""
    return {name: _adapted(value) for name, value in properties.items()}


def _by_type(mapping: dict[str, str]) -> Schema:
    """One of several kinds, so that what is wrong is said of the kind that was written alone."""
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": sorted(mapping)}},
        "allOf": [
            {"if": {"properties": {"type": {"const": kind}}}, "then": {"$ref": where}}
            for kind, where in mapping.items()
        ],
    }


def schema_text(alerts: Sequence[str]) -> str:
    """`values.schema.json`.

    Args:
        alerts: names of those that may be set.
    """
    return json.dumps(_schema(alerts), indent=1) + "\n"
