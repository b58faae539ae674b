"""Translate mailbox sections into the domain's values: defaults, provider and mailbox combined."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ingest.config.fields import split_url
from ingest.config.providers import PRESETS
from ingest.domain.mailbox import Deadlines, Deletion, Limits, Mailbox, Proxy, Server, Tls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ingest.config.mailbox import (
        DeadlinesSection,
        DefaultsSection,
        LimitsSection,
        MailboxSection,
        ProxySection,
    )
    from ingest.domain.mailbox import ProxyKind

PORTS = {Tls.IMPLICIT: 995, Tls.STARTTLS: 110, Tls.NONE: 110}
INTERVAL = 60.0


def mailboxes(sections: Iterable[MailboxSection], defaults: DefaultsSection) -> Mapping[str, Mailbox]:
    """Return every mailbox by id, in the order of the configuration."""
    return {section.id: _mailbox(section, defaults) for section in sections}


def _mailbox(section: MailboxSection, defaults: DefaultsSection) -> Mailbox:
    return Mailbox(
        id=section.id,
        server=_server(section, defaults),
        interval=section.interval or defaults.interval or INTERVAL,
        enabled=section.enabled,
        deletion=section.policy or defaults.policy or Deletion(),
        deadlines=replace(Deadlines(), **{**_set(defaults.deadlines), **_set(section.deadlines)}),
        limits=_limits(section, defaults),
        labels={**defaults.labels, **section.labels},
        prefix=section.prefix,
        authserv_id=section.authserv_id or defaults.authserv_id,
        trusted_hops=defaults.trusted_hops if section.trusted_hops is None else section.trusted_hops,
    )


def _limits(section: MailboxSection, defaults: DefaultsSection) -> Limits:
    of_provider = PRESETS[section.provider].connections or Limits().connections
    return replace(Limits(connections=of_provider), **{**_set(defaults.limits), **_set(section.limits)})


def host(section: MailboxSection) -> str:
    """Return the name of the POP3 server; empty where neither mailbox nor provider has one (`rules` reports that)."""
    return section.host or PRESETS[section.provider].host or ""


def tls(section: MailboxSection, defaults: DefaultsSection) -> Tls:
    """Return how a mailbox's connection is protected."""
    if PRESETS[section.provider].host is not None:
        return section.tls or Tls.IMPLICIT
    return section.tls or defaults.tls or Tls.IMPLICIT


def port(section: MailboxSection, defaults: DefaultsSection) -> int:
    """Return the port of the POP3 server."""
    protection = tls(section, defaults)
    # The port of `defaults` belongs to the `tls` of `defaults`, not to another one and not to a provider.
    inherits = protection is (defaults.tls or Tls.IMPLICIT) and PRESETS[section.provider].host is None
    return section.port or (defaults.port if inherits else None) or PORTS[protection]


def _server(section: MailboxSection, defaults: DefaultsSection) -> Server:
    preset = PRESETS[section.provider]
    ca = section.ca or (defaults.ca if preset.host is None else None)
    return Server(
        host=host(section),
        port=port(section, defaults),
        tls=tls(section, defaults),
        ca_file=None if ca is None else str(ca),
        fingerprint=section.fingerprint,
        proxy=_proxy(section.proxy or defaults.proxy),
        quirks=preset.quirks,
        tls_minimum=section.tls_minimum,
        ciphers=section.ciphers,
    )


def _proxy(section: ProxySection | None) -> Proxy | None:
    if section is None:
        return None
    parts = split_url(section.url)
    assert parts.hostname is not None  # ProxySection has checked both
    assert parts.port is not None
    return Proxy(cast("ProxyKind", parts.scheme), parts.hostname, parts.port)


def _set(section: LimitsSection | DeadlinesSection) -> dict[str, Any]:
    return section.model_dump(exclude_none=True)


def schedule_digest(boxes: Iterable[Mailbox], sinks: Iterable[str]) -> str:
    """Return 32 hex digits over what is scheduled: mailboxes with their intervals (0 if disabled), and sinks."""
    scheduled = sorted((box.id, box.interval if box.enabled else 0.0) for box in boxes)
    return hashlib.sha256(json.dumps([scheduled, sorted(sinks)]).encode()).hexdigest()[:32]
