"""The configuration: YAML files and environment variables, validated, with secrets by reference."""

from __future__ import annotations

from ingest.config.load import load
from ingest.config.model import Config, config_schema
from ingest.config.secrets import Secrets
from ingest.config.sinks import SinkSection
from ingest.config.source import ConfigSource

__all__ = [
    "Config",
    "ConfigSource",
    "Secrets",
    "SinkSection",
    "config_schema",
    "load",
]
