"""The options of everything but mailboxes and sinks. The docstring below an option is its documentation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ingest.config.fields import (
    REDIS_SCHEMES,
    Condition,
    FilePath,
    HeaderName,
    Host,
    HttpUrl,
    Line,
    Name,
    Port,
    RetentionLabel,
    Section,
    Sender,
    split_url,
    with_scheme,
)
from ingest.config.metrics_address import METRICS_ADDRESS, METRICS_PORT
from ingest.config.secrets import SecretRef  # noqa: TC001 - pydantic resolves it at run time
from ingest.config.units import Duration, Period, Size  # noqa: TC001 - as above
from ingest.domain.retention import RetentionRule, is_shorter

if TYPE_CHECKING:
    from urllib.parse import SplitResult

EMBEDDED_FOLDER = "mailhaul-ledger"
_LEDGER_FORMS = (
    "write `embedded`, {embedded: folder}, or an address: redis://host:6379/0, rediss://host:6379/0, "
    "redis+sentinel://host:26379,host:26379/service, redis+cluster://host:6379,host:6379 or unix:///path.sock"
)
# Processing a message may take 300 seconds, and the last of its files may take this much of them to scan.
_LONGEST_SCAN = 120.0


class LockSection(Section):
    """Object Lock: the store itself refuses to erase or replace what was stored, whoever asks."""

    mode: Literal["governance", "compliance"]
    """`governance` can be lifted by whoever has `s3:BypassGovernanceRetention`; `compliance` by nobody, whatever was
    stored by mistake."""
    retain: Period
    """How long raw mail, documents and statements are locked, from when they are stored: `10y`, `90d`. Objects that
    are stored already keep the lock that they have."""


class StoreSection(Section):
    """The object store."""

    url: str
    """`s3://bucket/prefix`, `gs://bucket/prefix` (Google Cloud Storage), `az://account/container/prefix` (Azure Blob
    Storage), or `file:///folder` with an absolute path. Bucket and container must exist; the folder is created. `gs`
    and `az` need an extra: `pip install 'mailhaul[gcs]'` or `'mailhaul[azure]'`."""
    endpoint: HttpUrl | None = None
    """Address of another server than the provider's: an S3 server, the blob service of another Azure cloud, an
    emulator."""
    region: Line | None = None
    """Region of the bucket, for `s3://`."""
    path_style: bool = False
    """Name the bucket in the path instead of the host name, for `s3://`. Amazon wants the host name; many other
    servers the path."""
    kms_key: Line | None = None
    """KMS key that objects are encrypted with: for `s3://` id, ARN or alias, for `gs://` `projects/…/cryptoKeys/…`.
    For `az://` give the container a default encryption scope."""
    access_key: SecretRef | None = None
    """Where the access key id for `s3://` is: `env:NAME` or `file:/path`. Goes with `secret_key`."""
    secret_key: SecretRef | None = None
    """Where the secret access key is: `env:NAME` or `file:/path`."""
    credentials: SecretRef | None = None
    """Where the JSON of a service account's key, or of a workload identity federation, for `gs://` is: `env:NAME` or
    `file:/path`. Without it Google's application default credentials are used."""
    account_key: SecretRef | None = None
    """Where an account key for `az://` is: `env:NAME` or `file:/path`. Without it and `sas_token`, a workload or
    managed identity is used, or the application in `AZURE_*` variables."""
    sas_token: SecretRef | None = None
    """Where a SAS token for `az://` is: `env:NAME` or `file:/path`."""
    lock: LockSection | None = None
    """Object Lock for raw mail, documents and statements, for `s3://`. The bucket must have been made with Object
    Lock."""
    tags: bool = False
    """Tag new objects with `mailhaul-kind` (`raw`, `document`, `body`, `manifest`, `statement` or `state`), for `s3://`,
    so that lifecycle rules of the bucket can tell them apart. Needs `s3:PutObjectTagging`; not every server has
    tags."""

    @model_validator(mode="after")
    def _is_store(self) -> StoreSection:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("write both access_key and secret_key, or neither")
        if self.account_key is not None and self.sas_token is not None:
            raise ValueError("write account_key or sas_token, not both")
        parts = split_url(self.url)
        if parts.query or parts.fragment:
            raise ValueError("a store's address ends with its path; write ? and # as %3F and %23 in a folder's name")
        if not _is_address(parts):
            raise ValueError(
                "write s3://bucket/prefix, gs://bucket/prefix, az://account/container/prefix, or file:///folder"
                " (three slashes, the whole path)"
            )
        for option in sorted(self.model_fields_set - {"url", *_STORE_OPTIONS[parts.scheme]}):
            others = ", ".join(f"{scheme}://" for scheme in _STORE_OPTIONS if option in _STORE_OPTIONS[scheme])
            raise ValueError(f"{option} is an option for {others} only; leave it out")
        return self


