"""`mailhaul audit`: write, verify and show statements about what was stored."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.common import (
    FAILED,
    INTERRUPTED,
    ConfigOption,
    JsonOption,
    counted,
    open_console,
    print_error,
    print_json,
    printable,
)
from ingest.errors import ConfigError, ObjectMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.admin.audit.findings import AuditReport
    from ingest.admin.audit.write import Written
    from ingest.domain.statement import Entry, Statement
    from ingest.ports.signing import PublicKey

app = typer.Typer(
    help="Proof of completeness: a statement for each day and mailbox, chained and signed.", no_args_is_help=True
)

MailboxesOption = Annotated[
    list[str] | None,
    typer.Option("--mailbox", metavar="ID", help="Only this mailbox; may be repeated.", show_default=False),
]
SinceOption = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="Read the objects of messages stated on this day or later.", show_default=False),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        metavar="DAY", help="Read the objects of messages stated on this day or before.", show_default=False
    ),
]
KeysOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Public key (PEM) to accept instead of the configured one; may be repeated.",
        show_default=False,
    ),
]
_CHANGES = ("stored", "changed", "carried")
_STATES = ("processed", "quarantined", "oversize", "unprocessed", "failed", "erased", "missing", "unreadable")
_DELIVERY = ("confirmed", "waiting", "rejected")


@app.command(epilog="Example: mailhaul audit write")
def write(
    mailbox: MailboxesOption = None,
    day: Annotated[
        str | None,
        typer.Option(
            metavar="DAY", help="The last day to write about; by default the last that is over.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the statements that are due: one about each day since the last, once `audit.grace` has passed.

    The scheduler does the same where `audit.enabled` is set; this is for cron beside `mailhaul drain`. A statement is
    never written again. The first one of a mailbox covers all that is stored.
    """
    from ingest.cli.runtime import open_runtime
    from ingest.cli.stopping import Stopping
    from ingest.config.names import require_configured

    until = _day("--day", day)
    done: list[Written] = []
    with Stopping() as stopping, open_runtime(config) as runtime:
        boxes = runtime.mailboxes()
        require_configured("mailbox", mailbox or [], boxes)
        whole = not mailbox and day is None
        if whole:
            runtime.ledger.record_task_start("statements")
        for one in runtime.statements.write([boxes[id_] for id_ in mailbox or boxes], lambda: stopping.asked, until):
            done.append(one)
            if not as_json:
                _report_written(one)
        failed = any(one.error for one in done)
        if whole and not failed and not stopping.asked:
            runtime.ledger.record_task_success("statements")
    if as_json:
        print_json([_written_data(one) for one in done])
    sys.exit(FAILED if failed else INTERRUPTED if stopping.asked else 0)


