"""`mailhaul reconcile`: give the ledger back what the store knows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ingest.cli.messages import FAILED, INTERRUPTED, print_error
from ingest.cli.options import ConfigOption, JsonOption, print_json
from ingest.errors import require_configured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingest.admin.reconcile import Reconciled
    from ingest.domain.mailbox import Mailbox


def reconcile(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Of mailboxes.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="ID", help="Begin with this mailbox, in the configuration's order."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the ledger with the store, and give it back what it has lost; without IDs, of every mailbox.

    Opens mail again that is stored, not processed, and unknown to the ledger; tells events again that it may have
    lost, with the same ids; and makes unique-ids known again that are done. An empty ledger heals by itself: this is
    for one that was put back to an older state, or that failed over to a replica far behind. Nothing is asked of mail
    servers. Safe beside the running service, and to run again at any time; Ctrl-C ends it after the mailbox at hand.
    """
    from ingest.cli import once
    from ingest.cli.stopping import Stopping

    found: list[Reconciled] = []
    with (
        Stopping() as stopping,
        once.reconciler(config) as (reconciler, mailboxes),
        Console(stderr=True, highlight=False).status("") as shown,
    ):
        chosen = _chosen(mailboxes, ids or [], first)
        for one in reconciler.run(
            chosen, lambda: stopping.asked, lambda mailbox, looked: shown.update(f"{mailbox}: {looked:,} messages")
        ):
            found.append(one)
            if not as_json:
                _say(one)
    if as_json:
        print_json([_data(one) for one in found])
    if len(found) < len(chosen):
        typer.echo(f"stopped; go on with: mailhaul reconcile --from {chosen[len(found)].id}", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(FAILED if any(one.error for one in found) else 0)


def _chosen(mailboxes: Mapping[str, Mailbox], ids: Sequence[str], first: str | None) -> list[Mailbox]:
    require_configured("mailbox", [*ids, *([first] if first else [])], mailboxes)
    begins = list(mailboxes).index(first) if first else 0
    return [box for id_, box in list(mailboxes.items())[begins:] if not ids or id_ in ids]


def _say(one: Reconciled) -> None:
    if one.error is not None:
        print_error(f"{one.mailbox}: {one.error}")
        return
    lost = [
        f"{count:,} {what}"
        for count, what in (
            (one.reopened, "opened again"),
            (one.told, "events told again"),
            (one.restored, "unique-ids known again"),
        )
        if count
    ]
    typer.echo(f"{one.mailbox}: {one.looked:,} messages in the store; {', '.join(lost) or 'nothing was missing'}")


def _data(one: Reconciled) -> dict[str, object]:
    return {
        "mailbox": one.mailbox,
        "looked": one.looked,
        "reopened": one.reopened,
        "told": one.told,
        "restored": one.restored,
        "error": str(one.error) if one.error else None,
    }
