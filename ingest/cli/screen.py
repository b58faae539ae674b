"""The live view of `mailhaul up` on a terminal, and its one-line form elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ingest import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from ingest.admin.status import MailboxRow, Status
    from ingest.cli.watch import Snapshot

# Columns from which processes get their own table.
_WIDE = 110
# Columns below which no table can be read.
_NARROW = 40
# Two lines of the box, one of column titles, and one for the cursor.
_BOX_LINES = 4
_LEAST_ROWS = 3
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_KIBI = 1024
_COLOURS = {"success": "green", "paused": "bright_black", "disabled": "bright_black", "waiting": "yellow"}


@dataclass(frozen=True, slots=True)
class Places:
    """The locations in the footer of the view, as pairs of name and location."""

    rows: Sequence[tuple[str, str]]


def render(snapshot: Snapshot, places: Places, height: int) -> RenderableType:
    """Return the view for a terminal of `height` lines (24 or more)."""
    return _View(snapshot, places, height)


@dataclass(frozen=True, slots=True)
class _View:
    """Mailboxes take the lines that the rest leaves free; a wide terminal shows processes beside them."""

    snapshot: Snapshot
    places: Places
    height: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        options = options.reset_height()
        if options.max_width < _NARROW:
            yield from (Text(pair.replace("=", " ")) for pair in plain(self.snapshot).split())
            return
        wide = options.max_width >= _WIDE
        others = [
            _head(self.snapshot),
            _figures(self.snapshot, with_processes=not wide),
            Rule(style="bright_black"),
            _foot(self.places),
        ]
        taken = sum(len(console.render_lines(part, options, pad=False)) for part in others)
        mailboxes = _boxed(_mailboxes(self.snapshot, max(_LEAST_ROWS, self.height - taken - _BOX_LINES)))
        yield others[0]
        yield _side_by_side(mailboxes, _boxed(_process_table(self.snapshot))) if wide else mailboxes
        yield from others[1:]


def plain(snapshot: Snapshot) -> str:
    """Return the figures as one line of `key=value`, for logs and machines; equal figures give equal lines."""
    totals, status = snapshot.totals, snapshot.status
    figures = {
        "mailboxes": len(status.mailboxes) if status else "?",
        "stored": totals.stored,
        "processed": totals.processed,
        "attachments": totals.attachments,
        "events": sum(totals.delivered.values()),
        "pending": status.counts["open"] if status else "?",
        "undelivered": max((lag.entries for lag in status.sinks.values()), default=0) if status else "?",
        "dead_letters": status.counts["dead_letters"] if status else "?",
        "failed": status.counts["failed"] if status else "?",
        "ledger": "up" if status else "unavailable",
        "polling": "?" if not status else "stopped" if status.polling_stopped else "on",
        "starting": ",".join(snapshot.starting) or "-",
        "down": ",".join(process.name for process in snapshot.processes if process.pid is None) or "-",
    }
    return " ".join(f"{key}={value}" for key, value in figures.items())


def format_size(count: float) -> str:
    """Return a number of bytes in the largest fitting unit."""
    for unit in _UNITS:
        if count < _KIBI or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KIBI
    raise AssertionError("the last unit takes everything")


def polling_stopped_words(status: Status) -> str:
    """Return why no mailbox is polled, and the remedy; the status has `polling_stopped`."""
    assert status.memory is not None
    used = f"{status.memory.used / (status.memory.limit or 1):.0%}"
    return (
        f"no mailbox is polled: the ledger uses {used} of its memory (workers.stop_polling_at), and the rest is for "
        "delivery; see to the sinks with events to deliver, or raise maxmemory"
    )


def ago(seconds: float) -> str:
    """Return an age in the largest fitting unit."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{max(0, seconds) / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _head(snapshot: Snapshot) -> RenderableType:
    minutes, seconds = divmod(int(snapshot.uptime), 60)
    table = Table.grid(expand=True)
    table.add_column()
    table.add_column(justify="right")
    table.add_row(
        Text.assemble((" Mailhaul ", "bold white on blue"), f" {__version__}"),
        Text.assemble(
            (f"{snapshot.rate:.1f}", "bold"), f" messages/s   up {minutes // 60}:{minutes % 60:02}:{seconds:02} "
        ),
    )
    return table


def _mailboxes(snapshot: Snapshot, rows: int) -> RenderableType:
    if snapshot.status is None:
        return Text("the ledger does not answer; waiting for it", style="yellow")
    table = Table(box=None, expand=True, pad_edge=False, header_style="bright_black")
    table.add_column("mailbox", no_wrap=True, ratio=4)
    table.add_column("last poll", no_wrap=True, ratio=3)
    for title in ("on server", "backlog", "age"):
        table.add_column(title, justify="right", no_wrap=True, ratio=2)
    boxes = snapshot.status.mailboxes
    shown = boxes if len(boxes) <= rows else sorted(boxes, key=_urgency)[: rows - 1]
    for row in shown:
        table.add_row(*_mailbox(row, snapshot.at))
    if len(shown) < len(boxes):
        table.add_row(Text(f"and {len(boxes) - len(shown)} more", style="bright_black"))
    return table


