"""The dashboards as Grafana reads them: their panels, and the queries as Prometheus gets them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.rules import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = ROOT / "deploy" / "observability" / "dashboards"
# What Grafana puts in where nobody has chosen anything; the interval suits a scrape each second.
CHOICES = {"namespace": ".*", "mailbox": ".*", "server": ".*", "__rate_interval": "15s"}


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, with variables still in it."""

    expr: str
    legend: str
    instant: bool

    def filled(self, choices: Mapping[str, str] = CHOICES) -> str:
        """The expression with variables replaced.

        Raises:
            KeyError: it has one that nobody knows.
        """
        return re.sub(r"\$(\w+)", lambda found: choices[found[1]], self.expr)


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel that is no mere heading; `raw` is all of it."""

    board: str
    title: str
    kind: str
    queries: tuple[Query, ...]
    raw: dict[str, Any]

    @property
    def unit(self) -> str | None:
        """Of its values, as Grafana calls it."""
        unit: str | None = self.raw["fieldConfig"]["defaults"].get("unit")
        return unit


def load_boards() -> dict[str, dict[str, Any]]:
    """Every dashboard by its uid."""
    boards = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    return {board["uid"]: board for board in boards}


def panels() -> Iterator[Panel]:
    """Every panel of every dashboard but the headings of rows."""
    for uid, board in load_boards().items():
        for raw in board["panels"]:
            if raw["type"] != "row":
                queries = tuple(
                    Query(target["expr"], target["legendFormat"], target["instant"]) for target in raw["targets"]
                )
                yield Panel(uid, raw["title"], raw["type"], queries, raw)
