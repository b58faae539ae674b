"""`mailhaul rules`: what rules and conditions would have caught."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.common import UNUSABLE, ConfigOption, JsonOption, print_error, print_json, printable, progress_bar
from ingest.cli.replay import MailboxesOption, SinceOption, UntilOption, period
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.admin.rules import Condition, RuleResult
    from ingest.wiring.runtime import Runtime

app = typer.Typer(help="Rules, and conditions of sinks: try them on stored messages.", no_args_is_help=True)

_GUARD = (
    "Where a condition fails, its rule applies, and its sink gets the message. Ask first whether a field is there:\n"
    "envelope != null && envelope.return_path == ''"
)
_SUBJECT = 80  # characters
_COLUMNS = "{:<24} {:>10} {:>10} {:>10}"


@app.callback()
def _group() -> None:
    pass


@app.command("test", epilog='Example: mailhaul rules test --since 30d --where "automatic == null"')
def try_conditions(
    mailbox: MailboxesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="CEL", help="Try this condition, instead of those of the sinks.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Evaluate rules and the conditions of sinks on stored manifests, and print how many messages each catches.

    Publishes and changes nothing: labels and quarantine are those that the rules of the configuration would give
    now. WHEN is a day, a time (UTC unless it has an offset) or an age such as 2h or 30d, and is compared with the
    time when a message's manifest was written. Where a condition cannot be evaluated, the rule applies, and the
    sink gets the message.
    """
    from ingest.admin.replay import find_manifests
    from ingest.admin.rules import try_rules
    from ingest.cli.runtime import open_runtime

    begin, end = period(since, until)
    with open_runtime(config) as runtime:
        conditions = _conditions(runtime, where)
        rules = runtime.rules
        if not conditions and not rules:
            print_error("there is no rule, and no sink has a condition (`where`); try one with --where")
            raise typer.Exit(UNUSABLE)
        manifests = find_manifests(
            runtime.store, runtime.layout, runtime.mailboxes(), mailbox or [], since=begin, until=end
        )
        with progress_bar(len(manifests)) as show:
            results = try_rules(runtime.store, manifests, rules, conditions, runtime.uploads, listen=show)
    if not manifests and not as_json:
        print_error("no message is stored that was done then, in this mailbox: see --since, --until, --mailbox")
    elif as_json:
        print_json({name: _data(result) for name, result in results.items()})
    else:
        _print(results)


def _conditions(runtime: Runtime, where: str | None) -> Mapping[str, Condition]:
    from ingest.adapters.sinks.filtered import FilteredSink
    from ingest.expressions import Expression, ExpressionError

    if where is not None:
        try:
            return {"--where": Expression(where)}
        except ExpressionError as error:
            raise ConfigError([f"--where: {error}"]) from None
    found = (sink for sink in runtime.sinks.values() if isinstance(sink, FilteredSink))
    chosen = (sink for sink in found if sink.where is not None or sink.quarantined != "skip")
    return {f"sink:{sink.name}": sink for sink in chosen}


def _data(result: RuleResult) -> dict[str, object]:
    return {
        "matched": result.matched,
        "others": result.others,
        "failed": result.failed,
        "failures": result.failures,
        "held": result.held,
        "examples": result.examples,
    }


def _print(results: Mapping[str, RuleResult]) -> None:
    typer.echo(_COLUMNS.format("", "matched", "others", "failed"))
    for name, result in results.items():
        typer.echo(_COLUMNS.format(name, f"{result.matched:,}", f"{result.others:,}", f"{result.failed:,}"))
        if result.held:
            typer.echo(f"  {result.held:,} of the others are in quarantine")
        for reason, count in result.failures.items():
            typer.secho(f"  {count:,} failed: {printable(reason)}", fg="yellow")
        for key in result.examples:
            typer.echo(typer.style(f"  {key}  ", fg="bright_black") + printable(result.subjects[key])[:_SUBJECT])
    if any(result.failed for result in results.values()):
        typer.echo(_GUARD)
