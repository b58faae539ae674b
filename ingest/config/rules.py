"""Rules between options: what mailboxes and sinks require of each other and of other sections."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ingest.config import logins, translate
from ingest.config.fields import split_url
from ingest.config.mailbox import OAuth2Auth
from ingest.config.providers import PRESETS
from ingest.config.sinks import KafkaSinkSection
from ingest.domain.mailbox import Tls
from ingest.domain.retention import is_shorter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.config.document import Steps
    from ingest.config.mailbox import MailboxSection
    from ingest.config.model import Config
    from ingest.config.sections import StoreSection

# Modules of the extras `tracing` and `kafka`.
_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_KAFKA = "confluent_kafka"
# And those of the extra `console`.
CONSOLE = ("alembic", "fastapi", "jinja2", "sqlalchemy", "uvicorn")
# Labels are never left out of an event, however large it is.
_MOST_LABELS = 64


def console_installed() -> bool:
    """Whether the packages of the console are installed."""
    return all(_installed(module) for module in CONSOLE)


def broken(config: Config, place: Callable[[Steps], str]) -> Iterator[tuple[Steps, str]]:
    """Yield each broken rule as path and remedy.

    Args:
        config: valid by itself.
        place: formats the position of a path, for problems that involve two.
    """
    yield from _repeated(
        ((("sinks", number, "name"), sink.name) for number, sink in enumerate(config.sinks)),
        lambda first: f"is already the name of the sink at {place(first)}; choose another",
    )
    yield from _repeated(
        ((("rules", number, "name"), rule.name) for number, rule in enumerate(config.rules)),
        lambda first: f"is already the name of the rule at {place(first)}; choose another",
    )
    yield from _repeated(
        ((("retention", number, "name"), rule.name) for number, rule in enumerate(config.retention)),
        lambda first: f"is already the name of the rule at {place(first)}; choose another",
    )
    yield from _locked_longer(config)
    if len({label for rule in config.rules for label in rule.labels}) > _MOST_LABELS:
        yield ("rules",), f"have more than {_MOST_LABELS} different labels; events would grow too large"
    yield from _repeated(
        ((("mailboxes", number, "id"), box.id) for number, box in enumerate(config.mailboxes)),
        lambda first: f"is already the id of the mailbox at {place(first)}; choose another",
    )
    yield from _repeated(
        (
            (("mailboxes", number, "auth", "username"), _maildrop(config, box))
            for number, box in enumerate(config.mailboxes)
        ),
        lambda first: f"is the same maildrop as at {place(first)}; a maildrop can have one reader, so remove one",
    )
    yield from _same_folder(config, place)
    yield from _trust_without_tls(config)
    yield from _unknown_servers(config)
    yield from _unknown_mailboxes(config)
    yield from _tokens(config)
    yield from _not_installed(config)


def _locked_longer(config: Config) -> Iterator[tuple[Steps, str]]:
    """Erasing would be refused again and again."""
    lock = config.store.lock
    for number, rule in enumerate(config.retention if lock is not None else ()):
        for option in ("keep", "raw"):
            period = getattr(rule, option)
            if lock is not None and period is not None and is_shorter(period, lock.retain):
                steps = "retention", number, option
                yield (
                    steps,
                    "is shorter than store.lock.retain; lengthen it, or shorten the lock",
                )


def _maildrop(config: Config, box: MailboxSection) -> tuple[str, int, str]:
    """Return what tells maildrops apart.

    POP3's own two ports lead to the same server. Any other one may be a tunnel, which leads elsewhere.
    """
    port = translate.port(box, config.defaults)
    standard = port in translate.PORTS.values()
    return translate.host(box).lower(), 0 if standard else port, box.auth.username


def _repeated(values: Iterator[tuple[Steps, object]], words: Callable[[Steps], str]) -> Iterator[tuple[Steps, str]]:
    first: dict[object, Steps] = {}
    for steps, value in values:
        if value in first:
            yield steps, words(first[value])
        first.setdefault(value, steps)


def _same_folder(config: Config, place: Callable[[Steps], str]) -> Iterator[tuple[Steps, str]]:
    """Two mailboxes in one folder would overwrite each other's checkpoint."""
    ids = {box.id: number for number, box in enumerate(config.mailboxes)}
    first: dict[str, int] = {}
    for number, box in enumerate(config.mailboxes):
        if box.prefix is None:
            continue
        other = ids.get(box.prefix, first.get(box.prefix, number))
        if other != number:
            where = place(("mailboxes", other))
            yield ("mailboxes", number, "prefix"), f"is already the folder of the mailbox at {where}; choose another"
        first.setdefault(box.prefix, number)


