"""The status, and listings of mailboxes, failed messages and rejected events: as tables, as plain data for JSON."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ingest.admin.failed import failure_remedy
from ingest.cli.common import counted, printable
from ingest.cli.remedies import failure_lines, poll_lines, sink_remedy, stalled_lines
from ingest.cli.reports import TROUBLES, left_out_words, undeleted_words
from ingest.cli.screen import ago, polling_stopped_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from ingest.admin.mailboxes import MailboxState
    from ingest.admin.status import Status
    from ingest.domain.message import FailedMessage
    from ingest.ports.rejected import RejectedEvent
    from ingest.ports.status import MailboxStatus
    from ingest.ports.troubled import TroubledMessage


def status_data(status: Status) -> dict[str, Any]:
    """Return everything that `read_status` found."""
    return asdict(status)


def status_view(status: Status) -> RenderableType:
    """Return mailboxes as a table, and the rest as lines."""
    now = time.time()
    table = Table(box=None, header_style="bright_black", pad_edge=False)
    table.add_column("mailbox")
    table.add_column("last poll")
    for name in ("on server", "backlog", "last success", "interval"):
        table.add_column(name, justify="right")
    for row in status.mailboxes:
        found = row.status
        result = row.inactive or (found.result if found else "never")
        success = ago(now - found.last_success) if found and found.last_success else "never"
        counts = (str(found.listed), str(found.backlog_messages)) if found else ("", "")
        table.add_row(row.id, result, *counts, success, ago(row.interval))
    return Group(table, "", *_status_lines(status, now))


def _status_lines(status: Status, now: float) -> Iterator[str]:
    tick = f"{ago(now - status.last_tick)} ago" if status.last_tick else "never"
    oldest = f", the oldest for {ago(now - status.oldest_pending)}" if status.oldest_pending else ""
    yield f"{counted(status.counts['open'], 'message')} to process{oldest}; {status.counts['failed']} failed"
    due = counted(status.schedule.due, "mailbox", "mailboxes")
    yield f"{due} due, the most overdue by {ago(status.schedule.lag)}; last tick {tick}"
    for sink, lag in status.sinks.items():
        age = f", the oldest for {ago(lag.oldest_age)}" if lag.entries else ""
        yield f"{sink}: {counted(lag.entries, 'event')} to deliver{age}{sink_remedy(sink, status, now)}"
    yield from stalled_lines(status, now)
    yield from poll_lines(((row.id, row.status) for row in status.mailboxes if row.status and not row.inactive), now)
    for row in status.mailboxes:
        if row.status and (words := doubted_words(row.status, now)):
            yield f"{row.id}: {words}"
        if row.paused is not None:
            yield f"{row.id}: paused for {ago(now - row.paused)}; to poll it: mailhaul mailboxes resume {row.id}"
    if unfetched := sum(row.status.troubled for row in status.mailboxes if row.status):
        yield f"{counted(unfetched, 'message')} could not be fetched; see why with: mailhaul mailboxes list"
    for sink, since in status.left.items():
        yield (
            f"{sink}: left the configuration {ago(now - since)} ago; its events are kept for a day. "
            f"To drop them now: mailhaul sinks remove {sink}"
        )
    if status.polling_stopped:
        yield polling_stopped_words(status)
    if status.counts.get("quarantined"):
        held = counted(
            status.counts["quarantined"],
            "message of the last 30 days is in quarantine",
            "messages of the last 30 days are in quarantine",
        )
        yield f"{held}; to hand them on: mailhaul replay --all --sink NAME --quarantined"
    if status.counts["dead_letters"]:
        rejected = counted(
            status.counts["dead_letters"], "event was rejected by its sink", "events were rejected by their sink"
        )
        yield f"{rejected}; list them with: mailhaul sinks dead-letters list NAME"


def mailbox_data(state: MailboxState) -> dict[str, Any]:
    """Return the state of a mailbox and the result of its last poll."""
    box, standing = state.mailbox, state.standing
    return {
        "id": box.id,
        "server": box.server.label,
        "state": _state(state),
        "paused_since": state.paused,
        "due_in": None if standing is None or standing.claimed else round(standing.due_in, 1),
        "interval": box.interval,
        "status": asdict(state.status) if state.status else None,
        "troubled": [asdict(message) for message in state.troubled],
    }


def mailboxes_table(states: Sequence[MailboxState]) -> RenderableType:
    """Return a table with a row for each, and what could not be fetched from their servers."""
    now = time.time()
    table = Table(box=None, header_style="bright_black", pad_edge=False)
    for name in ("mailbox", "server", "next poll", "last poll", "result"):
        table.add_column(name, no_wrap=name != "server", overflow="fold")
    for name in ("on server", "backlog"):
        table.add_column(name, justify="right")
    for state in states:
        found = state.status
        last = (f"{ago(now - found.last_poll)} ago", found.result) if found else ("never", "")
        counts = (f"{found.listed:,}", f"{found.backlog_messages:,}") if found else ("", "")
        table.add_row(state.mailbox.id, state.mailbox.server.label, _next_poll(state, now), *last, *counts)
    troubled = troubled_table({state.mailbox.id: state.troubled for state in states})
    left_out = [
        Text(f"{state.mailbox.id}: {left_out_words(state.status.left_out)}", style="yellow")
        for state in states
        if state.status and state.status.left_out
    ]
    doubted = [
        Text(f"{state.mailbox.id}: {words}", style="yellow")
        for state in states
        if state.status and (words := doubted_words(state.status, now))
    ]
    undeleted = [
        Text(f"{state.mailbox.id}: {undeleted_words(state.status.undeleted)}", style="yellow")
        for state in states
        if state.status and state.status.undeleted
    ]
    polled = ((state.mailbox.id, state.status) for state in states if state.status and _is_polled(state))
    reasons = [Text(line, style="yellow") for line in poll_lines(polled, now)]
    return Group(table, *reasons, *doubted, *left_out, *undeleted, *troubled)


def _is_polled(state: MailboxState) -> bool:
    return state.mailbox.enabled and state.paused is None


def doubted_words(status: MailboxStatus, now: float) -> str:
    """Return a warning about credentials whose refusal is doubted; empty if there are none."""
    if status.credentials_worked is None or status.retry_at is None:
        return ""
    worked, wait = ago(now - status.credentials_worked), ago(max(0.0, status.retry_at - now))
    return f"the server refused the credentials that worked {worked} ago; trying again in {wait}"


def troubled_table(troubled: Mapping[str, Sequence[TroubledMessage]]) -> list[RenderableType]:
    """Return a table of the messages that could not be fetched, by mailbox; nothing if there are none."""
    now = time.time()
    table = Table(box=None, header_style="bright_black", pad_edge=False)
    for name in ("mailbox", "message", "unique-id", "not fetched", "times", "next try"):
        table.add_column(name, overflow="fold")
    table.add_column("reason", overflow="fold", ratio=1)
    for mailbox, messages in troubled.items():
        for one in messages:
            row = (mailbox, str(one.number), one.unique_id, TROUBLES[one.trouble], str(one.times))
            when = f"in {ago(one.retry_at - now)}" if one.retry_at > now else "next poll"
            table.add_row(*map(printable, row), when, printable(one.words))
    return ["", table] if table.row_count else []


def _state(state: MailboxState) -> str:
    if not state.mailbox.enabled:
        return "disabled"
    if state.paused is not None:
        return "paused"
    if state.standing is None:
        return "unscheduled"
    return "polling" if state.standing.claimed else "waiting" if state.standing.due_in else "due"


def _next_poll(state: MailboxState, now: float) -> str:
    word = _state(state)
    if word == "paused" and state.paused is not None:
        return f"paused for {ago(now - state.paused)}"
    if word == "waiting" and state.standing is not None:
        return f"in {ago(state.standing.due_in)}"
    return {"polling": "in progress", "due": "due now", "unscheduled": "not scheduled yet"}.get(word, word)


def sinks_data(status: Status, rejected: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what is known of each configured sink; `rejected` are the events that each rejected, by its name."""
    return [
        {
            "name": name,
            "state": _sink_state(name, status),
            "answer": status.answers[name].answer or None,
            "failing_since": status.answers[name].failing_since,
            "delivered_at": status.answers[name].delivered_at,
            "waiting": lag.entries,
            "oldest_age": round(lag.oldest_age, 1),
            "rejected": rejected[name],
        }
        for name, lag in status.sinks.items()
    ]


