"""What options may hold beyond numbers and words. Errors say how to write it, never what was written."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from ingest.config.units import parse_duration
from ingest.domain.mailbox import Deletion

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PREFIX_PATTERN = rf"^{_SEGMENT}(/{_SEGMENT}){{0,7}}$"
_NOT_IN_HOSTS = re.compile(r"[\x00-\x20\x7f/@\[\]?#]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_POLICY_WORDS = "write `keep`, `delete`, or {delete_after: 30d}"
REDIS_SCHEMES = frozenset({"redis", "rediss", "valkey", "valkeys", "unix"})
BROKER_SCHEMES = REDIS_SCHEMES | {"amqp", "amqps"}


def split_url(value: str) -> SplitResult:
    """The parts of an address.

    Raises:
        ValueError: it is none; the text does not quote it, for it may hold a password.
    """
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is not an address that can be read; check brackets and port") from None
    return parts


def _beside(value: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return (folder / value).absolute()


def _host(value: str) -> str:
    if _NOT_IN_HOSTS.search(value):
        raise ValueError("write the bare name or address of the server, as in pop.example.org")
    if ":" in value:
        try:
            ipaddress.IPv6Address(value.partition("%")[0])
        except ValueError:
            raise ValueError("write the port by itself, as `port`") from None
    return value


def _plain(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must not hold control characters")
    return value


def _fingerprint(value: str) -> str:
    digits = value.lower().removeprefix("sha256:").replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ValueError("write the SHA-256 of the certificate: 64 hex digits, with or without colons")
    return digits


def _policy(value: object) -> Deletion:
    if value == "keep":
        return Deletion()
    if value == "delete":
        return Deletion(0.0)
    if isinstance(value, dict) and value.keys() == {"delete_after"}:
        return Deletion(parse_duration(value["delete_after"]))
    raise ValueError(_POLICY_WORDS)


def _http_url(value: str) -> str:
    parts = split_url(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or _CONTROL.search(value) or " " in value:
        raise ValueError("write an address that begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user and no password")
    return value


def _policy_schema() -> dict[str, Any]:
    duration = {"type": ["string", "number"], "description": "Seconds, or 60s, 5m, 1h30m, 30d."}
    after = {
        "type": "object",
        "properties": {"delete_after": duration},
        "required": ["delete_after"],
        "additionalProperties": False,
    }
    return {"anyOf": [{"enum": ["keep", "delete"]}, after]}


FilePath = Annotated[Path, AfterValidator(_beside)]
Host = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Line = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_plain)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Labels = Annotated[
    dict[Annotated[str, Field(pattern=NAME_PATTERN)], Annotated[str, Field(max_length=256)]], Field(max_length=32)
]
Policy = Annotated[Deletion, BeforeValidator(_policy), WithJsonSchema(_policy_schema())]
