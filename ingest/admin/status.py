"""Read the state of the whole system from the ledger, for `mailhaul status` and the exporter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.admin.sinks import disabled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ingest.domain.mailbox import Mailbox
    from ingest.ports.claims import Backlog
    from ingest.ports.eventlog import EventLog, GroupLag
    from ingest.ports.ledger import Ledger
    from ingest.ports.status import MailboxStatus, Memory, SinkStatus, TaskStatus


_AGAIN = "it is tried again by itself"
_CHECK = "mailhaul check {id} says at which step and why"
# By the result of a poll: what happened, and what to do about it, with the mailbox's id.
POLL_REMEDIES = {
    "timeout": ("the server does not answer in time", _CHECK),
    "connect_error": ("the server cannot be reached", _CHECK),
    "tls_error": ("the encrypted connection fails", _CHECK),
    "auth_error": (
        "the server refuses the login",
        "correct `auth`, or the secret it names, and it is polled at once; to try the login now: mailhaul check {id}",
    ),
    "locked": ("another program has the mailbox open", f"{_AGAIN}; end other programs that read it"),
    "throttled": ("the server limits logins", f"{_AGAIN}; raise `interval`, or end other programs that log in"),
    "temporary": ("the server has a passing problem", _AGAIN),
    "refused": ("the server refuses a command", _CHECK),
    "protocol_error": ("the server does not keep to POP3", _CHECK),
    "store_error": ("the store did not take the mail", "mailhaul check says what is wrong with the store"),
    "ledger_error": ("the ledger did not answer", "mailhaul check says what is wrong with the ledger"),
    "spool_error": ("there is no room for temporary files", "make room in TMPDIR of the pollers"),
    "internal_error": ("an unexpected error", "look at the poller's log, and report it"),
}


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """One configured mailbox; `status` is None until its first poll.

    `paused` is when a person paused it (seconds since 1970), None if it is not paused.
    """

    id: str
    enabled: bool
    interval: float
    status: MailboxStatus | None
    paused: float | None = None

    @property
    def inactive(self) -> str:
        """Why it is not polled: `disabled` (in the configuration) or `paused`; empty if it is polled."""
        return "disabled" if not self.enabled else "paused" if self.paused is not None else ""


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the whole system at one moment.

    `disabled` are the sinks that a person has to resume; `left` those that left the configuration and hold the stream
    until they are retired, with when they left (seconds since 1970); `answers` are the last answers of each sink.
    `tasks` are the last runs of the catalog, retention and statements.
    `polling_stopped`: no mailbox is polled, because the ledger's memory is nearly full.
    """

    mailboxes: Sequence[MailboxRow]
    schedule: Backlog
    pending: Backlog
    oldest_pending: float | None
    counts: Mapping[str, int]
    sinks: Mapping[str, GroupLag]
    last_tick: float | None
    disabled: Sequence[str] = ()
    memory: Memory | None = None
    left: Mapping[str, float] = field(default_factory=dict)
    polling_stopped: bool = False
    answers: Mapping[str, SinkStatus] = field(default_factory=dict)
    tasks: Mapping[str, TaskStatus] = field(default_factory=dict)


def read_status(
    ledger: Ledger,
    events: EventLog,
    mailboxes: Iterable[Mailbox],
    sinks: Iterable[str],
    polling_stops: Callable[[Memory | None], bool] = lambda _: False,
) -> Status:
    """Read the state from the ledger.

    Args:
        ledger: to read from.
        events: to read from.
        mailboxes: the configured ones.
        sinks: names of the configured ones.
        polling_stops: returns whether no mailbox is polled while the ledger's memory is like this.

    Raises:
        LedgerUnavailableError: the ledger is unavailable.
    """
    sinks, memory = list(sinks), ledger.memory()
    return Status(
        mailboxes=_rows(ledger, mailboxes),
        schedule=ledger.mailboxes.backlog(),
        pending=ledger.messages.backlog(),
        oldest_pending=ledger.oldest_open(),
        counts=ledger.counts(),
        sinks={sink: events.lag(sink) for sink in sinks},
        last_tick=ledger.last_tick(),
        disabled=disabled(ledger.sinks, sinks),
        memory=memory,
        left=events.left(),
        polling_stopped=polling_stops(memory),
        answers={sink: events.sink_status(sink) for sink in sinks},
        tasks=ledger.tasks(),
    )


def _rows(ledger: Ledger, mailboxes: Iterable[Mailbox]) -> list[MailboxRow]:
    boxes = list(mailboxes)
    statuses, paused = ledger.statuses([box.id for box in boxes]), ledger.paused()
    return [MailboxRow(box.id, box.enabled, box.interval, statuses.get(box.id), paused.get(box.id)) for box in boxes]