@app.command(epilog="Example: mailhaul audit verify --key audit-public.pem")
def verify(
    mailbox: MailboxesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    key: KeysOption = None,
    config: ConfigOption = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Read manifests; of other objects compare existence and size only.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Verify the statements, and the store against them: what is missing, altered, added, or not signed as it should.

    The statements of each mailbox are always verified from the first to the last. A message is compared with the last
    statement about it. Exits with 1 if anything is found. Only reads; safe while the service runs.
    """
    from ingest.admin.audit.verify import Auditor, Scope
    from ingest.cli.runtime import open_runtime
    from ingest.config.names import require_configured

    scope = Scope(_day("--since", since), _day("--until", until), quick)
    reports: list[AuditReport] = []
    with open_runtime(config) as runtime, open_console(stderr=True).status("") as shown:
        auditor = Auditor(
            store=runtime.store,
            layout=runtime.layout,
            configured=runtime.mailboxes(),
            keys=_keys(key) if key else runtime.open_audit_keys(),
            grace=runtime.statement_grace,
            workers=runtime.uploads,
            now=runtime.now,
        )

        def listen(name: str, messages: int) -> None:
            shown.update(f"{name}: {counted(messages, 'message')}")

        known = auditor.mailboxes()
        require_configured("mailbox", mailbox or [], known)
        for id_ in mailbox or known:
            reports.append(auditor.verify(id_, scope, listen))
            if not as_json:
                _report(reports[-1])
    if as_json:
        print_json([_report_data(one) for one in reports])
    sys.exit(0 if all(one.ok for one in reports) else FAILED)


@app.command(epilog="Example: mailhaul audit show --mailbox invoices --day 2026-11-26")
def show(
    mailbox: MailboxesOption = None,
    day: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Only this day, with what is unusual about it.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    *,
    entries: Annotated[
        bool, typer.Option("--entries", help="With --day: every message, not only unusual ones.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show statements: a line for each day with its totals, or one day in full. Verifies nothing."""
    from ingest.admin.audit.archive import StatementArchive
    from ingest.cli.runtime import open_runtime
    from ingest.config.names import require_configured

    wanted = _day("--day", day)
    with open_runtime(config) as runtime:
        archive = StatementArchive(runtime.store, runtime.layout)
        known = sorted({*runtime.mailboxes(), *archive.mailboxes()})
        require_configured("mailbox", mailbox or [], known)
        for id_ in mailbox or known:
            if wanted is None:
                found = (archive.load(id_, one).statement for one in archive.days(id_))
                _print_days(id_, found, as_json=as_json)
                continue
            try:
                stored = archive.load(id_, wanted)
            except ObjectMissingError:
                print_error(f"{id_} has no statement about {wanted}")
                sys.exit(FAILED)
            if as_json:
                typer.echo(stored.data.decode())
            else:
                _print_day(stored.statement, stored.link.sha256)
            if entries or not as_json:
                _print_entries(archive.entries(stored.statement), every=entries, as_json=as_json)


def _keys(paths: Sequence[Path]) -> dict[str, PublicKey]:
    from ingest.adapters.signing import load_public_key

    found: dict[str, PublicKey] = {}
    for path in paths:
        try:
            key = load_public_key(path.read_text(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is no text"
            raise ConfigError([f"--key {path}: cannot be read ({reason})"]) from None
        found[key.key_id] = key
    return found


def _day(option: str, text: str | None) -> date | None:
    """Return a day.

    Raises:
        ConfigError: the text is none.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError([f"{option} {text}: write a day (UTC) such as 2026-11-23"]) from None


def _report_written(one: Written) -> None:
    if one.error is not None:
        print_error(f"{one.mailbox}: {one.error}")
    elif one.statement is not None:
        typer.echo(f"{one.mailbox} {one.statement.day}: {_counted(one.statement)}; sha256 {one.sha256}")


def _written_data(one: Written) -> dict[str, object]:
    statement = None if one.statement is None else one.statement.model_dump(mode="json", by_alias=True)
    return {
        "mailbox": one.mailbox,
        "statement": statement,
        "sha256": one.sha256 or None,
        "error": str(one.error) if one.error else None,
    }


def _counted(statement: Statement) -> str:
    names = (*_CHANGES, *_STATES, *_DELIVERY)
    return (
        ", ".join(f"{statement.counts[name]:,} {name}" for name in names if statement.counts.get(name)) or "nothing"
    )


def _report(report: AuditReport) -> None:
    for one in report.findings:
        typer.echo(f"{one.kind}: {printable(one.where)}: {one.text}")
    left_out = report.kinds.total() - len(report.findings)
    if left_out:
        typer.echo(f"... and {left_out:,} more")
    if report.head is None:
        typer.echo(f"{report.mailbox}: there are no statements")
        return
    signed = f", signed by {', '.join(sorted(report.signed_by))}" if report.signed_by else ", not signed"
    typer.echo(
        f"{report.mailbox}: {counted(report.statements, 'statement')}, {report.first} to {report.last}{signed};"
        f" {counted(report.messages, 'message')}, {counted(report.objects, 'object')},"
        f" {counted(report.size, 'byte')} compared"
    )
    typer.echo(f"  last statement: sha256 {report.head.sha256}")
    if report.pending:
        typer.echo(f"  new or changed since: {counted(report.pending, 'message')}; the next statement covers that")
    for state, count in sorted(report.unsettled.items()):
        typer.echo(f"  {state}: {counted(count, 'message')}")
    if not report.ok:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.kinds.items()))
        typer.echo(f"  found: {kinds}")


def _report_data(report: AuditReport) -> dict[str, object]:
    return {
        "mailbox": report.mailbox,
        "ok": report.ok,
        "statements": report.statements,
        "first": None if report.first is None else report.first.isoformat(),
        "last": None if report.last is None else report.last.isoformat(),
        "head": None if report.head is None else report.head.sha256,
        "signed_by": sorted(report.signed_by),
        "messages": report.messages,
        "objects": report.objects,
        "bytes": report.size,
        "pending": report.pending,
        "unsettled": dict(report.unsettled),
        "counts": {str(kind): count for kind, count in report.kinds.items()},
        "findings": [{"kind": str(one.kind), "where": one.where, "text": one.text} for one in report.findings],
    }


def _print_days(mailbox: str, statements: Iterator[Statement], *, as_json: bool) -> None:
    if as_json:
        for statement in statements:
            typer.echo(statement.to_json().decode())
        return
    columns = ("stored", "processed", "failed", "unprocessed", "erased", "confirmed", "waiting", "rejected")
    typer.echo(f"{mailbox}\n  day         on server  {'  '.join(columns)}  signed by")
    for one in statements:
        listed = "" if one.server is None else f"{one.server.listed:,}"
        counts = "  ".join(f"{one.counts.get(name, 0):>{len(name)},}" for name in columns)
        typer.echo(f"  {one.day}  {listed:>9}  {counts}  {one.signature.key_id if one.signature else 'nobody'}")


def _print_day(statement: Statement, sha256: str) -> None:
    server, signature = statement.server, statement.signature
    typer.echo(f"Statement about {statement.day} (UTC), mailbox {statement.mailbox}")
    since = "the beginning" if statement.since is None else f"{statement.since:%Y-%m-%d %H:%M}"
    typer.echo(f"  about          what was written to the store from {since} until {statement.until:%Y-%m-%d %H:%M}")
    typer.echo(f"  written        {statement.written_at:%Y-%m-%d %H:%M:%S}")
    if server is not None:
        typer.echo(
            f"  on the server  {server.listed:,} listed, {server.not_fetched:,} of them not fetched,"
            f" {server.unfetchable:,} could not be fetched (poll of {server.polled_at:%Y-%m-%d %H:%M:%S}:"
            f" {server.result})"
        )
    typer.echo(f"  messages       {_counted(statement)}; {statement.counts.get('stored_bytes', 0):,} bytes stored")
    typer.echo(f"  events         confirmed by every sink up to {statement.confirmed_until:%Y-%m-%d %H:%M:%S}")
    typer.echo(f"  merkle root    {statement.merkle_root}")
    typer.echo(f"  sha256         {sha256}")
    before = statement.previous
    typer.echo(
        f"  follows        {'nothing: it is the first' if before is None else f'{before.day} {before.sha256}'}"
    )
    typer.echo(f"  signed by      {'nobody' if signature is None else f'{signature.key_id} ({signature.algorithm})'}")


def _print_entries(entries: Iterator[Entry], *, every: bool, as_json: bool) -> None:
    """Print entries: all, or those of which something is unusual."""
    for entry in entries:
        if as_json:
            typer.echo(entry.to_line().decode())
        elif every or entry.change != "stored" or entry.state != "processed" or entry.delivery != "confirmed":
            words = [entry.change, entry.state, entry.reason, entry.delivery, *entry.rejected_by]
            typer.echo(f"  {entry.key}  {' '.join(word for word in words if word)}")
