"""The configuration: YAML files and environment variables, validated, with secrets by reference.

What this package exports is imported when it is first asked for: `mailhaul health` needs none of the models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest.config.model import Config, config_schema
    from ingest.config.secrets import Secrets
    from ingest.config.sinks import SinkSection
    from ingest.config.source import ConfigSource

_MODULES = {
    "Config": "model",
    "ConfigSource": "source",
    "Secrets": "secrets",
    "SinkSection": "sinks",
    "config_schema": "model",
}

__all__ = [
    "Config",
    "ConfigSource",
    "Secrets",
    "SinkSection",
    "config_schema",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
