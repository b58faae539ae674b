"""Makes the picture in docs/observability.md: real data of a service in trouble, drawn with matplotlib.

`python -m tests.support.dashboard_picture [SECONDS [FOLDER]]` draws what the panels show in Grafana, near enough to
judge them: the part of the overview that the documents show, and, where a folder is named, both boards as a whole.
Prometheus has to be installed. Alerts wait for seconds instead of minutes, so that the picture has some.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from tests.support.dashboards import Panel, load_boards, panels
from tests.support.rules import ROOT, RULES
from tests.support.watched import SLOW, WORKING, Watched

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tests.support.prometheus import Prometheus, Sample, Series

TARGET = ROOT / "docs" / "images" / "overview.png"
SECONDS = 180.0
# Rows of the grid that the documents show: those that answer the three questions.
_DOCUMENTED_ROWS = 33
_BACKGROUND, _PANEL, _TEXT, _GRID = "#111217", "#181b1f", "#ccccdc", "#2c3038"
_COLORS = {
    "green": "#56a64b",
    "yellow": "#e0b400",
    "red": "#e02f44",
    "blue": "#3274d9",
    "orange": "#ff780a",
    "purple": "#a352cc",
    "dark-red": "#c4162a",
}
_SECONDS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"), (1e-6, "µs"))
_THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_CYCLE = [
    "#73bf69",
    "#f2cc0c",
    "#8ab8ff",
    "#ff780a",
    "#f2495c",
    "#5794f2",
    "#b877d9",
    "#fade2a",
    "#96d98d",
    "#ca95e5",
]


class Box(NamedTuple):
    """A panel's place as fractions of the picture; `unit` is the height of one row of the grid."""

    x: float
    y: float
    w: float
    h: float
    unit: float


def main() -> None:
    """Run the service for a while and draw a board."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory(prefix="mailhaul-") as name:
        folder = Path(name)
        hurried = folder / "rules.yaml"
        hurried.write_text(re.sub(r"for: (\d+)[mh]", r"for: \1s", RULES.read_text()))
        with Watched(folder, hurried) as scene:
            scene.service.wait_for_events(1)
            keep_busy(scene, seconds)
            draw("mailhaul-overview", scene.prometheus, seconds, TARGET, _DOCUMENTED_ROWS)
            for board in load_boards() if len(sys.argv) > 2 else ():
                draw(board, scene.prometheus, seconds, Path(sys.argv[2]) / f"{board}.png")


def keep_busy(scene: Watched, seconds: float) -> None:
    """Mail comes in waves; the unavailable sink comes back for a moment in the middle."""
    begin = time.monotonic()
    for number in itertools.count(1):
        passed = time.monotonic() - begin
        if passed > seconds:
            return
        for _ in range(1 + int(3 * (1 + math.sin(passed / 12)))):
            scene.deliver(WORKING, number * 10 + _)
        scene.deliver(SLOW, number)
        scene.away(away=not 0.4 < passed / seconds < 0.5)
        time.sleep(1)


def draw(board: str, prometheus: Prometheus, seconds: float, target: Path, rows: float = math.inf) -> None:
    """One picture of the panels of a board in their places, those above so many rows of the grid."""
    mpl.use("Agg")
    wanted = [raw for raw in load_boards()[board]["panels"] if raw["gridPos"]["y"] < rows]
    height = max(raw["gridPos"]["y"] + raw["gridPos"]["h"] for raw in wanted)
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 7, "text.color": _TEXT})
    figure = plt.figure(figsize=(15, height * 0.32), facecolor=_BACKGROUND)
    shown = {panel.raw["id"]: panel for panel in panels() if panel.board == board}
    for raw in wanted:
        place = raw["gridPos"]
        left, bottom = place["x"] / 24, 1 - (place["y"] + place["h"]) / height
        if raw["type"] == "row":
            figure.text(0.005, bottom + 0.3 / height, f"▾ {raw['title']}", fontsize=10, weight="bold")
            continue
        panel = shown[raw["id"]]
        box = Box(
            left + 0.003, bottom + 0.1 / height, place["w"] / 24 - 0.006, (place["h"] - 0.2) / height, 1 / height
        )
        figure.patches.append(
            Rectangle((box.x, box.y), box.w, box.h, transform=figure.transFigure, facecolor=_PANEL, zorder=-1)
        )
        _PAINTERS[panel.kind](_frame(figure, panel, box), panel, prometheus, seconds)
    figure.savefig(target, dpi=100, facecolor=_BACKGROUND)
    plt.close(figure)


def _frame(figure: Any, panel: Panel, box: Box) -> Axes:
    """Axes in a panel's place, under its title."""
    figure.text(box.x + 0.004, box.y + box.h - 0.2 * box.unit, panel.title, va="top", fontsize=8, weight="bold")
    left, below = {"timeseries": (0.032, 1.9), "bargauge": (0.105, 0.2)}.get(panel.kind, (0.004, 0.2))
    below *= box.unit
    axes: Axes = figure.add_axes((box.x + left, box.y + below, box.w - left - 0.008, box.h - below - box.unit))
    axes.set_facecolor(_PANEL)
    axes.tick_params(colors=_TEXT, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _paint_stat(axes: Axes, panel: Panel, prometheus: Prometheus, seconds: float) -> None:
    axes.axis("off")
    found = _now(panel, prometheus)
    for index, (legend, value) in enumerate(found or [("", math.nan)]):
        text = _words(value, panel)
        if len(found) > 1:
            text = f"{legend}  {text}"
        y, h = 1 - (index + 1) / max(1, len(found)), 1 / max(1, len(found))
        axes.add_patch(Rectangle((0, y), 1, h * 0.97, color=_threshold(panel, value), transform=axes.transAxes))
        size = 17 if len(found) < 2 else 8
        axes.text(0.5, y + h / 2, text, ha="center", va="center", fontsize=size, color="white", weight="bold")


def _paint_bars(axes: Axes, panel: Panel, prometheus: Prometheus, seconds: float) -> None:
    found = sorted(_now(panel, prometheus), key=lambda pair: pair[1])[-12:]
    axes.set_xticks([])
    if not found:
        axes.axis("off")
        axes.text(0.4, 0.5, panel.raw["fieldConfig"]["defaults"].get("noValue", "No data"), ha="center", fontsize=11)
        return
    defaults = panel.raw["fieldConfig"]["defaults"]
    high = defaults.get("max") or max(value for _, value in found) or 1
    axes.barh([legend for legend, _ in found], [high] * len(found), color=_GRID, height=0.7)
    axes.barh(
        [legend for legend, _ in found],
        [min(value, high) for _, value in found],
        color=[_threshold(panel, value) for _, value in found],
        height=0.7,
    )
    for index, (_, value) in enumerate(found):
        axes.text(
            high * 1.02, index, _words(value, panel), va="center", color=_threshold(panel, value), weight="bold"
        )
    axes.set_xlim(0, high * 1.3)


def _paint_lines(axes: Axes, panel: Panel, prometheus: Prometheus, seconds: float) -> None:
    found: list[tuple[str, Series]] = [
        (_legend(query.legend, series.labels), series)
        for query in panel.queries
        for series in prometheus.query_range(query.filled(), seconds)
    ]
    custom = panel.raw["fieldConfig"]["defaults"]["custom"]
    end = time.time()
    fixed = {
        override["matcher"]["options"]: _COLORS[override["properties"][0]["value"]["fixedColor"]]
        for override in panel.raw["fieldConfig"]["overrides"]
    }
    floor: dict[float, float] = {}
    for index, (legend, series) in enumerate(found):
        times = [at - end for at, value in series.points if not math.isnan(value)]
        values = [value for _, value in series.points if not math.isnan(value)]
        color = fixed.get(legend, _CYCLE[index % len(_CYCLE)])
        if "stacking" in custom:
            lower = [floor.get(round(at), 0.0) for at in times]
            values = [value + base for value, base in zip(values, lower, strict=True)]
            floor.update({round(at): value for at, value in zip(times, values, strict=True)})
            axes.fill_between(times, lower, values, color=color, alpha=0.4, linewidth=0)
        axes.plot(times, values, label=legend, linewidth=1.2, color=color)
    axes.set_xlim(-seconds, 0)
    axes.set_ylim(bottom=0)
    axes.grid(color=_GRID, linewidth=0.5)
    axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
    axes.yaxis.set_major_formatter(lambda value, _: _words(value, panel))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
    if found:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(-0.1, -0.1),
            ncols=4,
            fontsize=6,
            frameon=False,
            handlelength=1,
            columnspacing=1,
        )


