"""The configuration reference, made from the models: every option with type, default, and description."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ingest.config import console, fields, mailbox, sections, sinks, units
from ingest.config.descriptions import descriptions
from ingest.config.mailbox import DeadlinesSection, DefaultsSection, LimitsSection, MailboxSection
from ingest.config.model import Config
from ingest.config.secrets import SecretRef
from ingest.config.sinks import SECTIONS
from ingest.config.translate import INTERVAL
from ingest.domain.mailbox import Deadlines, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = Path(__file__).parents[2] / "docs" / "configuration-reference.md"

_INTRODUCTION = """\
# Configuration reference

Every option, made from the models in `ingest/config` by `make docs`. How the sections go together, and logins and
providers: [Configuration](configuration.md). A file that shows every option:
[examples/full.yaml](../examples/full.yaml).

- A **duration** is `60s`, `5m`, `1h30m`, `30d`, or a number of seconds; a **size** is `500KiB`, `150MiB`, `20MB`, or
  a number of bytes.
- A **period** is a duration that may begin with calendar years: `10y`, `1y30d`, `90d`. A plain number is refused.
- A **secret reference** is `env:NAME` or `file:/path`: the place of a secret, never the secret. Relative paths are
  relative to the configuration file.
- An environment variable takes precedence over an option: `MAILHAUL_METRICS__PORT` over `metrics.port`, with two
  underscores for each dot.
