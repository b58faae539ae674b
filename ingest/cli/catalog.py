"""`mailhaul catalog`: build the catalog again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from ingest.cli.common import INTERRUPTED, ConfigOption, JsonOption, counted, open_console, print_json

if TYPE_CHECKING:
    from ingest.catalog.rebuild import Rebuilt

app = typer.Typer(help="The catalog, in which the console searches.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command(epilog="Example: mailhaul catalog rebuild --config my.yaml")
def rebuild(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Read every manifest in the store into the catalog, and remove what the store no longer has.

    The service and the console may run meanwhile. Ctrl-C stops it; started again, it continues where it was. The
    console does the same by itself when its catalog is new or has missed events.
    """
    from ingest.catalog.rebuild import Rebuild
    from ingest.cli.runtime import open_runtime
    from ingest.cli.stopping import Stopping
    from ingest.wiring.catalog import open_catalog

    with Stopping() as stopping, open_runtime(config) as runtime, open_catalog(config) as catalog:
        rebuilding = Rebuild(catalog, runtime.store, runtime.layout, lambda: runtime.now().timestamp())
        with open_console(stderr=True).status("") as shown:

            def listen(done: Rebuilt) -> None:
                shown.update(f"{counted(done.messages, 'message')} read")

            done = rebuilding.run(lambda: stopping.asked, listen)
    if as_json:
        print_json({"messages": done.messages, "removed": done.removed, "complete": done.complete})
    else:
        typer.echo(f"{counted(done.messages, 'message')} read, {done.removed:,} removed")
    if not done.complete:
        typer.echo("stopped; run it again to continue", err=True)
        sys.exit(INTERRUPTED)
