"""The base of all sections, and the types of options that hold more than numbers and words.

Errors say how to write a value and never quote it: it may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema

from ingest.config.units import parse_duration
from ingest.domain.clusters import read_cluster
from ingest.domain.mailbox import Deletion, TlsVersion
from ingest.domain.sentinels import read_sentinels
from ingest.expressions import LONGEST, Expression

# The ledger's adapter and the workers have the same default.
DEFAULT_DEPLOYMENT = "mailhaul"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PREFIX_PATTERN = rf"^{_SEGMENT}(/{_SEGMENT}){{0,7}}$"
_NOT_IN_HOSTS = re.compile(r"[\x00-\x20\x7f/@\[\]?#]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!-)+-9;-~]{1,76}\*?")
_POLICY_FORMS = "write `keep`, `delete`, or {delete_after: 30d}"
REDIS_SCHEMES = frozenset({"redis", "rediss", "valkey", "valkeys", "unix"})
BROKER_SCHEMES = REDIS_SCHEMES | {"amqp", "amqps"}


class Section(BaseModel):
    """A section of the configuration. Closed, so that a misspelt option is an error.

    The docstring below an option is its description: in the JSON Schema, which editors show, and in
    `docs/configuration-reference.md`. It gives the unit, the meaning, and the reason for the default.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True, defer_build=True
    )


def split_url(value: str) -> SplitResult:
    """Split an address into its parts.

    Raises:
        ValueError: it is not an address. The text does not quote it: it may hold a password.
    """
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a valid address; check brackets and port") from None
    return parts


def with_scheme(schemes: frozenset[str], remedy: str, no_cluster: str | None = None) -> AfterValidator:
    """Accept addresses of these schemes, of Sentinels, and of clusters.

    Args:
        schemes: the schemes.
        remedy: the error for others.
        no_cluster: the error for a cluster, where that is not accepted.
    """

    def check(value: str) -> str:
        if read_sentinels(value) is not None:
            return value
        if read_cluster(value) is not None:
            if no_cluster is not None:
                raise ValueError(no_cluster)
            return value
        parts = split_url(value)
        if parts.scheme not in schemes or not (parts.path if parts.scheme == "unix" else parts.hostname):
            raise ValueError(remedy)
        return value

    return AfterValidator(check)


def _absolute(value: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return (folder / value).absolute()


def _host(value: str) -> str:
    if _NOT_IN_HOSTS.search(value):
        raise ValueError("write the bare name or address of the server, as in pop.example.org")
    if ":" in value:
        try:
            ipaddress.IPv6Address(value.partition("%")[0])
        except ValueError:
            raise ValueError("write the port separately, as `port`") from None
    return value


def _one_line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError(
            "must not contain control characters; a backslash in double quotes makes them, so use single quotes"
        )
    return value


def _fingerprint(value: str) -> str:
    digits = value.lower().removeprefix("sha256:").replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ValueError("write the SHA-256 of the certificate: 64 hex digits, with or without colons")
    return digits


@lru_cache(maxsize=100)
def _ciphers(value: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(value)
    except (ssl.SSLError, ValueError):
        raise ValueError("is no list of ciphers that OpenSSL knows; write for example DEFAULT:@SECLEVEL=1") from None
    return value


def _version(value: object) -> object:
    """YAML reads 1.2 without quotes as a number, and JSON writes 1.0 as 1."""
    return f"{value:.1f}" if isinstance(value, int | float) and not isinstance(value, bool) else value


def _policy(value: object) -> Deletion:
    if value == "keep":
        return Deletion()
    if value == "delete":
        return Deletion(0.0)
    if isinstance(value, dict) and value.keys() == {"delete_after"}:
        return Deletion(parse_duration(value["delete_after"]))
    raise ValueError(_POLICY_FORMS)


def _http_url(value: str) -> str:
    parts = split_url(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or _CONTROL.search(value) or " " in value:
        raise ValueError("write an address that begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must contain neither user nor password")
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


def _condition(value: str) -> str:
    Expression(value)
    return value


def _header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError("write the name of a header field, such as X-Spam-Flag, or X-Spam-* for several")
    return value.lower()


FilePath = Annotated[Path, AfterValidator(_absolute)]
Host = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Line = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_one_line)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Sender = Annotated[str, Field(pattern=r"^[^\s@<>,;]*@[^\s@<>,;]+$", max_length=320)]
RetentionLabel = Annotated[str, Field(pattern=rf"{NAME_PATTERN[:-1]}(=.{{0,256}})?$")]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Labels = Annotated[
    dict[Annotated[str, Field(pattern=NAME_PATTERN)], Annotated[str, Field(max_length=256)]], Field(max_length=32)
]
Condition = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_condition)]
Ciphers = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_ciphers)]
MinimumTls = Annotated[
    TlsVersion, BeforeValidator(_version), WithJsonSchema({"enum": ["1.0", "1.2", "1.3", 1.0, 1.2, 1.3]})
]
Policy = Annotated[Deletion, BeforeValidator(_policy), WithJsonSchema(_policy_schema())]