"""
_KINDS = (
    (units.Duration, "duration"),
    (units.Interval, "duration"),
    (units.Size, "size"),
    (units.Period, "period"),
    (fields.Port, "port number"),
    (fields.Count, "whole number"),
    (fields.Labels, "mapping of text to text"),
    (fields.Policy, "`keep`, `delete`, or `{delete_after: duration}`"),
    (fields.Fingerprint, "64 hex digits"),
    (fields.FilePath, "path"),
    (fields.MinimumTls, '`"1.0"`, `"1.2"`, `"1.3"`'),
    (fields.Ciphers, "list of ciphers"),
    (fields.Host, "host name or address"),
    (fields.HeaderName, "name of a header field"),
    (fields.HttpUrl, "http(s) address"),
    (fields.Name, "lower-case letters, digits, `.`, `_`, `-`"),
    (SecretRef, "secret reference"),
)
_AWS = "where the AWS tools look for it"
_SYSTEM_CA = "the system's"
_NONE = "none"
# What an option that was not written stands for, where the model says None.
_UNWRITTEN: dict[str, str] = {
    "Config.broker": "the ledger",
    "Config.console": "none: `up` does not run it",
    "ConsoleSection.database": "none: the file",
    "ConsoleSection.oidc": _NONE,
    "ConsoleSection.proxy": _NONE,
    "Config.scan": _NONE,
    "Config.tracing": _NONE,
    "AuditSection.key": "none: not signed",
    "StoreSection.endpoint": "the provider's",
    "StoreSection.region": _AWS,
    "StoreSection.kms_key": "as the bucket encrypts",
    "StoreSection.access_key": _AWS,
    "StoreSection.secret_key": _AWS,
    "StoreSection.credentials": "application default credentials",
    "StoreSection.account_key": "an identity",
    "StoreSection.sas_token": "an identity",
    "StoreSection.lock": _NONE,
    "RetentionSection.keep": "for ever",
    "RetentionSection.raw": "with the message",
    "LedgerSection.url": _NONE,
    "LedgerSection.embedded": _NONE,
    "ProxySection.username": _NONE,
    "ProxySection.password": _NONE,
    "DefaultsSection.policy": "`keep`",
    "DefaultsSection.tls": "`implicit`",
    "DefaultsSection.port": "`995` with implicit TLS, else `110`",
    "DefaultsSection.ca": _SYSTEM_CA,
    "DefaultsSection.proxy": "none: direct connection",
    "DefaultsSection.trusted_hops": "the hop of `authserv_id`, else `1`",
    "DefaultsSection.authserv_id": "none: the fields are ignored",
    "MailboxSection.host": "the provider's",
    "MailboxSection.fingerprint": "none: certificates are verified as usual",
    "MailboxSection.tls_minimum": '`"1.2"`',
    "MailboxSection.ciphers": "secure ones",
    "MailboxSection.client_certificate": _NONE,
    "ClientCertificateSection.key": "in `certificate`",
    "ClientCertificateSection.password": "none: the key is not encrypted",
    "MailboxSection.prefix": "the id",
    "OAuth2Auth.client_id": _NONE,
    "OAuth2Auth.client_secret": _NONE,
    "OAuth2Auth.refresh_token": _NONE,
    "OAuth2Auth.service_account": _NONE,
    "OAuth2Auth.tenant": _NONE,
    "OAuth2Auth.token_url": "the provider's",
    "OAuth2Auth.scope": "the provider's",
    "OAuth2Auth.mechanism": "the provider's, else `xoauth2`",
    "OAuth2Auth.ca": _SYSTEM_CA,
    "OidcSection.ca": _SYSTEM_CA,
    "OidcSection.client_secret": "none: a public client",
    "WebhookSinkSection.ca": _SYSTEM_CA,
    "SqsSinkSection.region": "the one in the URL",
    "SnsSinkSection.endpoint": "Amazon's",
    "EventBridgeSinkSection.region": f"the one in the ARN, else {_AWS}",
    "EventBridgeSinkSection.endpoint": "Amazon's",
    "AmqpSinkSection.queue": _NONE,
    "AmqpSinkSection.exchange": _NONE,
    "AmqpSinkSection.routing_key": "the mailbox's id",
    "AmqpSinkSection.username": "`guest`",
    "AmqpSinkSection.password": "`guest`",
    "AmqpSinkSection.ca": _SYSTEM_CA,
    "KafkaSinkSection.ca": _SYSTEM_CA,
    "KafkaSinkSection.username": "none: no login",
    "KafkaSinkSection.password": _NONE,
    "TracingSection.endpoint": "`OTEL_EXPORTER_OTLP_ENDPOINT`, else `http://localhost:4318`",
    "TracingSection.sample": "`OTEL_TRACES_SAMPLER`, else all",
    **{f"{sink.__name__}.{key}": _AWS for sink in SECTIONS for key in ("access_key", "secret_key")},
}
_CONSOLE_PARTS: dict[str, type[BaseModel]] = {
    "tokens[]": console.TokenSection,
    "proxy": console.ProxyLoginSection,
    "proxy.users[]": console.UserSection,
    "oidc": console.OidcSection,
    "oidc.roles[]": console.GroupSection,
}
# What the models leave to others.
_OTHERWISE = {
    "WorkersSection.processes": "one for each CPU",
    **{f"{sink.__name__}.name": "the type, numbered from the second on" for sink in SECTIONS},
}


def configuration_page() -> dict[Path, str]:
    """The reference by its path."""
    return {PAGE: "\n".join([_INTRODUCTION, *_chapters()])}


def _chapters() -> Iterator[str]:
    yield from _chapter("Sections", "The sections of the file.", Config, "")
    yield from _chapter("store", sections.StoreSection.__doc__, sections.StoreSection, "store.")
    yield from _chapter("store.lock", sections.LockSection.__doc__, sections.LockSection, "store.lock.")
    yield from _chapter("ledger", sections.LedgerSection.__doc__, sections.LedgerSection, "ledger.")
    yield from _sink_chapters()
    yield from _chapter(
        "defaults",
        "Options that mailboxes inherit; each may also be written in a mailbox.",
        DefaultsSection,
        "defaults.",
    )
    for name, section in (
        ("limits", LimitsSection),
        ("deadlines", DeadlinesSection),
        ("proxy", mailbox.ProxySection),
    ):
        yield from _chapter(f"defaults.{name}", section.__doc__, section, f"defaults.{name}.")
    own = [name for name in MailboxSection.model_fields if name not in DefaultsSection.model_fields]
    words = "Each POP3 maildrop: these options, and all of `defaults`."
    yield from _chapter("mailboxes", words, MailboxSection, "mailboxes[].", of=own)
    shown = mailbox.ClientCertificateSection
    path = "mailboxes[].client_certificate"
    yield from _chapter(path, shown.__doc__, shown, f"{path}.")
    for login in (mailbox.PasswordAuth, mailbox.OAuth2Auth):
        title = f"mailboxes[].auth: {', '.join(_types(login))}"
        yield from _chapter(title, login.__doc__, login, "mailboxes[].auth.")
    yield from _chapter("duplicates", sections.DuplicatesSection.__doc__, sections.DuplicatesSection, "duplicates.")
    yield from _chapter("rules", sections.RuleSection.__doc__, sections.RuleSection, "rules[].")
    yield from _chapter("retention", sections.RetentionSection.__doc__, sections.RetentionSection, "retention[].")
    for name in ("parse", "scan", "audit", "workers", "metrics", "console", "log", "tracing"):
        annotation = _section(get_type_hints(Config, include_extras=True)[name])
        assert annotation is not None
        yield from _chapter(name, annotation.__doc__, annotation, f"{name}.")
        if name == "parse":
            inner = sections.PasswordSection
            yield from _chapter("parse.passwords", inner.__doc__, inner, "parse.passwords[].")
        if name == "console":
            for path, part in _CONSOLE_PARTS.items():
                yield from _chapter(f"console.{path}", part.__doc__, part, f"console.{path}.")


def _sink_chapters() -> Iterator[str]:
    of_all = set.intersection(*(set(sink.model_fields) for sink in SECTIONS))
    common = [name for name in sinks.JsonlSinkSection.model_fields if name in of_all - {"type"}]
    words = "The options of every sink; those of each type follow."
    yield from _chapter("sinks", words, sinks.JsonlSinkSection, "sinks[].", of=common)
    for sink in SECTIONS:
        own = sorted((name for name in sink.model_fields if name not in common), key=lambda name: name != "type")
        yield from _chapter(f"sinks: {_types(sink)[0]}", sink.__doc__, sink, "sinks[].", of=own)


def _chapter(
    title: str, words: str | None, section: type[BaseModel], path: str, of: Iterable[str] | None = None
) -> Iterator[str]:
    yield f"## {title}\n\n{(words or '').strip()}\n"
    yield "| Option | Type | Default | Meaning |\n|---|---|---|---|"
    for name in of or section.model_fields:
        yield f"| `{path}{name}` | {kind(section, name)} | {default(section, name)} | {_meaning(section, name)} |"
    yield ""


def _meaning(section: type[BaseModel], name: str) -> str:
    return " ".join(descriptions(section).get(name, "").split()).replace("|", "\\|")


def kind(section: type[BaseModel], name: str) -> str:
    """The type of an option, in words, with its unit or its range."""
    annotation = _without_none(get_type_hints(section, include_extras=True)[name])
    for alias, words in _KINDS:
        if _is(annotation, alias):
            return words
    if _section(annotation) is not None or get_origin(_bare(annotation)) in {Union, UnionType}:
        return "section"
    bare, extra = _bare(annotation), getattr(annotation, "__metadata__", ())
    if get_origin(bare) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(bare))
    if get_origin(bare) is list:
        return "list of texts" if _bare(get_args(bare)[0]) is str else "list of sections"
    if isinstance(bare, type) and issubclass(bare, Enum):
        return ", ".join(f"`{member.value}`" for member in bare)
    return {bool: "`true` or `false`", int: "whole number", float: "number", str: "text"}[bare] + _range(extra)


def _range(extra: Iterable[Any]) -> str:
    found = {
        name: getattr(item, name, None)
        for item in _metadata(extra)
        for name in ("ge", "le")
        if getattr(item, name, None) is not None
    }
    return f", {found['ge']} to {found['le']}" if found.keys() == {"ge", "le"} else ""


def _metadata(extra: Iterable[Any]) -> Iterator[Any]:
    for item in extra:
        yield item
        yield from getattr(item, "metadata", ())


def default(section: type[BaseModel], name: str) -> str:
    """What an option is when it is not written."""
    field, key = section.model_fields[name], f"{section.__name__}.{name}"
    if key in _OTHERWISE:
        return _OTHERWISE[key]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True) if field.default is PydanticUndefined else field.default
    if value is None and section in {LimitsSection, DeadlinesSection}:
        value = getattr(Limits() if section is LimitsSection else Deadlines(), name)
    if value is None and name == "interval":
        value = INTERVAL
    if value is None and name == "where":
        return "every event"
    return _UNWRITTEN[key] if value is None else _shown(value, kind(section, name))


def _shown(value: object, kind_words: str) -> str:
    if isinstance(value, BaseModel) or value in ([], {}):
        return _NONE if value in ([], {}) else "see below"
    if kind_words == "duration":
        assert isinstance(value, float)
        return f"`{value / 60:g}m`" if value > 60 and value % 60 == 0 else f"`{value:g}s`"  # noqa: PLR2004
    if kind_words == "size":
        assert isinstance(value, int)
        return f"`{value // 2**20}MiB`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _types(section: type[BaseModel]) -> list[str]:
    return list(get_args(get_type_hints(section)["type"]))


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in {Union, UnionType}:
        rest = [part for part in get_args(annotation) if part is not NoneType]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def _bare(annotation: Any) -> Any:
    return _without_none(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _is(annotation: Any, alias: Any) -> bool:
    """Whether a type is the alias, or narrows it."""
    if get_origin(annotation) is not Annotated:
        return False
    own, known = annotation.__metadata__, alias.__metadata__
    return bool(get_args(annotation)[0] == get_args(alias)[0] and own[: len(known)] == known)


def _section(annotation: Any) -> type[BaseModel] | None:
    bare = _bare(_without_none(annotation))
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None