def sinks_table(status: Status, rejected: Mapping[str, int]) -> RenderableType:
    """Return a table with a row for each, and a line with the remedy for each that takes no events."""
    if not status.sinks:
        return Text("no sink is configured; events are in the stream only")
    now = time.time()
    table = Table(box=None, header_style="bright_black", pad_edge=False)
    for name in ("sink", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("to deliver", "oldest", "rejected", "last delivery"):
        table.add_column(name, justify="right")
    for name, lag in status.sinks.items():
        delivered = status.answers[name].delivered_at
        last = f"{ago(now - delivered)} ago" if delivered else "never"
        oldest = ago(lag.oldest_age) if lag.entries else ""
        table.add_row(name, _sink_state(name, status), f"{lag.entries:,}", oldest, f"{rejected[name]:,}", last)
    remedies = {name: sink_remedy(name, status, now) for name in status.sinks}
    lines = [Text(f"{name}: {words.removeprefix('; ')}", style="yellow") for name, words in remedies.items() if words]
    return Group(table, *lines)


def _sink_state(name: str, status: Status) -> str:
    if name in status.disabled:
        return "disabled"
    return "ok" if status.answers[name].failing_since is None else "unavailable"


def failed_data(failed: FailedMessage) -> dict[str, Any]:
    """Return what is known of a failed message, without its content."""
    message = failed.message
    return {
        "message_key": message.key,
        "mailbox": message.mailbox,
        "reason": failed.reason,
        "tries": failed.tries,
        "failed_at": failed.failed_at.isoformat(),
        "first_seen": message.first_seen.isoformat(),
        "received_at": message.received_at.isoformat() if message.received_at else None,
        "raw": message.source.model_dump(exclude_none=True),
    }


def failed_table(failed: Sequence[FailedMessage]) -> RenderableType:
    """Return a table with a row for each."""
    if not failed:
        return Text("no failed messages")
    table = Table(box=None, header_style="bright_black", pad_edge=False)
    # Keys have to stay whole, as other commands take them: the others give way first.
    table.add_column("message key", no_wrap=True)
    for name in ("mailbox", "reason"):
        table.add_column(name, overflow="fold")
    table.add_column("bytes", justify="right")
    table.add_column("failed", no_wrap=True)
    for one in failed:
        when = f"{ago(time.time() - one.failed_at.timestamp())} ago"
        table.add_row(one.message.key, one.message.mailbox, one.reason, f"{one.message.source.size:,}", when)
    return Group(table, *(Text(line, style="yellow") for line in failure_lines(failed)))


def failed_view(failed: FailedMessage) -> RenderableType:
    """Return a line for each property."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bright_black", no_wrap=True)
    table.add_column(overflow="fold")
    data = failed_data(failed)
    raw = data.pop("raw")
    words, data["what_to_do"] = failure_remedy(failed.reason)
    data["reason"] = f"{failed.reason}: {words}"
    for name, value in {**data, "bucket": raw["bucket"], "key": raw["key"], "bytes": raw["size"]}.items():
        table.add_row(name.replace("_", " "), printable(str(value if value is not None else "unknown")))
    return table


def rejected_data(rejected: RejectedEvent) -> dict[str, Any]:
    """What is known of a rejected event, without its content."""
    entry = rejected.entry
    return {
        "event_id": entry.event.id,
        "type": entry.event.type,
        "mailbox": entry.event.mailbox,
        "bytes": len(entry.event.body),
        "appended": datetime.fromtimestamp(entry.appended, UTC).isoformat(),
        "state": _rejected_state(rejected),
    }


def rejected_table(rejected: Sequence[RejectedEvent]) -> RenderableType:
    """Return a table with a row for each."""
    if not rejected:
        return Text("the dead-letter queue of this sink is empty")
    table = Table(box=None, header_style="bright_black", pad_edge=False)
    # Ids have to stay whole, as other commands take them: the others give way first.
    table.add_column("event", no_wrap=True)
    for name in ("mailbox", "type"):
        table.add_column(name, overflow="fold")
    table.add_column("bytes", justify="right")
    for name in ("since", "state"):
        table.add_column(name, no_wrap=True)
    for one in rejected:
        event, since = one.entry.event, f"{ago(time.time() - one.entry.appended)} ago"
        table.add_row(event.id, event.mailbox, event.type, f"{len(event.body):,}", since, _rejected_state(one))
    return table


def _rejected_state(rejected: RejectedEvent) -> str:
    return "retrying" if rejected.retrying else "dead-lettered"