def _urgency(row: MailboxRow) -> int:
    """Sort failing mailboxes first, then those with a backlog, where not all fit."""
    if not row.inactive and row.status and row.status.result != "success":
        return 0
    return 1 if row.status and row.status.backlog_messages else 2


def _mailbox(row: MailboxRow, now: float) -> list[RenderableType]:
    status = row.status
    result = row.inactive or (status.result if status else "waiting")
    state = Text.assemble(("● ", _COLOURS.get(result, "red")), result.replace("_", " "))
    if status is None:
        return [row.id, state, "", "", ""]
    backlog = Text(str(status.backlog_messages), style="yellow" if status.backlog_messages else "")
    return [row.id, state, str(status.listed), backlog, ago(now - status.last_poll)]


def _figures(snapshot: Snapshot, *, with_processes: bool) -> RenderableType:
    totals, status = snapshot.totals, snapshot.status
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bright_black", justify="right", min_width=11)
    table.add_column()
    if snapshot.starting:
        table.add_row("starting", Text(f"waiting for {', '.join(snapshot.starting)} to answer", "yellow"))
    if status is not None and status.polling_stopped:
        table.add_row("polling", Text(polling_stopped_words(status), "bold red"))
    table.add_row(
        "messages",
        _counts(
            (totals.stored, "stored", "bold"),
            (totals.processed, "processed", "bold green"),
            (totals.duplicate, "duplicate", ""),
            (totals.oversize, "oversize", ""),
            (status.counts["failed"] if status else totals.failed, "failed", "bold red"),
        ),
    )
    table.add_row(
        "attachments", _counts((totals.attachments, f"stored, {format_size(totals.attachment_bytes)}", "bold green"))
    )
    table.add_row("events", _events(snapshot))
    backlog, rejected = (status.counts["open"], status.counts["dead_letters"]) if status else (0, 0)
    table.add_row(
        "backlog", _counts((backlog, "to process", "bold yellow"), (rejected, "rejected by their sink", "bold red"))
    )
    table.add_row("latency", _latency(totals.latency_p50, totals.latency_p95))
    if with_processes:
        table.add_row("processes", _processes(snapshot))
    return table


def _events(snapshot: Snapshot) -> Text:
    status = snapshot.status
    waiting = {sink: lag.entries for sink, lag in status.sinks.items()} if status else {}
    events: list[tuple[int, str, str]] = []
    for sink, delivered in snapshot.totals.delivered.items():
        events.append((delivered, f"to {sink}", "bold green"))
        if waiting.get(sink):
            disabled = status is not None and sink in status.disabled
            events.append((waiting[sink], "disabled (410 Gone)" if disabled else "waiting", "bold yellow"))
    if not events and waiting:
        return Text(f"none to {', '.join(waiting)} yet", style="bright_black")
    return _counts(*events) if events else Text("in the stream; no sink is configured")


def _counts(*counts: tuple[int, str, str]) -> Text:
    """Return numbers with their names; zeros are dimmed."""
    text = Text()
    for number, (count, words, style) in enumerate(counts):
        text.append(" · " if number else "", "bright_black")
        text.append(f"{count:,}", style if count else "bright_black")
        text.append(f" {words}", "" if count else "bright_black")
    return text


def _latency(p50: float | None, p95: float | None) -> Text:
    if p50 is None or p95 is None:
        return Text("nothing delivered yet", style="bright_black")
    return Text.assemble("50 % within ", (f"{p50:.1f} s", "bold"), " · 95 % within ", (f"{p95:.1f} s", "bold"))


def _processes(snapshot: Snapshot) -> Text:
    text = Text()
    for process in snapshot.processes:
        text.append("● ", "green" if process.pid else "red")
        text.append(process.name + (f" ({process.restarts} restarts) " if process.restarts else " "))
    return text


def _process_table(snapshot: Snapshot) -> RenderableType:
    table = Table(box=None, expand=True, pad_edge=False, header_style="bright_black")
    table.add_column("process", no_wrap=True, ratio=3)
    table.add_column("pid", justify="right", no_wrap=True, ratio=2)
    table.add_column("restarts", justify="right", no_wrap=True, ratio=2)
    for process in snapshot.processes:
        dot = ("● ", "green" if process.pid else "red")
        restarts = Text(str(process.restarts), style="yellow" if process.restarts else "")
        table.add_row(Text.assemble(dot, process.name), str(process.pid or "down"), restarts)
    return table


def _boxed(content: RenderableType) -> RenderableType:
    return Panel(content, border_style="bright_black", padding=(0, 1))


def _side_by_side(left: RenderableType, right: RenderableType) -> RenderableType:
    table = Table.grid(expand=True)
    table.add_column(ratio=5)
    table.add_column(ratio=3)
    table.add_row(left, right)
    return table


def _foot(places: Places) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bright_black", justify="right", min_width=11)
    table.add_column(overflow="fold")
    for name, place in places.rows:
        table.add_row(name, place)
    return table