def _paint_table(axes: Axes, panel: Panel, prometheus: Prometheus, seconds: float) -> None:
    axes.axis("off")
    rows = [sample.labels for query in panel.queries for sample in prometheus.query(query.filled())]
    columns = ("alertstate", "severity", "alertname", "mailbox", "sink", "version", "revision")
    lines = sorted("   ".join(row[column] for column in columns if column in row) for row in rows)
    empty = panel.raw["fieldConfig"]["defaults"].get("noValue", "No data")
    axes.text(0.02, 0.95, "\n".join(lines) or empty, va="top", fontsize=8, linespacing=1.8)


_PAINTERS = {"stat": _paint_stat, "bargauge": _paint_bars, "timeseries": _paint_lines, "table": _paint_table}


def _now(panel: Panel, prometheus: Prometheus) -> list[tuple[str, float]]:
    samples: list[tuple[str, Sample]] = [
        (query.legend, sample) for query in panel.queries for sample in prometheus.query(query.filled())
    ]
    return [(_legend(legend, sample.labels), sample.value) for legend, sample in samples]


def _legend(template: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), template)


def _threshold(panel: Panel, value: float) -> str:
    color = "blue"
    for step in panel.raw["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return _COLORS.get(color, color)


def _words(value: float, panel: Panel) -> str:
    """A value as Grafana writes it: what stands for it, or itself in its unit, in few characters."""
    defaults = panel.raw["fieldConfig"]["defaults"]
    if math.isnan(value):
        return str(defaults.get("noValue", "No data"))
    for mapping in defaults.get("mappings", []):
        options = mapping["options"]
        if mapping["type"] == "range" and value >= options["from"]:
            return str(options["result"]["text"])
        if mapping["type"] == "value" and f"{value:g}" in options:
            return str(options[f"{value:g}"]["text"])
    return _in_unit(value, panel.unit, defaults.get("decimals", 1))


def _in_unit(value: float, unit: str | None, decimals: int) -> str:
    if unit == "percentunit":
        return f"{value * 100:.{decimals}f} %"
    if unit == "d":
        return f"{value:.0f} days"
    sizes = _SECONDS if unit == "s" else _THOUSANDS
    after = {"bytes": "B", "Bps": "B/s", "ops": "/s", "reqps": "/s"}.get(unit or "", "")
    size, name = next(((size, name) for size, name in sizes if abs(value) >= size), (1.0, "s" if unit == "s" else ""))
    return f"{value / size:.3g} {name}{after}".rstrip()


if __name__ == "__main__":
    main()
