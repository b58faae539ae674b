"""From configuration to the domain's own values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ingest.config.secrets import is_reference
from ingest.domain.mailbox import Credentials, Deadlines, Deletion, Limits, Mailbox, Server, Tls
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ingest.config.model import Config, DeadlinesSection, DefaultsSection, LimitsSection, MailboxSection
    from ingest.config.secrets import Secrets

_UNKNOWN = "there is no mailbox {} in the configuration; add it, or leave it out of the command"
PORTS = {Tls.IMPLICIT: 995, Tls.STARTTLS: 110, Tls.NONE: 110}
INTERVAL = 60.0


def mailboxes(config: Config) -> Mapping[str, Mailbox]:
    """Every mailbox by id, in the order of the configuration."""
    return {section.id: _mailbox(section, config.defaults) for section in config.mailboxes}


def _mailbox(section: MailboxSection, defaults: DefaultsSection) -> Mailbox:
    return Mailbox(
        id=section.id,
        server=_server(section, defaults),
        interval=section.interval or defaults.interval or INTERVAL,
        enabled=section.enabled,
        deletion=section.policy or defaults.policy or Deletion(),
        deadlines=replace(Deadlines(), **{**_set(defaults.deadlines), **_set(section.deadlines)}),
        limits=replace(Limits(), **{**_set(defaults.limits), **_set(section.limits)}),
        labels={**defaults.labels, **section.labels},
        prefix=section.prefix,
    )


def tls(section: MailboxSection, defaults: DefaultsSection) -> Tls:
    """How a mailbox's connection is protected."""
    return section.tls or defaults.tls or Tls.IMPLICIT


def _server(section: MailboxSection, defaults: DefaultsSection) -> Server:
    protection = tls(section, defaults)
    # A mailbox with a `tls` of its own would seldom want the port that goes with another.
    inherited = defaults.port if protection is (defaults.tls or Tls.IMPLICIT) else None
    ca = section.ca or defaults.ca
    return Server(
        host=section.host,
        port=section.port or inherited or PORTS[protection],
        tls=protection,
        ca_file=None if ca is None else str(ca),
        fingerprint=section.fingerprint,
    )


def _set(section: LimitsSection | DeadlinesSection) -> dict[str, Any]:
    return section.model_dump(exclude_none=True)


def credentials(config: Config, mailbox: str, secrets: Secrets) -> Credentials:
    """Who logs in to a mailbox.

    Raises:
        ConfigError: the secret is missing, or there is no such mailbox.
    """
    for section in config.mailboxes:
        if section.id == mailbox:
            return Credentials(section.auth.username, _password(section, secrets))
    raise ConfigError([_UNKNOWN.format(mailbox)])


def _password(section: MailboxSection, secrets: Secrets) -> str:
    try:
        return secrets.read(section.auth.password)
    except ConfigError as error:
        raise ConfigError(
            [f"mailbox {section.id}: auth.password: {problem}" for problem in error.problems]
        ) from error


def fingerprint(config: Config, mailbox: str, secrets: Secrets) -> bytes:
    """SHA-256 over everything that a mailbox's login depends on, its secrets as they are now.

    Raises:
        ConfigError: a secret is missing, or there is no such mailbox.
    """
    for section in config.mailboxes:
        if section.id == mailbox:
            written = section.auth.model_dump(mode="json")
            read = {name: secrets.read(value) if is_reference(value) else value for name, value in written.items()}
            return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).digest()
    raise ConfigError([_UNKNOWN.format(mailbox)])


def schedule_digest(boxes: Iterable[Mailbox], sinks: Iterable[str]) -> str:
    """Hex digits that follow from what is scheduled: the enabled mailboxes with their intervals, and the sinks."""
    scheduled = sorted((box.id, box.interval) for box in boxes if box.enabled)
    return hashlib.sha256(json.dumps([scheduled, sorted(sinks)]).encode()).hexdigest()[:32]
