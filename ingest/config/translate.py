"""From configuration to the domain's own values."""

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

    from ingest.config.model import (
        Config,
        DeadlinesSection,
        DefaultsSection,
        LimitsSection,
        MailboxSection,
        ProxySection,
    )
    from ingest.domain.mailbox import ProxyKind

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
        limits=_limits(section, defaults),
        labels={**defaults.labels, **section.labels},
        prefix=section.prefix,
        authserv_id=section.authserv_id or defaults.authserv_id,
    )


def _limits(section: MailboxSection, defaults: DefaultsSection) -> Limits:
    of_provider = PRESETS[section.provider].connections or Limits().connections
    return replace(Limits(connections=of_provider), **{**_set(defaults.limits), **_set(section.limits)})


def host(section: MailboxSection) -> str:
    """The POP3 server's; empty where nobody knows it (see `rules`)."""
    return section.host or PRESETS[section.provider].host or ""


def tls(section: MailboxSection, defaults: DefaultsSection) -> Tls:
    """How a mailbox's connection is protected."""
    if PRESETS[section.provider].host is not None:
        return section.tls or Tls.IMPLICIT
    return section.tls or defaults.tls or Tls.IMPLICIT


def _server(section: MailboxSection, defaults: DefaultsSection) -> Server:
    preset = PRESETS[section.provider]
    protection = tls(section, defaults)
    # A mailbox with a `tls` of its own, or a provider, would seldom want the port that goes with another.
    inherited = defaults.port if protection is (defaults.tls or Tls.IMPLICIT) and preset.host is None else None
    ca = section.ca or (defaults.ca if preset.host is None else None)
    return Server(
        host=host(section),
        port=section.port or inherited or PORTS[protection],
        tls=protection,
        ca_file=None if ca is None else str(ca),
        fingerprint=section.fingerprint,
        proxy=_proxy(section.proxy or defaults.proxy),
        quirks=preset.quirks,
    )


def _proxy(section: ProxySection | None) -> Proxy | None:
    if section is None:
        return None
    parts = split_url(section.url)
    assert parts.hostname is not None  # the section has checked all of them
    assert parts.port is not None
    return Proxy(cast("ProxyKind", parts.scheme), parts.hostname, parts.port)


def _set(section: LimitsSection | DeadlinesSection) -> dict[str, Any]:
    return section.model_dump(exclude_none=True)


def schedule_digest(boxes: Iterable[Mailbox], sinks: Iterable[str]) -> str:
    """Hex digits that follow from what is scheduled: mailboxes with their intervals (0 for a disabled one), sinks."""
    scheduled = sorted((box.id, box.interval if box.enabled else 0.0) for box in boxes)
    return hashlib.sha256(json.dumps([scheduled, sorted(sinks)]).encode()).hexdigest()[:32]
