"""Messages and their steps: as tables for people, as plain data for JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ingest.cli.common import printable
from ingest.cli.tree import mail_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from ingest.admin.messages import MessageRow
    from ingest.admin.timeline import Step
    from ingest.domain.manifest import Document, Manifest

_DIM = "bright_black"
_COLOURS = {"done": "green", "complete": "green", "failed": "red", "dead_lettered": "red", "waiting": "yellow"}
_INDENT = 4


def row_data(row: MessageRow) -> dict[str, Any]:
    """Return what a listing says of a message."""
    manifest = row.manifest
    return {
        "message_key": row.stored.key,
        "mailbox": manifest.mailbox.id if manifest else row.stored.root,
        "written": _time(row.written).isoformat(),
        "state": row.state,
        "received_at": manifest.received_at.isoformat() if manifest and manifest.received_at else None,
        "from": [one.address for one in manifest.headers.from_] if manifest else [],
        "subject": manifest.headers.subject if manifest else None,
        "documents": [document.kind for document in manifest.documents] if manifest else [],
        "labels": manifest.labels if manifest else [],
        "folder": row.stored.folder,
        "size": row.stored.size,
    }


def rows_table(rows: Sequence[MessageRow]) -> RenderableType:
    """Return a table with a row for each; what is narrow is always whole, senders and subjects share the rest.

    The state has a column if it is not the same, `complete`, for all.
    """
    with_state = any(row.state != "complete" for row in rows)
    table = _table("message key", "mailbox", "done (UTC)", *(["state"] if with_state else []))
    # Columns that may wrap are the only ones that rich narrows; their texts do not wrap but end in an ellipsis.
    table.add_column("from", min_width=8)
    table.add_column("subject", min_width=12)
    for row in rows:
        data = row_data(row)
        texts = [_cut(text) for text in (", ".join(data["from"]), data["subject"] or "")]
        cells = [row.stored.key[:12], data["mailbox"], f"{_time(row.written):%Y-%m-%d %H:%M}"]
        table.add_row(*cells, *([Text(row.state, _COLOURS.get(row.state, ""))] if with_state else []), *texts)
    return table


def _cut(text: str) -> Text:
    return Text(printable(text), no_wrap=True, overflow="ellipsis")


def message_view(manifest: Manifest) -> RenderableType:
    """Return a message as a tree of its parts, and its documents with their reasons."""
    return Group(mail_tree(manifest.mailbox.id, manifest), *_marks(manifest), *_documents(manifest))


def _marks(manifest: Manifest) -> Iterator[Text]:
    if manifest.labels:
        yield Text(f"labels: {printable(', '.join(manifest.labels))}")
    if manifest.quarantine is not None:
        yield Text(f"in quarantine by the rule {printable(manifest.quarantine.rule)}", "yellow")
    if manifest.duplicate_of is not None:
        yield Text(f"came before: mailhaul messages show {manifest.duplicate_of.message_key}", "yellow")


def _documents(manifest: Manifest) -> Iterator[RenderableType]:
    names = {one.part: one.filename for one in manifest.attachments}
    for document in manifest.documents:
        name = printable(names.get(document.main, ""))
        yield Text.assemble(f"\n{document.kind}  ", (name, "cyan"))
        for line in _reasons(document):
            yield Padding(line, (0, 0, 0, _INDENT))


def _reasons(document: Document) -> Iterator[Text]:
    if len(document.parts) > 1:
        yield Text(f"parts {', '.join(document.parts)}", _DIM)
    for reason in document.reasons:
        fact = f"  {printable(reason.fact)}" if reason.fact else ""
        yield Text(f"{reason.part}  {reason.code}{fact}", _DIM)


def step_data(step: Step) -> dict[str, Any]:
    """Return a step, like the API of the console does."""
    at = None if step.at is None else _time(step.at).isoformat()
    known = {"what": step.what, "at": at, "state": step.state, "sink": step.sink, "note": step.note}
    return {**known, "answer": step.answer, "tries": step.tries}


def steps_table(key: str, steps: Sequence[Step]) -> RenderableType:
    """Return a table with a row for each step."""
    table = _table("time (UTC)", "step", "state")
    table.add_column("", overflow="fold")
    for step in steps:
        at = f"{_time(step.at):%Y-%m-%d %H:%M:%S}" if step.at is not None else "-"
        what = f"{step.what} to {step.sink}" if step.sink else step.what.replace("_", " ")
        state = Text(step.state.replace("_", " "), _COLOURS.get(step.state, ""))
        table.add_row(at, what, state, Text(printable(step.note), _DIM))
    return Group(Text(key, "bold"), table)


def _table(*names: str) -> Table:
    table = Table(box=None, header_style=_DIM, pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=True)
    return table


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
