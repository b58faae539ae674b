"""Every option, with its default. The docstring below an option is what editors show of it.

`ingest.config.load` fills these models; the rest of the program sees `Config` and the domain's own values.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from ingest.config import logins, translate
from ingest.config.auth import Auth  # noqa: TC001 - pydantic resolves it at run time
from ingest.config.fields import (
    BROKER_SCHEMES,
    PREFIX_PATTERN,
    REDIS_SCHEMES,
    Count,
    FilePath,
    Fingerprint,
    Host,
    HttpUrl,
    Labels,
    Line,
    Name,
    Policy,
    Port,
    split_url,
)
from ingest.config.providers import Provider
from ingest.config.reading import ParseSection, ScanSection, scan_section
from ingest.config.secrets import SecretRef  # noqa: TC001 - pydantic resolves it at run time
from ingest.config.section import Section
from ingest.config.sinks import SinkSection, named
from ingest.config.units import Deadline, Interval, Size  # noqa: TC001 - as above
from ingest.domain.mailbox import ProxyKind, Tls
from ingest.domain.sentinels import read_sentinels
from ingest.errors import require_configured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.config.secrets import Secrets
    from ingest.domain.grant import TokenLogin
    from ingest.domain.mailbox import Credentials, Mailbox

EMBEDDED_FOLDER = "mailhaul-ledger"


class StoreSection(Section):
    """Where objects are kept."""

    url: str
    """`s3://bucket/prefix`, or `file:///folder`."""
    endpoint: HttpUrl | None = None
    """Of an S3 server other than Amazon's."""
    region: Line | None = None
    """Of the bucket; left out, it is taken from where the AWS tools take it."""
    path_style: bool = False
    """Name the bucket in the path instead of in the host; many S3 servers ask for it."""
    kms_key: Line | None = None
    """Encrypt objects with this KMS key."""
    access_key: SecretRef | None = None
    """Left out, credentials are taken from where the AWS tools take them."""
    secret_key: SecretRef | None = None
    """Belongs to the access key."""

    @model_validator(mode="after")
    def _fits(self) -> StoreSection:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("write both access_key and secret_key, or neither")
        parts = split_url(self.url)
        if parts.query or parts.fragment:
            raise ValueError("an address of a store ends with its path; write ? and # as %3F and %23 in a folder's")
        if parts.scheme == "s3" and parts.netloc and "@" not in parts.netloc:
            return self
        if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
            raise ValueError("write s3://bucket/prefix or file:///folder (three slashes, the whole path)")
        if self.model_fields_set != {"url"}:
            raise ValueError("a file:/// store has no option besides url; the others are for s3://")
        return self


def _with_scheme(schemes: frozenset[str], words: str) -> AfterValidator:
    def check(value: str) -> str:
        if read_sentinels(value) is not None:
            return value
        parts = split_url(value)
        if parts.scheme not in schemes or not (parts.path if parts.scheme == "unix" else parts.hostname):
            raise ValueError(words)
        return value

    return AfterValidator(check)


_LEDGER_WORDS = (
    "write `embedded`, {embedded: folder}, or an address: redis://host:6379/0, rediss://host:6379/0, "
    "redis+sentinel://host:26379,host:26379/service or unix:///path.sock"
)
_BROKER_WORDS = "write an address: one as for the ledger, or amqp://host// or amqps://host//"


class LedgerSection(Section):
    """Where schedule, claims and the event stream are kept."""

    url: Annotated[str, _with_scheme(REDIS_SCHEMES, _LEDGER_WORDS)] | None = Field(default=None, repr=False)
    """Of a Redis or Valkey server."""
    embedded: FilePath | None = None
    """Run one of our own, which keeps its data in this folder."""

    @model_validator(mode="after")
    def _one(self) -> LedgerSection:
        if (self.url is None) == (self.embedded is None):
            raise ValueError(_LEDGER_WORDS)
        return self


