"""Listings of mailboxes, failed messages and rejected events: as tables for people, as plain data for JSON."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ingest.cli.messages import printable
from ingest.cli.screen import ago

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from ingest.admin.mailboxes import MailboxState
    from ingest.domain.message import FailedMessage
    from ingest.ports.rejected import RejectedEvent
    from ingest.ports.status import MailboxStatus
    from ingest.ports.troubled import TroubledMessage

_TROUBLES = {
    "ends_session": "ends the session",
    "larger_than_listed": "larger than listed",
    "refused": "refused by the server",
}


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
    return Group(table, *doubted, *left_out, *troubled)


def doubted_words(status: MailboxStatus, now: float) -> str:
    """Return what to tell a person about credentials whose refusal is doubted; empty if there are none."""
    if status.credentials_worked is None or status.retry_at is None:
        return ""
    worked, wait = ago(now - status.credentials_worked), ago(max(0.0, status.retry_at - now))
    return f"the server refused the credentials that worked {worked} ago; trying again in {wait}"


def left_out_words(count: int) -> str:
    """Return what to tell a person about messages that are left out of a listing."""
    return f"{count} messages are not fetched, because STAT, UIDL and LIST of the server disagree about them"


def troubled_line(message: TroubledMessage) -> str:
    """Return one line about a message that could not be fetched."""
    unique_id = f" ({message.unique_id})" if message.unique_id else ""
    words = f": {message.words}" if message.words else ""
    return printable(f"message {message.number}{unique_id} {_TROUBLES[message.trouble]}{words}")


def troubled_table(troubled: Mapping[str, Sequence[TroubledMessage]]) -> list[RenderableType]:
    """Return a table of the messages that could not be fetched, by mailbox; nothing if there are none."""
    now = time.time()
    table = Table(box=None, header_style="bright_black", pad_edge=False)
    for name in ("mailbox", "message", "unique-id", "not fetched", "times", "next try"):
        table.add_column(name, overflow="fold")
    table.add_column("reason", overflow="fold", ratio=1)
    for mailbox, messages in troubled.items():
        for one in messages:
            row = (mailbox, str(one.number), one.unique_id, _TROUBLES[one.trouble], str(one.times))
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
    for name in ("message key", "mailbox", "reason"):
        table.add_column(name, no_wrap=True)
    table.add_column("bytes", justify="right")
    table.add_column("failed", no_wrap=True)
    for one in failed:
        when = f"{ago(time.time() - one.failed_at.timestamp())} ago"
        table.add_row(one.message.key, one.message.mailbox, one.reason, f"{one.message.source.size:,}", when)
    return table


def failed_view(failed: FailedMessage) -> RenderableType:
    """Return a line for each property."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bright_black", no_wrap=True)
    table.add_column(overflow="fold")
    data = failed_data(failed)
    raw = data.pop("raw")
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
    for name in ("event", "mailbox", "type"):
        table.add_column(name, no_wrap=True)
    table.add_column("bytes", justify="right")
    for name in ("since", "state"):
        table.add_column(name, no_wrap=True)
    for one in rejected:
        event, since = one.entry.event, f"{ago(time.time() - one.entry.appended)} ago"
        table.add_row(event.id, event.mailbox, event.type, f"{len(event.body):,}", since, _rejected_state(one))
    return table


def _rejected_state(rejected: RejectedEvent) -> str:
    return "retrying" if rejected.retrying else "dead-lettered"
