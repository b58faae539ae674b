"""`mailhaul reconcile`: restore in the ledger what the store has and the ledger has lost."""

from __future__ import annotations

import sys
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
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ingest.admin.reconcile import Reconciled
    from ingest.cli.stopping import Stopping
    from ingest.domain.mailbox import Mailbox
    from ingest.wiring.runtime import Runtime


IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Mailbox ids; without any, all mailboxes.", show_default=False),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="ID", help="Start at this mailbox, in the configuration's order.", show_default=False
    ),
]


def reconcile(
    ids: IdsArgument = None,
    config: ConfigOption = None,
    first: FromOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the ledger with the store, and restore what the ledger has lost.

    Reopens messages that are stored, not processed, and unknown to the ledger; republishes events that the ledger may
    have lost, with the same ids; and restores the unique-ids of messages that are done. An empty ledger is rebuilt
    without this command: use it after restoring the ledger from an older backup, or after a failover to a replica
    that was far behind. Does not contact mail servers. Safe while the service runs, and safe to repeat. Ctrl-C stops
    after the current mailbox.
    """
    from ingest.cli.runtime import open_runtime
    from ingest.cli.stopping import Stopping

    found: list[Reconciled] = []
    with Stopping() as stopping, open_runtime(config) as runtime:
        chosen = _chosen(runtime.mailboxes(), ids or [], first)
        for one in _reconciled(runtime, chosen, stopping):
            found.append(one)
            if not as_json:
                _report(one)
    if as_json:
        print_json([_data(one) for one in found])
    if len(found) < len(chosen):
        typer.echo(f"stopped; continue with: mailhaul reconcile --from {chosen[len(found)].id}", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(FAILED if any(one.error for one in found) else 0)


def _reconciled(runtime: Runtime, chosen: Sequence[Mailbox], stopping: Stopping) -> Iterator[Reconciled]:
    """Reconcile mailboxes one by one, and show the current one on standard error, if that is a terminal."""
    from ingest.admin.reconcile import Reconciler

    reconciler = Reconciler(runtime.ledger, runtime.keeper, runtime.rebuilder, runtime.events)
    with open_console(stderr=True).status("") as shown:
        yield from reconciler.run(
            chosen,
            lambda: stopping.asked,
            lambda mailbox, messages: shown.update(f"{mailbox}: {counted(messages, 'message')}"),
        )


def _chosen(mailboxes: Mapping[str, Mailbox], ids: Sequence[str], first: str | None) -> list[Mailbox]:
    from ingest.config.names import require_configured

    require_configured("mailbox", [*ids, *([first] if first else [])], mailboxes)
    begins = list(mailboxes).index(first) if first else 0
    return [box for id_, box in list(mailboxes.items())[begins:] if not ids or id_ in ids]


def _report(one: Reconciled) -> None:
    if one.error is not None:
        print_error(f"{one.mailbox}: {one.error}")
        return
    lost = [
        f"{words} {what}"
        for count, words, what in (
            (one.reopened, f"{one.reopened:,}", "reopened"),
            (one.republished, counted(one.republished, "event"), "republished"),
            (one.restored, counted(one.restored, "unique-id"), "restored"),
        )
        if count
    ]
    typer.echo(
        f"{one.mailbox}: {counted(one.messages, 'message')} in the store; {', '.join(lost) or 'nothing was missing'}"
    )


def _data(one: Reconciled) -> dict[str, object]:
    return {
        "mailbox": one.mailbox,
        "messages": one.messages,
        "reopened": one.reopened,
        "republished": one.republished,
        "restored": one.restored,
        "error": str(one.error) if one.error else None,
    }