class ProxySection(Section):
    """Through whom POP3 servers are reached."""

    url: str
    """`socks5://host:1080` or `http://host:3128` (CONNECT)."""
    username: Line | None = Field(default=None, repr=False)
    password: SecretRef | None = None

    @model_validator(mode="after")
    def _fits(self) -> ProxySection:
        parts = split_url(self.url)
        if parts.scheme not in get_args(ProxyKind) or not parts.hostname or not parts.port or parts.path.strip("/"):
            raise ValueError("write socks5://host:1080 or http://host:3128, with the port")
        if parts.username is not None or parts.password is not None:
            raise ValueError("write the user as `username`, and where its password is as `password`")
        if (self.username is None) != (self.password is None):
            raise ValueError("write both username and password, or neither")
        return self


class DeadlinesSection(Section):
    """How long each phase of a POP3 session may take."""

    connect: Deadline | None = None
    tls: Deadline | None = None
    reply: Deadline | None = None
    """For the answer to a command."""
    idle: Deadline | None = None
    """Between two reads while a message arrives."""
    quit: Deadline | None = None
    poll: Deadline | None = None
    """For the session as a whole."""


class LimitsSection(Section):
    """What a mailbox may cost."""

    message_bytes: Size | None = None
    """Larger messages are not fetched: they get a manifest and an event from their header."""
    listed_messages: Count | None = None
    """A mailbox that lists more is not polled."""
    messages_per_poll: Count | None = None
    """The others wait for the next poll, which follows at once."""
    connections: Count | None = None
    """At once to its server, and to its server's network address, over all workers."""
    minimum_rate: Count | None = None
    """Bytes a second while an answer arrives; a server that sends less is left."""


class DefaultsSection(Section):
    """What mailboxes may leave out."""

    interval: Interval | None = None
    """Between the beginnings of two polls; 60s unless told otherwise."""
    policy: Policy | None = None
    """What happens on the server to messages that are done: `keep` (default), `delete`, or `{delete_after: 30d}`."""
    tls: Tls | None = None
    """`implicit` (default), `starttls`, or `none`, which sends mail and password in the clear."""
    port: Port | None = None
    """Left out: 995 for implicit TLS, else 110. That of `defaults` is for mailboxes without a `tls` of their own."""
    ca: FilePath | None = None
    """PEM certificates to trust instead of the system's."""
    proxy: ProxySection | None = None
    """Left out: servers are connected to directly."""
    authserv_id: Line | None = None
    """How the receiving mail server names itself in Authentication-Results, which are read from it only."""
    limits: LimitsSection = LimitsSection()
    deadlines: DeadlinesSection = DeadlinesSection()
    labels: Labels = Field(default_factory=dict)
    """Copied into manifests and events. A mailbox's own are added to those of `defaults`."""


class MailboxSection(DefaultsSection):
    """One POP3 maildrop."""

    id: Name
    """Never changes: it is part of the identity of its messages."""
    provider: Provider = Provider.GENERIC
    """`gmail`, `microsoft365`, `yahoo`, `zoho`: knows host and ways of the provider; what is written goes over it."""
    host: Host | None = None
    """Of the POP3 server; a provider knows it."""
    auth: Auth
    fingerprint: Fingerprint | None = None
    """SHA-256 of the server's certificate, which is then the only one accepted."""
    prefix: Annotated[str, Field(pattern=PREFIX_PATTERN)] | None = None
    """Stands for the id in object keys."""
    enabled: bool = True
    """`false` pauses the mailbox."""


def _processors() -> int:
    return len(os.sched_getaffinity(0))


class WorkersSection(Section):
    """How much is done at once, in each process of its kind."""

    poll_threads: Annotated[int, Field(ge=1, le=1000)] = 50
    """Mailboxes polled at once. Polling is waiting, so many threads cost little."""
    processes: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=_processors)
    """Messages parsed at once; left out, one for each processor."""
    relay_threads: Annotated[int, Field(ge=1, le=256)] = 4
    """Sinks served at once."""


class MetricsSection(Section):
    """Where each process serves its metrics."""

    address: Host = "127.0.0.1"
    port: Port = 9464
    mailbox_label: bool = True
    """`false` takes the mailbox out of the labels, where there are too many."""


class LogSection(Section):
    """How each process writes its log, to standard error."""

    format: Literal["auto", "json", "text"] = "auto"
    """`auto` is text on a terminal, else JSON."""
    level: Literal["debug", "info", "warning", "error"] = "info"


