"""`mailhaul check`: try each part of the configuration for real, and report what is wrong and what to do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ingest.domain.mailbox import Tls
from ingest.errors import ConfigError, LedgerUnavailableError, MailhaulError, StoreError
from ingest.ports.ledger import Severity
from ingest.usecases.poll.identity import require_unique_ids, unreliable
from ingest.usecases.store_probe import write_probe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from ingest.domain.keys import Layout
    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import LedgerConnection
    from ingest.ports.maildrop import Listing, MaildropFactory, Terms
    from ingest.ports.scanner import Scanner
    from ingest.ports.signing import Signer
    from ingest.ports.sink import Sink
    from ingest.ports.store import Store

# Fewer than the default limit of connections to one server.
PARALLEL_MAILBOXES = 8
PARALLEL_PARTS = 8
# Seconds, at most, for a connection: what TCP needs for three lost SYN packets (7 s). A person is waiting.
CONNECT_SECONDS = 8.0


# What a process works with, besides the ledger. A pod has the secrets and the network access for this alone.
PARTS_OF_ROLES: Mapping[str, frozenset[str]] = {
    "poller": frozenset({"store", "mailbox"}),
    "processor": frozenset({"store", "scan", "password"}),
    "relay": frozenset({"store", "sink"}),
    "scheduler": frozenset({"audit"}),
    "exporter": frozenset(),
    "console": frozenset({"store", "login"}),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of trying one part. `detail` tells the person at the terminal what is wrong and what to do.

    A part that is not `visible` was not tried, because this process has no access to it; it counts as `ok`.
    """

    part: str
    name: str
    ok: bool
    detail: str
    visible: bool = True


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings, in the order in which the parts were tried."""

    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether every part works."""
        return all(finding.ok for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Check:
    """Tries each part. Nothing is fetched, delivered or kept."""

    ledger: LedgerConnection
    store: Store
    layout: Layout
    sinks: Sequence[Sink]
    scanner: Scanner | None
    connect: MaildropFactory
    credentials: Callable[[str], Credentials]
    events: EventLog
    broker: Callable[[], str] | None = None
    """Asks a broker that is not the ledger; its answer tells what was found."""
    passwords: Sequence[Callable[[], object]] = ()
    """Each reads a password of encrypted attachments."""
    signer: Callable[[], Signer | None] | None = None
    login: Callable[[], str] | None = None
    """Asks the console's identity provider; its answer tells what was found."""

    def run(self, mailboxes: Iterable[Mailbox], seen: Collection[str] | None = None) -> CheckReport:
        """Try ledger, broker, store, sinks, scanner, passwords, statements, identity provider and mailboxes at once.

        Of the mailboxes 8 at a time. Findings have the order of this list, whatever takes longest.

        Args:
            mailboxes: those to try.
            seen: the parts that this process has access to, of `PARTS_OF_ROLES`; None: all.
        """
        attempt = partial(_try, seen)
        parts: list[Callable[[], Finding]] = [
            self._ledger,
            *([partial(_try, None, "broker", "", self.broker)] if self.broker is not None else []),
            partial(attempt, "store", self.store.bucket, self._store),
            *(partial(attempt, "sink", sink.name, partial(self._sink, sink)) for sink in self.sinks),
        ]
        if self.scanner is not None:
            parts.append(partial(attempt, "scan", "", partial(self._scanner, self.scanner)))
        if self.passwords:
            parts.append(partial(attempt, "password", "", self._passwords))
        if self.signer is not None:
            parts.append(partial(attempt, "audit", "", partial(_signing, self.signer)))
        if self.login is not None:
            parts.append(partial(attempt, "login", "", self.login))
        with ThreadPoolExecutor(PARALLEL_PARTS) as pool, ThreadPoolExecutor(PARALLEL_MAILBOXES) as mailbox_pool:
            of_parts = pool.map(lambda part: part(), parts)  # all begin here
            of_mailboxes = mailbox_pool.map(partial(self._mailbox, seen), mailboxes)
            return CheckReport([*of_parts, *of_mailboxes])

    def _ledger(self) -> Finding:
        try:
            problems = self.ledger.problems()
        except MailhaulError as error:
            return Finding("ledger", "", ok=False, detail=str(error))
        ok = all(problem.severity is Severity.WARNING for problem in problems)
        words = [f"warning: {one.text}" if one.severity is Severity.WARNING else one.text for one in problems]
        done = ["a probe key was written and deleted"] if ok else []
        return Finding("ledger", "", ok=ok, detail="; ".join(done + words))

    def _scanner(self, scanner: Scanner) -> str:
        scanner.check()
        return "answers"

    def _passwords(self) -> str:
        """Read each password, which the processor would do when a message needs it, and then leave out."""
        problems = []
        for place, read in enumerate(self.passwords):
            try:
                read()
            except ConfigError as error:
                problems.append(f"parse.passwords[{place}].password: {error}")
        if problems:
            raise ConfigError(problems)
        return f"{len(self.passwords)} can be read"

    def _store(self) -> str:
        key = write_probe(self.store, self.layout)
        if key not in [found.key for found in self.store.stored(key)]:
            raise StoreError("the probe object is not in the store's listing: do not use this store for mail")
        self.store.delete(key)
        lock = self.store.describe_lock()
        return "a probe object was written, read, listed and deleted" + (f"; {lock}" if lock else "")

    def _sink(self, sink: Sink) -> str:
        """A sink is asked nothing that would deliver an event, so its last answer to one is reported too."""
        sink.check()
        try:
            status = self.events.sink_status(sink.name)
        except LedgerUnavailableError:
            return "reachable"
        if status.failing_since is None:
            return "reachable" + ("; it took the last event" if status.delivered_at is not None else "")
        since = datetime.fromtimestamp(status.failing_since, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"reachable; warning: it {status.words} when events were delivered, since {since}"

    def _mailbox(self, seen: Collection[str] | None, mailbox: Mailbox) -> Finding:
        if not mailbox.enabled:
            return Finding("mailbox", mailbox.id, ok=True, detail="disabled in the configuration, not tried")
        finding = _try(seen, "mailbox", mailbox.id, partial(self._log_in, mailbox))
        # The finding names the mailbox already.
        return replace(finding, detail=finding.detail.replace(f"mailbox {mailbox.id}: ", ""))

    def _log_in(self, mailbox: Mailbox) -> str:
        connect = min(mailbox.deadlines.connect, CONNECT_SECONDS)
        mailbox = replace(mailbox, deadlines=replace(mailbox.deadlines, connect=connect))
        credentials = self.credentials(mailbox.id)
        with closing(self.connect(mailbox, credentials, lambda _phase, _seconds: None, lambda _: None)) as session:
            listing = session.listing()
            require_unique_ids(listing, mailbox)
            return "; ".join(_found(listing, mailbox, session.terms))


def _signing(open_signer: Callable[[], Signer | None]) -> str:
    signer = open_signer()
    return "statements are not signed" if signer is None else f"statements are signed with the key {signer.key_id}"


def _found(listing: Listing, mailbox: Mailbox, terms: Terms) -> Iterator[str]:
    size = sum(row.size or 0 for row in listing.rows)
    messages = "1 message" if len(listing.rows) == 1 else f"{len(listing.rows):,} messages"
    yield f"logged in; {messages}, {size:,} bytes"
    if listing.left_out:
        yield f"{listing.left_out} more are skipped because UIDL and LIST contradict each other"
    if unreliable(listing.rows):
        yield "beware, the unique-ids here do not identify messages: headers and contents are compared instead"
    if not listing.unique_ids:
        yield "the server has no UIDL: everything on it is fetched at every poll"
    if terms.login_delay > mailbox.interval:
        yield f"the server requires {terms.login_delay:g} s between logins, which is used instead of `interval`"
    if terms.expires_after is not None and terms.expires_after < mailbox.interval:
        days = terms.expires_after / 86_400
        yield f"warning: the server deletes mail by itself after {days:g} days, which is shorter than `interval`"
    if mailbox.server.weakened:
        option = mailbox.server.weakened
        yield f"warning: `{option}` allows weak TLS; remove it once the server has TLS 1.2 with ECDHE"
    if mailbox.server.tls is Tls.NONE:
        yield "warning: password and mail are sent unencrypted (`tls: none`)"


def _try(seen: Collection[str] | None, part: str, name: str, attempt: Callable[[], str]) -> Finding:
    if seen is not None and part not in seen:
        where = " or ".join(role for role, parts in PARTS_OF_ROLES.items() if part in parts)
        return Finding(part, name, ok=True, detail=f"not visible from here; check it in a {where}", visible=False)
    try:
        return Finding(part, name, ok=True, detail=attempt())
    except MailhaulError as error:
        return Finding(part, name, ok=False, detail=str(error))
