"""The JSON Schema of the configuration, for editors."""

from __future__ import annotations

from typing import Any

from ingest.config.model import Config
from ingest.config.sinks import SECTIONS


def config_schema() -> dict[str, Any]:
    """Draft 2020-12. What it accepts may still be refused by `load`, which knows more than a schema can say."""
    schema = Config.model_json_schema(mode="validation")
    for section in SECTIONS:
        # `load` gives a name where there is none.
        schema["$defs"][section.__name__]["required"].remove("name")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Mailhaul configuration",
        **{key: value for key, value in schema.items() if key != "title"},
    }