class TracingSection(Section):
    """Where traces go: an OpenTelemetry collector, over OTLP/HTTP. OTEL_* variables say what is not said here."""

    endpoint: HttpUrl | None = None
    """Of the collector, as in http://collector:4318; left out, OTEL_EXPORTER_OTLP_ENDPOINT, else this machine."""
    sample: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of traces that are kept; left out, OTEL_TRACES_SAMPLER, else all."""


def _store(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


def _ledger(value: object) -> object:
    if not isinstance(value, str):
        return value
    return {"embedded": EMBEDDED_FOLDER} if value == "embedded" else {"url": value}


class Config(Section):
    """The whole configuration, checked."""

    store: Annotated[StoreSection, BeforeValidator(_store, json_schema_input_type=str | StoreSection)]
    """`s3://bucket/prefix`, `file:///folder`, or a mapping."""
    ledger: Annotated[LedgerSection, BeforeValidator(_ledger, json_schema_input_type=str | LedgerSection)]
    """`redis://host:6379/0`, `embedded`, `{embedded: folder}`, or where the address is: `env:NAME`, `file:/path`."""
    broker: Annotated[str, _with_scheme(BROKER_SCHEMES, _BROKER_WORDS)] | None = Field(default=None, repr=False)
    """What Celery's wakeups travel through; left out, the ledger. May also say where the address is."""
    sinks: list[SinkSection] = Field(default_factory=list)
    defaults: DefaultsSection = DefaultsSection()
    mailboxes: list[MailboxSection] = Field(default_factory=list)
    parse: ParseSection = ParseSection()
    scan: Annotated[
        ScanSection | None, BeforeValidator(scan_section, json_schema_input_type=str | ScanSection | None)
    ] = None
    """Left out: attachments are not scanned. The address of a clamd, or a mapping."""
    workers: WorkersSection = Field(default_factory=WorkersSection)
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()
    tracing: TracingSection | None = None
    """Left out: nothing is traced."""

    @model_validator(mode="before")
    @classmethod
    def _name_sinks(cls, data: Any) -> Any:
        return {**data, "sinks": named(data["sinks"])} if isinstance(data, dict) and "sinks" in data else data

    @property
    def ledger_folder(self) -> Path | None:
        """Where the embedded ledger keeps its data; None when the ledger is a server elsewhere."""
        return self.ledger.embedded

    @property
    def ledger_url(self) -> str:
        """The address of a ledger that is not embedded, empty otherwise."""
        return self.ledger.url or ""

    def broker_url(self, ledger_url: str) -> str:
        """The address of the broker as it was written: the ledger's unless there is one of its own."""
        return self.broker or ledger_url

    @cached_property
    def _mailboxes(self) -> Mapping[str, Mailbox]:
        return translate.mailboxes(self)

    def mailboxes_by_id(self) -> Mapping[str, Mailbox]:
        """Every mailbox, defaults filled in; paused ones too."""
        return self._mailboxes

    @cached_property
    def _sections(self) -> Mapping[str, MailboxSection]:
        return {section.id: section for section in self.mailboxes}

    def section(self, mailbox: str) -> MailboxSection:
        """What is written of a mailbox, without the defaults.

        Raises:
            ConfigError: there is no such mailbox any more.
        """
        require_configured("mailbox", [mailbox], self._sections)
        return self._sections[mailbox]

    def login(self, mailbox: str, secrets: Secrets) -> Credentials | TokenLogin:
        """Who logs in to a mailbox, the secrets as they are now.

        Raises:
            ConfigError: the secret is missing, or there is no such mailbox any more.
        """
        return logins.login(self, mailbox, secrets)

    def fingerprint(self, mailbox: str, secrets: Secrets) -> bytes:
        """Changes when anything does that the mailbox's login depends on.

        Raises:
            ConfigError: a secret is missing, or there is no such mailbox any more.
        """
        return logins.fingerprint(self, mailbox, secrets)

    @cached_property
    def _schedule_digest(self) -> str:
        return translate.schedule_digest(self.mailboxes_by_id().values(), [sink.name for sink in self.sinks])

    def schedule_digest(self) -> str:
        """Hex digits that change when mailboxes or sinks come or go, or a mailbox pauses or changes its interval."""
        return self._schedule_digest
