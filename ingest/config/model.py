"""The whole configuration: its sections, and what the rest of the program asks of it.

`ingest.config.load` fills the model. The options themselves are in `sections`, `mailbox` and `sinks`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from ingest.config import logins, translate
from ingest.config.console import ConsoleSection  # noqa: TC001 - pydantic resolves it at run time
from ingest.config.descriptions import describe
from ingest.config.fields import BROKER_SCHEMES, DEFAULT_DEPLOYMENT, Name, Section, with_scheme
from ingest.config.mailbox import DefaultsSection, MailboxSection
from ingest.config.names import require_configured
from ingest.config.sections import (
    AuditSection,
    DuplicatesSection,
    LedgerSection,
    LogSection,
    MetricsSection,
    ParseSection,
    RetentionSection,
    RuleSection,
    ScanSection,
    StoreSection,
    TracingSection,
    WorkersSection,
    ledger_section,
    scan_section,
    store_section,
)
from ingest.config.sinks import SECTIONS, SinkSection, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ingest.config.secrets import Secrets
    from ingest.domain.grant import TokenLogin
    from ingest.domain.mailbox import Credentials, Mailbox

_BROKER_FORMS = "write an address: redis://host:6379/0 or another one as for the ledger, or amqp(s)://host//"
_NO_CLUSTER = (
    "Celery cannot use a Redis Cluster as its broker; write the address of a Redis or Valkey without cluster mode (a "
    "small one will do: it keeps nothing), or amqp://host//"
)


class Config(Section):
    """The whole configuration, valid by itself; `ingest.config.rules` checks what sections require of each other."""

    store: Annotated[StoreSection, BeforeValidator(store_section, json_schema_input_type=str | StoreSection)]
    """Where messages are stored: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://account/container/prefix`,
    `file:///folder`, or a mapping."""
    ledger: Annotated[LedgerSection, BeforeValidator(ledger_section, json_schema_input_type=str | LedgerSection)]
    """Where schedule, claims and the event stream are kept: `redis://host:6379/0`, `embedded` (in the folder
    `mailhaul-ledger` beside the file), `{embedded: folder}`, or where the address is: `env:NAME`, `file:/path`. An
    address with a password must be given that way."""
    deployment: Name = DEFAULT_DEPLOYMENT
    """Name of this deployment. The names of its keys in the ledger and of its queues on the broker begin with it, so
    that deployments with different names can share a server. With another name the ledger starts empty and is rebuilt
    from the store."""
    broker: Annotated[str, with_scheme(BROKER_SCHEMES, _BROKER_FORMS, _NO_CLUSTER)] | None = Field(
        default=None, repr=False
    )
    """Address of Celery's broker, which carries wake-ups: as for `ledger`, or `amqp://host//`, `amqps://host//` for
    RabbitMQ; or `env:NAME`, `file:/path`. Wake-ups may be lost without harm, so the ledger will do, unless it is a
    Redis Cluster, which Celery cannot use: then name a server without cluster mode."""
    sinks: list[SinkSection] = Field(default_factory=list)
    """Consumers that events are delivered to. None is needed: the event stream can be read from the ledger."""
    defaults: DefaultsSection = DefaultsSection()
    """Options that mailboxes inherit."""
    mailboxes: list[MailboxSection] = Field(default_factory=list)
    """The POP3 maildrops to poll."""
    parse: ParseSection = ParseSection()
    """How messages are read."""
    duplicates: DuplicatesSection = DuplicatesSection()
    """How what came before is found."""
    rules: Annotated[list[RuleSection], Field(max_length=100)] = Field(default_factory=list)
    """Conditions on messages, and the labels or the quarantine that follow from them; at most 100."""
    retention: Annotated[list[RetentionSection], Field(max_length=100)] = Field(default_factory=list)
    """How long messages are kept, at most 100 rules. Of several that match a message the longest counts; a message
    that none matches is kept for ever. `mailhaul purge retention` erases; nothing is erased by itself."""
    scan: Annotated[
        ScanSection | None, BeforeValidator(scan_section, json_schema_input_type=str | ScanSection | None)
    ] = None
    """ClamAV daemon that scans every attachment: its address, or a mapping. Nothing is scanned without it."""
    audit: AuditSection = AuditSection()
    """Statements about what was stored, to prove that the archive is complete."""
    workers: WorkersSection = Field(default_factory=WorkersSection)
    """The concurrency of each worker process."""
    metrics: MetricsSection = MetricsSection()
    """Where each process serves its metrics."""
    console: ConsoleSection | None = None
    """The console: search, messages and actions in the browser and over HTTP. With this section, `{}` at least,
    `mailhaul up` runs it too. Needs an extra: `pip install 'mailhaul[console]'`."""
    log: LogSection = LogSection()
    """The log of each process."""
    tracing: TracingSection | None = None
    """Where traces are sent; `{}` where `OTEL_*` variables say everything. Nothing is traced without it. Needs an
    extra: `pip install 'mailhaul[tracing]'`."""

    @model_validator(mode="before")
    @classmethod
    def _name_sinks(cls, data: Any) -> Any:
        return {**data, "sinks": named(data["sinks"])} if isinstance(data, dict) and "sinks" in data else data

    @property
    def ledger_folder(self) -> Path | None:
        """The folder of the embedded ledger; None if the ledger is a server elsewhere."""
        return self.ledger.embedded

    @property
    def ledger_url(self) -> str:
        """The address of the ledger; empty if it is embedded."""
        return self.ledger.url or ""

    def broker_url(self, ledger_url: str) -> str:
        """Return the address of the broker: its own, else the ledger's."""
        return self.broker or ledger_url

    @cached_property
    def _mailboxes(self) -> Mapping[str, Mailbox]:
        return translate.mailboxes(self.mailboxes, self.defaults)

    def mailboxes_by_id(self) -> Mapping[str, Mailbox]:
        """Return every mailbox with defaults filled in, including disabled ones."""
        return self._mailboxes

    @cached_property
    def _sections(self) -> Mapping[str, MailboxSection]:
        return {section.id: section for section in self.mailboxes}

    def _section(self, mailbox: str) -> MailboxSection:
        require_configured("mailbox", [mailbox], self._sections)
        return self._sections[mailbox]

    def login(self, mailbox: str, secrets: Secrets) -> Credentials | TokenLogin:
        """Return the credentials of a mailbox, with secrets as they are now.

        Raises:
            ConfigError: a secret is missing, or the mailbox is no longer configured.
        """
        section = self._section(mailbox)
        return logins.login(section, section.proxy or self.defaults.proxy, secrets)

    def fingerprint(self, mailbox: str, secrets: Secrets) -> bytes:
        """Return a digest that changes when anything changes that the mailbox's login depends on.

        Raises:
            ConfigError: a secret is missing, or the mailbox is no longer configured.
        """
        return logins.fingerprint(self._section(mailbox), secrets)

    @cached_property
    def _schedule_digest(self) -> str:
        return translate.schedule_digest(self.mailboxes_by_id().values(), [sink.name for sink in self.sinks])

    def schedule_digest(self) -> str:
        """Return hex digits that change with the mailboxes, their intervals and `enabled`, and the sinks."""
        return self._schedule_digest


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the configuration, for editors.

    `load` may still reject what it accepts: a schema cannot express every rule.
    """
    schema = Config.model_json_schema(mode="validation")
    definitions = schema["$defs"]
    describe(schema, Config)
    for section in _subclasses(Section):
        if section.__name__ in definitions and section is not Config:
            describe(definitions[section.__name__], section)
    for section in SECTIONS:
        # `load` names sinks that have no name.
        definitions[section.__name__]["required"].remove("name")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Mailhaul configuration",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _subclasses(section: type[Section]) -> Iterator[type[Section]]:
    for below in section.__subclasses__():
        yield below
        yield from _subclasses(below)