_STORE_OPTIONS = {
    "s3": ("endpoint", "region", "path_style", "kms_key", "access_key", "secret_key", "lock", "tags"),
    "gs": ("endpoint", "kms_key", "credentials"),
    "az": ("endpoint", "account_key", "sas_token"),
    "file": (),
}


def _is_address(parts: SplitResult) -> bool:
    if parts.scheme == "file":
        return not parts.netloc and parts.path.startswith("/")
    if parts.scheme not in _STORE_OPTIONS or not parts.netloc or "@" in parts.netloc:
        return False
    return parts.scheme != "az" or (bool(parts.path.lstrip("/")) and not parts.path.startswith("//"))


def store_section(value: object) -> object:
    """Return the section for what was written: a string is the URL."""
    return {"url": value} if isinstance(value, str) else value


class LedgerSection(Section):
    """The ledger, which keeps schedule, claims and the event stream."""

    url: Annotated[str, with_scheme(REDIS_SCHEMES, _LEDGER_FORMS)] | None = Field(default=None, repr=False)
    """Address of a Redis or Valkey server: `redis://host:6379/0`, `rediss://…` for TLS,
    `redis+sentinel://host:26379,host:26379/service`, `redis+cluster://host:6379,host:6379` for a Redis Cluster (which
    needs `broker` too), or `unix:///path.sock`."""
    embedded: FilePath | None = None
    """Run a Valkey server of Mailhaul's own, which keeps its data in this folder: for one machine."""

    @model_validator(mode="after")
    def _one_of_both(self) -> LedgerSection:
        if (self.url is None) == (self.embedded is None):
            raise ValueError(_LEDGER_FORMS)
        return self


def ledger_section(value: object) -> object:
    """Return the section for what was written: `embedded`, or a string that is the URL."""
    if not isinstance(value, str):
        return value
    return {"embedded": EMBEDDED_FOLDER} if value == "embedded" else {"url": value}


class PasswordSection(Section):
    """A password of encrypted attachments."""

    password: SecretRef
    """Where the password is: `env:NAME` or `file:/path`. It is read when a message needs it."""
    mailboxes: Annotated[list[Name], Field(max_length=1000)] = Field(default_factory=list)
    """Ids of the mailboxes in which it is tried; without any, in all."""
    senders: Annotated[list[Sender], Field(max_length=1000)] = Field(default_factory=list)
    """Addresses, or domains as `@example.com`, in whose mail it is tried; without any, in all mail. The field
    From can be forged, which gives a forger nothing."""


class RetentionSection(Section):
    """How long some messages are kept. `mailhaul purge retention` erases what is over; nothing else does."""

    name: Name
    """Name of the rule, in reports and in what remains of erased messages."""
    mailboxes: Annotated[list[Name], Field(max_length=1000)] = Field(default_factory=list)
    """Ids of the mailboxes it is about, also of those that are no longer configured; without any, all."""
    labels: Annotated[list[RetentionLabel], Field(max_length=100)] = Field(default_factory=list)
    """It is about messages with one of these labels only: a label that `rules` give, or `name=value` of the labels of
    a mailbox, as they were when the message was processed."""
    keep: Period | None = None
    """When a message is erased, counted from when the store wrote its raw mail: `10y`, `90d`. Without it, never."""
    raw: Period | None = None
    """When the raw mail alone is erased, while manifest, bodies and documents stay. Without it, with the message."""

    @model_validator(mode="after")
    def _is_rule(self) -> RetentionSection:
        if self.keep is None and self.raw is None:
            raise ValueError("write keep, raw or both")
        if self.keep is not None and self.raw is not None and not is_shorter(self.raw, self.keep):
            raise ValueError("raw must be shorter than keep; leave it out, or write a shorter period")
        return self

    def rule(self) -> RetentionRule:
        """Return it for the domain."""
        return RetentionRule(
            self.name, frozenset(self.mailboxes), frozenset(self.labels), keep=self.keep, raw=self.raw
        )


