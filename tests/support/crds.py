"""The definitions of operators' objects, which tests/install-crds fetches, as strict schemas."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.servers import missing

FOLDER = Path(__file__).parents[2] / ".tools" / "crds"
KINDS = {
    "Application": "argoproj.io/v1alpha1",
    "ExternalSecret": "external-secrets.io/v1",
    "GitRepository": "source.toolkit.fluxcd.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "HelmRelease": "helm.toolkit.fluxcd.io/v2",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "VerticalPodAutoscaler": "autoscaling.k8s.io/v1",
}

Schema = dict[str, Any]


@cache
def definition(kind: str) -> Schema:
    """Return the CustomResourceDefinition of a kind; skip the test, or fail in CI, if it is not there."""
    path = FOLDER / f"{kind}.yaml"
    if not path.exists():
        missing("", "definitions of operators' objects", "tests/install-crds")
    documents = yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader)
    found: Schema = next(one for one in documents if one and one["spec"]["names"]["kind"] == kind)
    return found


@cache
def schema_of(api_version: str, kind: str) -> Schema | None:
    """Return the strict JSON schema of an operator's kind; None if the kind is not among `KINDS`."""
    if KINDS.get(kind) != api_version:
        return None
    version = api_version.rpartition("/")[2]
    (served,) = [one for one in definition(kind)["spec"]["versions"] if one["name"] == version and one["served"]]
    schema = _strict(served["schema"]["openAPIV3Schema"])
    # What every object has; the server validates it itself.
    schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    return schema


def _strict(node: Schema) -> Schema:
    """Return a schema that refuses fields it does not name, as the server does if it is asked to."""
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"], **{key: node[key] for key in ("pattern",) if key in node}}
    made = {key: value for key, value in node.items() if key not in {"format", "nullable", "description"}}
    if node.get("nullable"):
        made["type"] = [node["type"], "null"]
    if "properties" in node:
        made["properties"] = {name: _strict(value) for name, value in node["properties"].items()}
        if not node.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            made[key] = _strict(node[key])
    return made
