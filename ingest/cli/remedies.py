"""Why something does not move, and what to do about it: the words of `status`, `mailboxes list` and `failed list`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ingest.admin.failed import failure_remedy
from ingest.admin.status import POLL_REMEDIES
from ingest.cli.common import counted
from ingest.cli.screen import ago

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.admin.status import Status
    from ingest.domain.message import FailedMessage
    from ingest.ports.status import MailboxStatus

# Seconds for which work may be due before nobody seems to take it.
_STALLED = 60.0
# Mailboxes that one line names.
_NAMED = 3


def poll_lines(polls: Iterable[tuple[str, MailboxStatus]], now: float) -> Iterator[str]:
    """Yield a line for each way in which last polls failed.

    Args:
        polls: mailbox ids with the status of the last poll; none that are disabled or paused.
        now: seconds since 1970.
    """
    failed: dict[str, list[tuple[str, MailboxStatus]]] = {}
    for id_, status in polls:
        if status.result in POLL_REMEDIES and status.credentials_worked is None:
            failed.setdefault(status.result, []).append((id_, status))
    for result, rows in failed.items():
        words, remedy = POLL_REMEDIES[result]
        since = min((status.last_success or 0.0) for _, status in rows)
        success = f"last success {ago(now - since)} ago" if since else "no success yet"
        yield f"{_names([id_ for id_, _ in rows])}: {words} ({success}); {remedy.format(id=rows[0][0])}"


def failure_lines(failed: Iterable[FailedMessage]) -> Iterator[str]:
    """Yield a line for each reason for which messages failed."""
    for reason, count in Counter(one.reason for one in failed).items():
        words, remedy = failure_remedy(reason)
        yield f"{reason} ({counted(count, 'message')}): {words}; {remedy}"


def stalled_lines(status: Status, now: float) -> Iterator[str]:
    """Yield a line for each stage that has work and does none."""
    ticked = status.last_tick is not None and now - status.last_tick < _STALLED
    if not ticked:
        yield "no scheduler runs, so nothing is polled: start the service (mailhaul up), or use mailhaul drain"
    elif status.schedule.due and status.schedule.lag > _STALLED and not status.polling_stopped:
        yield "mailboxes are due and no poller takes them: is `mailhaul worker poll` running, has it enough threads?"
    if status.pending.due and status.pending.lag > _STALLED:
        yield "messages are due and no processor takes them: is `mailhaul worker process` running?"
    if status.counts["failed"]:
        yield "failed messages keep their raw mail; list them with: mailhaul failed list"


def sink_remedy(name: str, status: Status, now: float) -> str:
    """Return why a sink does not get its events and what to do; empty if it gets them."""
    lag, answer = status.sinks[name], status.answers.get(name)
    if name in status.disabled:
        return (
            "; it answered 410 Gone and is disabled, so no events are sent. Ask its operator why, "
            f"or correct its address, then: mailhaul sinks resume {name}"
        )
    if answer is not None and answer.failing_since is not None:
        remedy = f"mailhaul check tries it; once it is fixed, to end the pause now: mailhaul sinks retry {name}"
        return f"; it {answer.words}, since {ago(now - answer.failing_since)}; {remedy}"
    if lag.entries and lag.oldest_age > _STALLED:
        return "; no relay takes them: is `mailhaul worker relay` running?"
    return ""


def _names(ids: list[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more
