"""The Helm chart, rendered by a real Helm (its SDK, in this process), and what its objects are checked against."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import helm_python
import yaml
from helm_python import Chart
from jsonschema import Draft202012Validator
from kubernetes_validate import utils as kubernetes  # type: ignore[import-untyped]  # it has no types
from referencing import Registry, Resource

from tests.support.crds import schema_of
from tools.documents.chart_schema import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NAME, NAMESPACE = "demo", "mail"
FULL_NAME = "demo-mailhaul"
PROCESSES = ("poller", "processor", "relay", "scheduler", "exporter")
# With those that run on request.
ALL_PROCESSES = (*PROCESSES, "console")
# The oldest version that Chart.yaml admits, the newest, and versions in between.
KUBERNETES = ("1.27", "1.29", "1.32", "1.34", "1.37")
MAILBOX = {
    "id": "invoices",
    "host": "pop.example.org",
    "auth": {"type": "password", "username": "invoices", "password": "secret:mailboxes/invoices"},
}

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of one release, and its notes."""

    objects: Sequence[Object]
    notes: str

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """The object of a kind whose name ends with this."""
        found = [item for item in self.of(kind) if item["metadata"]["name"].endswith(name)]
        assert len(found) == 1, f"{len(found)} {kind} {name}: {[o['metadata']['name'] for o in self.of(kind)]}"
        return found[0]

    def pod(self, process: str) -> Object:
        """The pod's specification of a process."""
        spec: Object = self.one("Deployment", f"-{process}")["spec"]["template"]["spec"]
        return spec

    def container(self, process: str) -> Object:
        """The container of a process."""
        container: Object = self.pod(process)["containers"][0]
        return container


def values(**over: Any) -> Object:
    """The least values for a release, with the given ones merged over them."""
    enough = {
        "config": {
            "store": "s3://invoices/mail",
            "ledger": "redis://ledger:6379/0",
            "mailboxes": [MAILBOX],
        }
    }
    return merged(enough, over)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Object:
    """Merge `above` into `below`: mappings key by key, other values are replaced."""
    result = dict(below)
    for key, value in above.items():
        present = result.get(key)
        result[key] = merged(present, value) if isinstance(present, dict) and isinstance(value, dict) else value
    return result


@cache
def chart() -> Chart:
    """The chart, loaded once."""
    return Chart.load(CHART)


def render(release_values: Mapping[str, Any], *, name: str = NAME, namespace: str = NAMESPACE) -> Rendered:
    """Render a release.

    Raises:
        HelmError: the values do not fit the schema, or contradict each other.
    """
    files = _rendered(json.dumps(release_values), name, namespace)
    notes = "".join(text for path, text in files.items() if path.endswith("NOTES.txt"))
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    # libyaml's loader takes a tenth of the time of PyYAML's own.
    items = [item for text in texts for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]
    return Rendered(items, notes)


@cache
def _rendered(release_values: str, name: str, namespace: str) -> dict[str, str]:
    return chart().render(json.loads(release_values), name=name, namespace=namespace)


def refusal(release_values: Mapping[str, Any]) -> str:
    """The error that Helm reports for values that it must reject."""
    try:
        render(release_values)
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError("these values were taken")


def validate(item: Object, version: str) -> None:
    """Check an object against the strict schema of a Kubernetes version, or of the operator that it is for.

    Raises:
        ValidationError: the object does not match.
        FileNotFoundError: there is no schema of its kind.
    """
    validator = _of_operator(item["apiVersion"], item["kind"]) or _of_kubernetes(
        item["apiVersion"], item["kind"], version
    )
    validator.validate(item)


@cache
def _of_operator(api_version: str, kind: str) -> Draft202012Validator | None:
    own = schema_of(api_version, kind)
    return None if own is None else Draft202012Validator(own)


@cache
def _of_kubernetes(api_version: str, kind: str, version: str) -> Draft202012Validator:
    """The validator of `kubernetes_validate.validate(strict=True)`, which reads a megabyte again for each object."""
    group, _, short = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], short) if part)
    schema = kubernetes.schema_contents(f"{_folder(version)}/{name}.json", version)
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    contents = kubernetes.schema_contents(f"{_folder(version)}/_definitions.json", version)
    return Resource.from_contents(contents) @ Registry()


def _folder(version: str) -> str:
    return f"kubernetes-json-schema/v{version}.0-local-strict"


def pod_specs(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod specification, with the name of the object that contains it."""
    for item in objects:
        name = f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] == "Pod":
            yield name, item["spec"]
        elif item["kind"] == "CronJob":
            yield name, item["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif "template" in item.get("spec", {}):
            pod = item["spec"]["template"]["spec"]
            claims = [
                {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "one-of-its-own"}}
                for claim in item["spec"].get("volumeClaimTemplates", [])
            ]
            yield name, {**pod, "volumes": [*pod.get("volumes", []), *claims]}
