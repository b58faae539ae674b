"""Build a runtime from the configuration: open each adapter that it asks for."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

from ingest.adapters.dkim import published_keys
from ingest.adapters.ledger import connect
from ingest.adapters.ledger.address import Broker, broker
from ingest.adapters.ledger.brokers import broker_check, require_no_cluster
from ingest.adapters.ledger.embedded import EmbeddedLedger
from ingest.adapters.stores import open_store
from ingest.adapters.stores.metered import MeteredStore
from ingest.config import Secrets
from ingest.domain.keys import Layout
from ingest.domain.retention import Lock
from ingest.errors import ConfigError
from ingest.expressions import Expression
from ingest.ports.content import ContentLimits
from ingest.ports.tracing import NO_TRACING
from ingest.usecases.schedule import Schedule
from ingest.wiring.accounts import Accounts
from ingest.wiring.login import check_login
from ingest.wiring.runtime import Runtime
from ingest.wiring.sinks import open_sink, sink_fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from ingest.config import Config, ConfigSource
    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.metrics import Metrics
    from ingest.pop3 import Pop3Connector
    from ingest.ports.dkim import DkimKeys
    from ingest.ports.maildrop import Maildrop, MaildropFactory
    from ingest.ports.scanner import Scanner
    from ingest.ports.signing import PublicKey, Signer
    from ingest.ports.store import Store
    from ingest.ports.tracing import Tracer
    from ingest.ports.wakeups import Wakeups
    from ingest.usecases.process.processor import Processor
    from ingest.usecases.process.rules import Rule


def build(source: ConfigSource, ledger_at: str, metrics: Metrics, wakeups: Wakeups) -> Runtime:
    """Build a runtime. No connection is made yet, so that an unavailable part fails where it is used.

    Mailboxes and secrets follow their files while the process runs; everything else is as configured now.

    Args:
        source: the configuration.
        ledger_at: URL of the ledger, from `ledger_url`.
        metrics: of this process.
        wakeups: sends wake-ups to other processes.

    Raises:
        StartError: DKIM signatures are to be verified, and the packages for that are not installed.
    """
    config = source.current()
    secrets = Secrets(source.folder, source.environ)
    accounts = Accounts(source, secrets)
    store, prefix = configured_store(config, secrets)
    ledger, events = connect(ledger_at, config.deployment)
    sections = {section.name: section for section in config.sinks}
    sinks = {sink.name: sink for sink in (open_sink(section, secrets) for section in config.sinks)}
    return Runtime(
        ledger=ledger,
        events=events,
        store=MeteredStore(store, metrics),
        layout=Layout(prefix),
        sinks=sinks,
        wakeups=wakeups,
        metrics=metrics,
        connect=_maildrops(),
        mailboxes=accounts.mailboxes,
        credentials=accounts.credentials,
        fingerprint=accounts.fingerprint,
        sink_fingerprint=lambda name: sink_fingerprint(sections[name], secrets),
        schedule=_schedule(source, list(sinks)),
        open_processor=partial(_open_processor, config, accounts, published_keys() if config.parse.dkim else None),
        scanner=_open_scanner(config),
        rules=_rules(config),
        retention=[section.rule() for section in config.retention],
        content_limits=_content_limits(config),
        poll_share=config.workers.stop_polling_at,
        poll_threads=config.workers.poll_threads,
        open_tracer=lambda: _open_tracer(config),
        check_broker=broker_check(config.broker, ledger_at),
        passwords=[partial(secrets.read, section.password) for section in config.parse.passwords],
        open_signer=partial(_open_signer, config.audit.key, secrets) if config.audit.key else None,
        check_login=partial(check_login, config, secrets) if config.console and config.console.oidc else None,
        open_audit_keys=partial(_audit_keys, config, secrets),
        statement_grace=config.audit.grace,
        writes_statements=config.audit.enabled,
        keeps_answers=config.console is not None,
    )


def _maildrops() -> MaildropFactory:
    """Return a factory that imports the POP3 client when a session is opened: most processes open none."""

    @cache
    def connector() -> Pop3Connector:
        from ingest.pop3 import Pop3Connector  # noqa: PLC0415

        return Pop3Connector()

    def open_maildrop(
        mailbox: Mailbox,
        credentials: Credentials,
        observe: Callable[[str, float], None],
        acquire_slot: Callable[[str], None],
    ) -> Maildrop:
        return connector()(mailbox, credentials, observe, acquire_slot)

    return open_maildrop


def _schedule(source: ConfigSource, sinks: Collection[str]) -> Callable[[], Schedule]:
    """Return a function that returns the current schedule.

    Its sinks are always those that the process was started with, whatever the files say by now. It is the same object
    until the configuration changes: the scheduler asks every second.
    """
    from_now = frozenset(section.name for section in source.current().sinks if section.start == "now")

    def schedule_of(config: Config) -> Schedule:
        mailboxes = config.mailboxes_by_id().values()
        enabled, disabled = ([box.id for box in mailboxes if box.enabled is wanted] for wanted in (True, False))
        digest = f"{config.schedule_digest()} {' '.join(sorted(sinks))}"
        partial = {sink.name for sink in config.sinks} != set(sinks)
        return Schedule(enabled, sinks, digest, from_now, frozenset(disabled), partial)

    last: tuple[Config, Schedule] | None = None

    def schedule() -> Schedule:
        nonlocal last
        config = source.current()
        if last is None or last[0] is not config:
            last = config, schedule_of(config)
        return last[1]

    return schedule


@contextmanager
def ledger_url(config: Config) -> Iterator[str]:
    """Yield the URL of the ledger; an embedded ledger runs until the `with` block ends.

    Raises:
        StartError: the embedded ledger does not start.
    """
    if config.ledger_folder is None:
        yield config.ledger_url
        return
    with EmbeddedLedger(config.ledger_folder) as embedded:
        yield embedded.url


def broker_of(config: Config, ledger_at: str) -> Broker:
    """Return where wake-ups are sent: the configured broker, or else the ledger.

    Raises:
        StartError: that is a Redis Cluster.
    """
    url = config.broker_url(ledger_at)
    require_no_cluster(url)
    return broker(url)


def configured_store(config: Config, secrets: Secrets) -> tuple[Store, str]:
    """Open the configured store; return it and the prefix of its keys.

    Raises:
        ConfigError: a secret that it needs cannot be read.
    """
    section = config.store
    access_key, secret_key = section.access_key, section.secret_key

    def read_secret(option: str, ref: str) -> str:
        try:
            return secrets.read(ref)
        except ConfigError as error:
            raise ConfigError([f"store.{option}: {problem}" for problem in error.problems]) from error

    def keys() -> tuple[str, str] | None:
        if access_key is None or secret_key is None:
            return None
        return read_secret("access_key", access_key), read_secret("secret_key", secret_key)

    named = {name: getattr(section, name) for name in ("credentials", "account_key", "sas_token")}
    read = {name: partial(read_secret, name, ref) for name, ref in named.items() if ref is not None}
    keys()  # a secret that is missing is reported at the start
    for secret in read.values():
        secret()
    return open_store(
        section.url,
        endpoint=section.endpoint,
        region=section.region,
        path_style=section.path_style,
        kms_key=section.kms_key,
        keys=keys,
        lock=None if section.lock is None else Lock(section.lock.mode, section.lock.retain),
        tags=section.tags,
        secrets=read,
    )


def _rules(config: Config) -> Sequence[Rule]:
    if not config.rules:
        return ()
    from ingest.usecases.process.rules import Rule  # noqa: PLC0415 - with the parser, which most processes do not need

    return [Rule(rule.name, Expression(rule.when), tuple(rule.labels), rule.quarantine) for rule in config.rules]


def _open_processor(config: Config, accounts: Accounts, keys: DkimKeys | None, runtime: Runtime) -> Processor:
    # Imported here because only processors need it, with the parsers of everything that a message may contain.
    from ingest.mime import MimeLimits  # noqa: PLC0415
    from ingest.usecases.process.authentication import Authenticator  # noqa: PLC0415
    from ingest.usecases.process.derived import TextOptions  # noqa: PLC0415
    from ingest.usecases.process.processor import Processor  # noqa: PLC0415
    from ingest.usecases.process.scanning import Scanning  # noqa: PLC0415
    from ingest.wiring.passwords import password_source  # noqa: PLC0415

    parse, scan = config.parse, config.scan
    return Processor(
        runtime.store,
        runtime.metrics,
        runtime.uploads,
        authenticator=Authenticator(accounts.trust, keys, parse.dkim_bytes),
        scanning=Scanning(runtime.scanner, quarantine=scan is not None and scan.policy == "quarantine"),
        extra_fields=tuple(parse.headers),
        limits=MimeLimits(parts=parse.parts, depth=parse.depth),
        invoice_fields=parse.invoice_fields,
        duplicates=runtime.duplicates,
        rules=runtime.rules,
        passwords=password_source(parse.passwords, accounts.secrets),
        texts=TextOptions(plain_text=parse.plain_text, safe_html=parse.safe_html),
        handover=runtime.handover,
    )


def _content_limits(config: Config) -> ContentLimits | None:
    section = config.duplicates
    return ContentLimits(section.window, section.entries) if section.enabled else None


def _open_signer(ref: str, secrets: Secrets) -> Signer:
    """Return the key that statements are signed with, as it is now.

    Raises:
        ConfigError: it is missing, or no such key.
    """
    # Imported here because few processes sign, and cryptography takes 0.1 s.
    from ingest.adapters.signing import load_signer  # noqa: PLC0415

    return load_signer(secrets.read(ref), ref)


def _audit_keys(config: Config, secrets: Secrets) -> dict[str, PublicKey]:
    """Return the public key that statements are signed with, by its id; errors as for `_open_signer`."""
    ref = config.audit.key
    if ref is None:
        return {}
    from ingest.adapters.signing import load_public_key  # noqa: PLC0415 - as above

    key = load_public_key(secrets.read(ref), ref)
    return {key.key_id: key}


def _open_scanner(config: Config) -> Scanner | None:
    scan = config.scan
    if scan is None:
        return None
    # Imported here because it takes the models of the manifest, and most processes scan nothing.
    from ingest.adapters.scanners.clamd import ClamdScanner  # noqa: PLC0415

    return ClamdScanner(scan.url, timeout=scan.timeout, largest=scan.max_bytes)


def _open_tracer(config: Config) -> Tracer:
    section = config.tracing
    if section is None:
        return NO_TRACING
    # Imported here because it needs packages of an extra; the configuration was rejected if they are missing.
    from ingest.adapters.tracing.otlp import otlp_tracer  # noqa: PLC0415

    return otlp_tracer(section.endpoint, section.sample)
