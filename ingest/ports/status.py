"""The port to what people and gauges read; no decision depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.ports.slots import LastLogin


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """The result of a mailbox's last poll.

    Times are seconds since 1970.

    Attributes:
        last_poll: when it ended.
        result: a value of the label `result` of `mailhaul_polls_total`.
        last_success: when the last successful poll ended.
        listed: messages on the server.
        backlog_messages: those of them that have not been fetched.
        backlog_bytes: their bytes, as the server lists them.
        certificate_not_after: when the server's certificate expires; None without TLS.
        expires_after: seconds after which the server deletes mail; None if it does not announce it.
        left_out: messages that STAT, UIDL and LIST do not agree on, so that they are never fetched.
        undeleted: messages that the server lists although it has confirmed their deletion.
        troubled: messages that could not be fetched; `TroubledMessages` has them.
        credentials_worked: when credentials last worked that the server refuses now; None unless that is doubted.
        retry_at: when they are tried again.
    """

    last_poll: float
    result: str
    last_success: float | None = None
    listed: int = 0
    backlog_messages: int = 0
    backlog_bytes: int = 0
    certificate_not_after: float | None = None
    expires_after: float | None = None
    left_out: int = 0
    undeleted: int = 0
    troubled: int = 0
    credentials_worked: float | None = None
    retry_at: float | None = None


_ANSWERS = {
    "connect": "could not be connected to",
    "timeout": "did not answer in time",
    "tls": "failed in TLS",
    "protocol": "did not answer in HTTP",
    "private_address": "has an address in a private network, and `allow_private` is not set",
    "secret_invalid": "has a signing secret of the wrong form",
    "secret_missing": "has a secret that is missing or cannot be read",
    "disk_full": "has no space left on its disk",
    "permission_denied": "may not be written to",
    "not_found": "does not exist",
    "locked": "is kept locked by another process",
    "internal": "could not be tried because of a bug: the log line `sink.bug` has the traceback",
}


def answer_in_words(code: str) -> str:
    """Return what a sink did, by the code of its answer, such as `http_503`."""
    kind, _, status = code.partition("_")
    if kind == "http" and status:
        return f"answered {status}"
    return _ANSWERS.get(code, f"failed with the error {code}")


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """The last answers of a sink.

    Times are seconds since 1970.

    Attributes:
        delivered_at: when it last took an event; None if it never did.
        failing_since: when the first of its answers came that made it count as unavailable; None while it works.
        answer: the reason code of the last of these answers, such as `http_503`.
        refusals: by event id, how many times in a row it did not take the event.
        config: a mark of the configuration that it failed with (`ingest.domain.keys.mark`); empty if unknown.
    """

    delivered_at: float | None = None
    failing_since: float | None = None
    answer: str = ""
    refusals: dict[str, int] = field(default_factory=dict)
    config: str = ""

    @property
    def words(self) -> str:
        """What the sink does instead of taking events, for people; empty while it works."""
        return "" if self.failing_since is None else answer_in_words(self.answer)


class SinkRecords(Protocol):
    """The last answers of each sink, written by whoever holds the claim on it.

    Every method raises `LedgerUnavailableError` when the ledger does not answer.
    """

    def put_sink_status(self, sink: str, status: SinkStatus) -> None:
        """Replace a sink's status."""
        ...

    def sink_status(self, sink: str) -> SinkStatus:
        """A sink's status, an empty one if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """How a task goes that nobody waits for: retention, statements, the catalog.

    Times are seconds since 1970, on the ledger's clock.

    Attributes:
        succeeded_at: when a run last did all that was due; None if none did.
        unfinished_since: when the first run began that no successful one has followed; None if there is none.
    """

    succeeded_at: float | None = None
    unfinished_since: float | None = None


class TaskRecords(Protocol):
    """The last runs of tasks. Every method raises `LedgerUnavailableError` when the ledger does not answer."""

    def record_task_start(self, task: str) -> None:
        """Record that a run of the task begins; it is unfinished until `record_task_success`."""
        ...

    def record_task_success(self, task: str) -> None:
        """Record that a run of the task did all that was due."""
        ...

    def tasks(self) -> dict[str, TaskStatus]:
        """Every task that was ever recorded."""
        ...


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the ledger's server in bytes: used, for whatever data, and the limit, None if there is none."""

    used: int
    limit: int | None


class StatusRecords(Protocol):
    """The last results, and totals. Every method raises `LedgerUnavailableError` when the ledger does not answer."""

    def put_status(self, mailbox: str, status: MailboxStatus, login: LastLogin | None = None) -> None:
        """Replace a mailbox's status, and its last login if one is given.

        If `last_success` is None, the previous one stays.
        """
        ...

    def statuses(self, mailboxes: Collection[str] | None = None) -> dict[str, MailboxStatus]:
        """The status of each of these mailboxes, or of all, that was ever polled."""
        ...

    def counts(self) -> dict[str, int]:
        """The numbers of `open` and `failed` messages, `events` in the stream, and `dead_letters` over all sinks.

        `dead_letters` are the rejected events, both retrying and dead-lettered; `quarantined` are the messages that
        `ContentRecords` counts.
        """
        ...

    def memory(self) -> Memory | None:
        """How full the server is; None if it is not known."""
        ...