class ParseSection(Section):
    """How messages are read. The limits bound what one hostile message can cost."""

    parts: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Maximum number of MIME parts of a message. Further parts are kept in the raw message only."""
    depth: Annotated[int, Field(ge=1, le=1000)] = 50
    """Maximum nesting of MIME parts and containers. What is nested deeper stays inside its container."""
    headers: Annotated[list[HeaderName], Field(max_length=32)] = Field(default_factory=list)
    """Header fields to list in manifests as `headers.extra`, such as `X-Spam-Flag`, or `X-Spam-*` for all that begin
    like it. At most 32 fields with 8 values of 998 characters each; an event that grows too large leaves them out."""
    dkim: bool = False
    """Verify DKIM signatures. Off, as it queries the DNS and needs an extra: `pip install 'mailhaul[dkim]'`."""
    dkim_bytes: Size = 32 * 2**20
    """Maximum size of a message whose signatures are verified: hashing a few huge ones would delay all others."""
    invoice_fields: bool = True
    """Report number, dates, totals and parties of structured e-invoices in the manifest. Events never have them."""
    plain_text: bool = True
    """Store plain text for messages that have HTML only, and unfolded paragraphs for `format=flowed` text."""
    safe_html: bool = False
    """Store HTML that is safe to show: no scripts, nothing loaded from elsewhere, the mail's own images inside.
    Off, as it is a second copy of each HTML text, which only those need who show mail."""
    passwords: Annotated[list[PasswordSection], Field(max_length=50)] = Field(default_factory=list)
    """Passwords to try on encrypted ZIP archives and PDFs, in this order; at most 50. Files of an archive, and a
    copy of the PDF without encryption, are stored below the attachment, which stays as it is."""


class RuleSection(Section):
    """A condition, and what follows from it for a message that fulfils it. Rules apply in their order."""

    name: Name
    """Names the rule in manifests, logs and `mailhaul rules test`."""
    when: Condition
    """Condition in CEL on the manifest, such as `documents.exists(d, d.kind == 'invoice')`. It sees the labels that
    the rules before it gave. One that cannot be evaluated holds. Needs an extra: `pip install 'mailhaul[rules]'`."""
    labels: Annotated[list[Name], Field(max_length=16)] = Field(default_factory=list)
    """Labels of a message that fulfils it, at most 16: in manifest and event, for consumers and for the conditions of
    sinks. All rules together may have 64."""
    quarantine: bool = False
    """Put a message that fulfils it in quarantine: its event goes only to sinks whose option `quarantined` asks for
    it."""

    @model_validator(mode="after")
    def _does_something(self) -> RuleSection:
        if not self.labels and not self.quarantine:
            raise ValueError("write `labels`, or `quarantine: true`: the rule does nothing without them")
        return self


class DuplicatesSection(Section):
    """Finding messages, files and invoices that came before. They are marked, and nothing is dropped."""

    enabled: bool = True
    """Whether manifests and events say what came before (`duplicate_of`)."""
    window: Annotated[Duration, Field(ge=3600)] = 90 * 86_400.0
    """How long a message counts as one that came before; at least 1h."""
    entries: Annotated[int, Field(ge=1000, le=100_000_000)] = 200_000
    """Number of messages, files and invoices to remember at the most, in the ledger's memory: about 100 bytes each.
    With more the oldest are forgotten before `window` is over."""


class AuditSection(Section):
    """Statements: records, day by day, of what each mailbox received, chained so that a removed one shows."""

    enabled: bool = False
    """Let the scheduler write a statement about each day and mailbox. Off, as it lists each mailbox's objects and
    reads each new manifest once a day; the first statement reads every manifest. `mailhaul audit write` too."""
    grace: Annotated[Duration, Field(ge=600, le=43_200)] = 3_600.0
    """How long after the end of a day (UTC) its statements are written; 10m to 12h. It must be longer than an upload
    takes, and than the clocks of store and service differ."""
    key: SecretRef | None = None
    """Where the Ed25519 private key that statements are signed with is, in PEM: `env:NAME` or `file:/path`. Without
    it they are chained and not signed."""


def _scanner_url(value: str) -> str:
    parts = split_url(value)
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return value
    if parts.scheme == "tcp" and parts.hostname and parts.port and parts.username is None and not parts.path:
        return value
    raise ValueError("write unix:///run/clamav/clamd.ctl or tcp://host:3310")


def _at_most_longest_scan(seconds: float) -> float:
    if seconds > _LONGEST_SCAN:
        raise ValueError("must be 2m or shorter")
    return seconds


class ScanSection(Section):
    """A ClamAV daemon that scans every attachment."""

    url: Annotated[str, AfterValidator(_scanner_url)]
    """Address of clamd: `unix:///run/clamav/clamd.ctl` or `tcp://host:3310`."""
    policy: Literal["report", "quarantine"] = "report"
    """`report` marks an infected attachment in manifest and event; `quarantine` also stores it in a separate
    folder."""
    max_bytes: Size = 25 * 2**20
    """Maximum size of an attachment that is scanned. Keep it at or below clamd's own StreamMaxLength (25 MB by
    default) and MaxFileSize."""
    timeout: Annotated[Duration, AfterValidator(_at_most_longest_scan)] = 30.0
    """For one attachment; at most 2m. One that takes longer is recorded as `unscanned`, so that it cannot stop the
    message."""


def scan_section(value: object) -> object:
    """Return the section for what was written: a string is the URL."""
    return {"url": value} if isinstance(value, str) else value


def _processors() -> int:
    return len(os.sched_getaffinity(0))


class WorkersSection(Section):
    """The concurrency of each worker process."""

    poll_threads: Annotated[int, Field(ge=1, le=1000)] = 50
    """Number of mailboxes that a poller polls at once. Polling is mostly waiting, so threads are cheap."""
    stop_polling_at: Annotated[float, Field(ge=0.1, le=0.95)] = 0.8
    """Share of the ledger's memory (`maxmemory`) at which polling stops until sinks have acknowledged events.
    Processing stops half-way between this and 1. The rest is for delivery, which frees memory."""
    processes: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=_processors)
    """Number of messages that a processor parses at once. Parsing is computing, so more processes than CPUs gain
    nothing."""
    relay_threads: Annotated[int, Field(ge=1, le=256)] = 4
    """Number of sinks that a relay serves at once."""


class MetricsSection(Section):
    """Where each process serves its Prometheus metrics and its health check."""

    address: Host = METRICS_ADDRESS
    """Address to listen on. This machine only by default, as metrics have no password; containers need `0.0.0.0`."""
    port: Port = METRICS_PORT
    """Port to listen on. `mailhaul up` uses this one and the next five. The default is that of OpenTelemetry's
    Prometheus exporters."""
    mailbox_label: bool = True
    """Label metrics with the mailbox's id. `false` where thousands of mailboxes would make too many series."""


class LogSection(Section):
    """The log of each process, on standard error."""

    format: Literal["auto", "json", "text"] = "auto"
    """`auto` is text on a terminal, else JSON."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged. `debug` adds polls that found nothing new."""


class TracingSection(Section):
    """Traces to an OpenTelemetry collector over OTLP/HTTP. `OTEL_*` variables set what is not written here."""

    endpoint: HttpUrl | None = None
    """Address of the collector; `/v1/traces` is appended."""
    sample: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of traces to keep, from 0 to 1, decided once per poll."""
