"""The dashboards load anywhere, explain themselves, and ask for nothing that is not exported."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from ingest.metric_specs import SPECS
from tests.support.dashboards import CHOICES, Panel, load_boards, panels
from tests.support.rules import ROOT, RUNBOOKS, known_series, load_rules, names_in, unknown_in

BOARDS = load_boards()
PANELS = list(panels())

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board["uid"])
each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel.board}: {panel.title}")


def test_there_are_an_overview_and_a_detail_page_at_fixed_addresses() -> None:
    assert set(BOARDS) == {"mailhaul-overview", "mailhaul-detail"}


@each_board
def test_a_board_takes_whatever_data_source_is_there(board: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert board.get("id") is None
    found = re.findall(r"'uid': '([^']*)'", str(board["panels"]) + str(board["templating"]))
    assert set(found) == {"${datasource}"}


@each_board
def test_variables_can_be_left_alone_and_are_used(board: dict[str, Any]) -> None:
    text = str(board["panels"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            # A label that no series has, as the namespace outside of Kubernetes, is matched too.
            assert (variable["includeAll"], variable["allValue"]) == (True, ".*")
            assert variable["name"] in CHOICES
            assert f"${variable['name']}" in text
            series, label = re.fullmatch(
                r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]["query"]
            ).groups()  # type: ignore[union-attr] # it fails then
            assert label in known_series()[series] | {"namespace"}


@each_board
def test_no_panel_lies_on_another_and_none_leaves_the_grid(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    for title, place in places:
        assert place["x"] + place["w"] <= 24, title
    for (one, a), (other, b) in itertools.combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, (one, other)


@each_panel
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: Panel) -> None:
    assert panel.unit
    assert len(panel.raw["description"]) > 20
    assert panel.raw["description"].endswith(".")
    assert panel.queries
    assert all(query.legend for query in panel.queries)


@each_panel
def test_units_fit_what_is_measured(panel: Panel) -> None:
    """Seconds are shown as such, and bytes too, where a query does nothing else with them."""
    for query in panel.queries:
        if re.search(r"(?<!rate)\(mailhaul_\w*_bytes\b", query.expr) and "rate" not in query.expr:
            assert panel.unit == "bytes"
        if re.search(r"mailhaul_\w*(_seconds_bucket|_age_seconds|_lag_seconds)\b", query.expr):
            assert panel.unit == "s"


@each_panel
def test_a_legend_names_labels_that_the_query_keeps(panel: Panel) -> None:
    for query in panel.queries:
        named = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
        grouped = {label for labels in re.findall(r"by \(([^)]*)\)", query.expr) for label in labels.split(", ")}
        bare = grouped or {label for name in names_in(query.expr) for label in known_series()[name]}
        recorded = {label for name in names_in(query.expr) if ":" in name for label in known_series()[name]}
        assert named <= bare | recorded, query.expr


@each_panel
def test_what_a_panel_asks_for_is_exported_and_can_be_narrowed(panel: Panel) -> None:
    for query in panel.queries:
        filled = query.filled()
        assert unknown_in(filled) == set()
        wanted = len(re.findall(r"\b(?:mailhaul[_:][\w:]+|ALERTS)\b", filled))
        assert query.expr.count('namespace=~"$namespace') == wanted


def test_every_metric_is_on_a_board() -> None:
    shown = {name for panel in PANELS for query in panel.queries for name in names_in(query.filled())}
    recorded = {recording.name: names_in(recording.expr) for recording in load_rules()[0]}
    for _ in range(2):  # recordings of recordings
        shown |= {name for rule in shown & set(recorded) for name in recorded[rule]}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} | shown
    assert {spec.full_name for spec in SPECS} - families == set()


def test_every_recorded_series_is_of_use() -> None:
    recordings, alerts = load_rules()
    expressions = [recording.expr for recording in recordings] + [alert.expr for alert in alerts]
    expressions += [query.filled() for panel in PANELS for query in panel.queries]
    asked_for = {name for expr in expressions for name in names_in(expr)}
    assert {recording.name for recording in recordings} <= asked_for


def test_links_lead_to_boards_and_set_variables_that_these_have() -> None:
    texts = [str(board) for board in BOARDS.values()]
    texts += [alert.annotations["dashboard_url"] for alert in load_rules()[1]]
    for uid, query in re.findall(r"/d/([\w-]+)\??([^'\s]*)", " ".join(texts)):
        names = {variable["name"] for variable in BOARDS[uid]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", query)) <= names


def test_panels_that_the_runbook_names_are_there() -> None:
    titles = {panel.title for panel in PANELS}
    for page in [*RUNBOOKS.glob("Mailhaul*.md"), ROOT / "docs" / "observability.md"]:
        named = re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", page.read_text())
        assert [title for title in named if title not in titles] == [], page.name