def _trust_without_tls(config: Config) -> Iterator[tuple[Steps, str]]:
    for number, box in enumerate(config.mailboxes):
        if translate.tls(box, config.defaults) is not Tls.NONE:
            continue
        for option in ("ca", "fingerprint", "tls_minimum", "ciphers", "client_certificate"):
            if getattr(box, option) is not None:
                yield (
                    ("mailboxes", number, option),
                    "has no effect without TLS; leave it out, or choose another `tls`",
                )


def _unknown_servers(config: Config) -> Iterator[tuple[Steps, str]]:
    for number, box in enumerate(config.mailboxes):
        if not translate.host(box):
            yield ("mailboxes", number, "host"), "is missing; add it, or a `provider` that has one"


def _unknown_mailboxes(config: Config) -> Iterator[tuple[Steps, str]]:
    known = {box.id for box in config.mailboxes}
    for number, section in enumerate(config.parse.passwords):
        for place, mailbox in enumerate(section.mailboxes):
            if mailbox not in known:
                steps = "parse", "passwords", number, "mailboxes", place
                yield steps, "is not the id of a mailbox; correct it, or leave it out"


def _not_installed(config: Config) -> Iterator[tuple[Steps, str]]:
    """Check extras here: a missing exporter would go unnoticed, and each worker would find out late."""
    if config.tracing is not None and not _installed(_EXPORTER):
        yield ("tracing",), "needs packages that are not installed: pip install 'mailhaul[tracing]'"
    if config.console is not None and not console_installed():
        yield ("console",), "needs packages that are not installed: pip install 'mailhaul[console]'"
    for extra, module in _token_packages(config.store):
        if not _installed(module):
            yield ("store",), f"needs packages that are not installed: pip install 'mailhaul[{extra}]'"
    for number, sink in enumerate(config.sinks):
        if isinstance(sink, KafkaSinkSection) and not _installed(_KAFKA):
            yield ("sinks", number, "type"), "needs a package that is not installed: pip install 'mailhaul[kafka]'"


def _token_packages(store: StoreSection) -> Iterator[tuple[str, str]]:
    """Yield the extra and the module that a store's access tokens need; no tokens are sent over `http://`."""
    unprotected = (store.endpoint or "").startswith("http://")
    if store.url.startswith("gs://") and not unprotected:
        yield "gcs", "google.auth"
    if store.url.startswith("az://") and store.account_key is None and store.sas_token is None:
        yield "azure", "azure.identity"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def _protected(url: str) -> bool:
    """Return whether the connection is encrypted, as RFC 6749 section 3.2 requires, or stays on this machine."""
    parts = split_url(url)
    return parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1", "::1"}


def _tokens(config: Config) -> Iterator[tuple[Steps, str]]:
    for number, box in enumerate(config.mailboxes):
        auth = box.auth
        if not isinstance(auth, OAuth2Auth):
            continue
        here: Steps = ("mailboxes", number, "auth")
        url = logins.token_url(auth, PRESETS[box.provider])
        if not url:
            yield (*here, "token_url"), "is missing; add it, or a `provider` that has one"
        elif not _protected(url):
            yield (*here, "token_url"), "would send the secret in clear text; write it with https://"
        elif "{tenant}" in url and auth.tenant is None:
            yield (*here, "tenant"), "is missing; write the id of the directory, or one of its domains"
        elif "{tenant}" not in url and auth.tenant is not None:
            yield (*here, "tenant"), "has no effect here; leave it out, or write {tenant} into token_url"
        if translate.tls(box, config.defaults) is Tls.NONE:
            yield (*here, "type"), "oauth2 would send its token in clear text; choose another `tls` than none"
