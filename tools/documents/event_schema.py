"""JSON Schemas of event and manifest, generated from the models that write them.

Additional fields are allowed, because minor versions add them; what this version always writes is required.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from pydantic.json_schema import GenerateJsonSchema

from ingest.domain.cloudevents import Envelope
from ingest.domain.events import EventType
from ingest.domain.manifest import SCHEMA, Manifest

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OBJECT: Schema = {"$ref": "#/$defs/ObjectRef"}
_TEXT: Schema = {"type": "string"}
_NULL: Schema = {"type": "null"}
_KEY: Schema = {"pattern": "^[0-9a-f]{32}$"}
# Of any minor version.
_SCHEMA = rf"^{re.escape(SCHEMA.rpartition('.')[0])}(\.[0-9]+)?$"
# Constraints that the models do not express.
_ENVELOPE: dict[str, Schema] = {
    "id": {"pattern": "^[0-9a-f]{32}(-[0-9]+)?$"},
    "subject": _KEY,
    "source": {"pattern": "^/mailboxes/[a-z0-9][a-z0-9._-]{0,63}$"},
}
_MANIFEST: dict[str, Schema] = {"schema": {"pattern": _SCHEMA}, "message_key": _KEY}
_TRACEPARENT: Schema = {
    "description": "CloudEvents' distributed tracing extension (W3C Trace Context); only if tracing is enabled",
    "type": "string",
    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of event, and the constraints on its manifest.

    Attributes:
        name: the name of its definition in the schema.
        manifest: constraints on fields of the manifest.
    """

    type: EventType
    name: str
    meaning: str
    manifest: dict[str, Schema]


def _status(*values: str) -> Schema:
    return {"properties": {"status": {"enum": list(values)}}}


KINDS = (
    Kind(
        EventType.RECEIVED,
        "MessageReceived",
        "A message is stored, with all of its parts",
        {"raw": _OBJECT, "manifest": _TEXT, "parse": _status("complete", "partial")},
    ),
    Kind(
        EventType.OVERSIZE,
        "MessageOversize",
        "A message exceeds the size limit: only its header was fetched",
        {"raw": _NULL, "manifest": _TEXT, "parse": _status("oversize")},
    ),
    Kind(
        EventType.FAILED,
        "MessageFailed",
        "Processing of a message failed; what was fetched of it is stored",
        {"manifest": _NULL, "parse": _status("failed")},
    ),
    Kind(
        EventType.UPDATED,
        "MessageUpdated",
        "A message was read again, and the result is another one; `update` says what changed",
        {"manifest": _TEXT, "update": {"type": "object"}},
    ),
)


class _Written(GenerateJsonSchema):
    """The schema of written documents: every field is present, so none has a default; titles would repeat names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001 - as above
        return True


def manifest_schema() -> Schema:
    """Return the schema of `message.json` and of an event's `data`."""
    schema = _schema_of(Manifest)
    _refine(schema, _MANIFEST)
    title = {"$schema": _DIALECT, "title": "Mailhaul manifest", "description": _first_line(Manifest)}
    return {**title, **{name: value for name, value in schema.items() if name not in title}}


def event_schema() -> Schema:
    """Return the schema of an event of any type; each type is a definition of its own."""
    envelope = _schema_of(Envelope)
    definitions = envelope.pop("$defs")
    _refine(envelope, _ENVELOPE)
    _refine(definitions["Manifest"], _MANIFEST)
    envelope["properties"]["traceparent"] = _TRACEPARENT
    return {
        "$schema": _DIALECT,
        "title": "Mailhaul event",
        "description": "CloudEvents 1.0 in JSON, at most 60 KiB, around a manifest; a repeated event has the same id",
        "oneOf": [{"$ref": f"#/$defs/{kind.name}"} for kind in KINDS],
        "$defs": {**{kind.name: _of_kind(kind) for kind in KINDS}, "Envelope": envelope, **definitions},
    }


def validator(schema: Schema) -> Draft202012Validator:
    """Return a validator for a schema, after checking the schema itself."""
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def schema_pages() -> dict[Path, str]:
    """Return the generated files and their content."""
    return {
        FOLDER / "event.json": _text(event_schema()),
        FOLDER / "manifest.json": _text(manifest_schema()),
    }


def _schema_of(model: type[BaseModel]) -> Schema:
    return model.model_json_schema(by_alias=True, mode="serialization", schema_generator=_Written)


def _refine(schema: Schema, more: dict[str, Schema]) -> None:
    for name, demands in more.items():
        schema["properties"][name] |= demands


def _of_kind(kind: Kind) -> Schema:
    return {
        "title": kind.name,
        "description": kind.meaning,
        "allOf": [{"$ref": "#/$defs/Envelope"}],
        "properties": {"type": {"const": kind.type.value}, "data": {"properties": kind.manifest}},
    }


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").partition("\n")[0]


def _text(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
