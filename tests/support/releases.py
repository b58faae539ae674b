"""Releases as they are run: production at each provider, and those of the chart's `ci` folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.chart import merged, render
from tools.documents.chart_schema import CHART

if TYPE_CHECKING:
    from tests.support.chart import Rendered

EXAMPLES = Path(__file__).parents[2] / "examples" / "kubernetes"
PROVIDERS = ("aws", "google", "bare-metal")


def _values(*files: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for file in files:
        values = merged(values, yaml.safe_load(file.read_text()))
    return values


RELEASES = {
    **{name: _values(EXAMPLES / "values-production.yaml", EXAMPLES / f"values-{name}.yaml") for name in PROVIDERS},
    **{path.stem.removesuffix("-values"): _values(path) for path in sorted((CHART / "ci").glob("*-values.yaml"))},
}


@cache
def rendered_release(name: str) -> Rendered:
    """Return a release's objects."""
    return render(RELEASES[name], name="mailhaul")
