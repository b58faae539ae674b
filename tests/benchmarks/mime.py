"""MIME parsers side by side: `python -m tests.benchmarks.mime`.

Each figure is the median of several fresh processes: CPU time for one reading, SHA-256 of every leaf included, and
peak memory above what the process took before. Then: for how many mails of the shared corpus the leaves have the same
bytes as the standard library gives, and why not for the others. Absolute figures belong to the machine.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.benchmarks.mime_agreement import agreement
from tests.benchmarks.mime_mails import write_mails
from tests.benchmarks.mime_parsers import PARSERS, WARM_UP
from tests.support.rules import ROOT
from tools.compiled import COMPILED

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
PROCESSES = 5
WIDTH = 220  # also where there is no terminal


@dataclass(frozen=True, slots=True)
class Figure:
    """Figures of one parser for one row; `note` has the reason if there are none."""

    cpu: float = 0.0
    mib: float = 0.0
    note: str = ""


def measured(parser: str, warm_up: Path, files: list[Path]) -> Figure:
    """Run the parser in fresh processes, one after another."""
    module = PARSERS[parser][0]
    if module is not None and importlib.util.find_spec(module) is None:
        return Figure(note="not installed")
    if not files:
        return Figure(note="no corpus")
    compiled = parser.startswith("compiled")
    if compiled and not COMPILED.is_dir():
        return Figure(note="not built")
    # -P: the folder that the program is started in does not precede the others.
    path = os.pathsep.join([*([str(COMPILED)] if compiled else []), str(ROOT)])
    command = [sys.executable, "-P", "-m", "tests.benchmarks.mime_parsers", parser, str(warm_up), *map(str, files)]
    results = []
    for _ in range(PROCESSES):
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False, timeout=600
        )
        if done.returncode < 0:
            return Figure(note=signal.Signals(-done.returncode).name)
        if done.returncode:
            return Figure(note="failed")
        results.append(json.loads(done.stdout))
    raised = results[0]["raised"]
    return Figure(
        cpu=statistics.median(result["cpu"] for result in results),
        mib=statistics.median(result["mib"] for result in results),
        note=f"raised on {raised}" if raised else "",
    )


def main() -> None:
    """Run everything and print the tables."""
    console = Console(width=max(WIDTH, Console().width))
    with tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as folder:
        rows = write_mails(Path(folder))
        warm_up = Path(folder) / "warm-up.eml"
        warm_up.write_bytes(WARM_UP)
        mails = sorted(CORPUS.rglob("*.eml")) if CORPUS.is_dir() else []
        rows[f"shared corpus, {len(mails)} mails"] = mails
        table = Table(title="CPU ms to read once, SHA-256 of every leaf included; MiB of peak memory above base")
        table.add_column("")
        for parser in PARSERS:
            table.add_column(parser, justify="right")
            table.add_column("MiB", justify="right", style="bright_black")
        for name, files in rows.items():
            figures = [measured(parser, warm_up, files) for parser in PARSERS]
            table.add_row(name, *_row(dict(zip(PARSERS, figures, strict=True))))
    console.print(table)
    console.print(_agreement(mails))


def _row(figures: dict[str, Figure]) -> Iterator[str]:
    """The cells of a row. Who decodes the headers on demand is compared with ours when it does."""
    for parser, figure in figures.items():
        yield from _cells(figure, figures["with headers" if parser.endswith("headers") else "Mailhaul"])


def _cells(figure: Figure, ours: Figure) -> tuple[str, str]:
    if not figure.cpu:
        return figure.note, ""
    times = f" ({figure.cpu / ours.cpu:.2f}x)" if figure is not ours and ours.cpu else ""
    note = f", {figure.note}" if figure.note else ""
    return f"{figure.cpu * 1000:.3g}{times}{note}", f"{figure.mib:.1f}"


def _agreement(mails: list[Path]) -> Table:
    table = Table(title="Leaves with the same bytes as the standard library's (compat32)")
    table.add_column("")
    table.add_column("mails", justify="right")
    for reason, count in agreement(mails).items():
        table.add_row(reason, str(count))
    return table


if __name__ == "__main__":
    main()
