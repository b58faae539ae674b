"""Sinks: where events go."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

from ingest.adapters.sinks.jsonl import JsonLinesSink
from ingest.adapters.sinks.webhook import WebhookSink

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.ports.sink import Sink


class JsonLinesSettings(Protocol):
    """What a JSON Lines sink is made from."""

    @property
    def type(self) -> Literal["jsonl"]:
        """Tells it from others."""
        ...

    @property
    def name(self) -> str:
        """Unique among the sinks."""
        ...

    @property
    def path(self) -> Path:
        """Absolute."""
        ...


class WebhookSettings(Protocol):
    """What a webhook sink is made from."""

    @property
    def type(self) -> Literal["webhook"]:
        """Tells it from others."""
        ...

    @property
    def name(self) -> str:
        """Unique among the sinks."""
        ...

    @property
    def url(self) -> str:
        """`https://` or `http://`."""
        ...

    @property
    def secret(self) -> str:
        """Where the signing secret is."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds for one request as a whole."""
        ...

    @property
    def ca(self) -> Path | None:
        """PEM certificates to trust instead of the system's."""
        ...


class SecretReader(Protocol):
    """Reads the secret at a reference."""

    def read(self, ref: str) -> str:
        """Raises `ConfigError` where there is none."""
        ...


def open_sink(settings: JsonLinesSettings | WebhookSettings, secrets: SecretReader) -> Sink:
    """The sink that is configured. Nothing is opened yet, so that one that is away fails where it is used."""
    if settings.type == "jsonl":
        return JsonLinesSink(settings.name, settings.path)
    return WebhookSink(
        settings.name,
        settings.url,
        partial(secrets.read, settings.secret),
        timeout=settings.timeout,
        ca_file=settings.ca,
        clock=time.time,
    )
