"""Documents that are generated from the code: `make docs` writes them, a test compares."""

from __future__ import annotations

from pathlib import Path

from ingest.metric_specs import CONSOLE_SPECS, EXPORTER_SPECS, PROCESS_SPECS, WORKER_SPECS, Spec
from ingest.mime.defects import Defect
from tools.documents.asyncapi import asyncapi_page
from tools.documents.chart_pages import chart_pages
from tools.documents.commands import commands_page
from tools.documents.configuration import configuration_page
from tools.documents.event_schema import schema_pages
from tools.documents.openapi import openapi_page

DOCS = Path(__file__).parents[2] / "docs"

_METRICS = """\
# Metrics

Every process serves Prometheus metrics on `metrics.address` and `metrics.port` (with `mailhaul up`: the exporter on
that port, poller, processor, relay, scheduler and console on the next five). Counters and histograms come from the
workers, gauges about the whole system from the exporter alone. `mailbox` is the configured id;
`metrics.mailbox_label: false` disables that label. Rules and dashboards: [Observability](observability.md). Generated
from `ingest/metric_specs.py` by `make docs`.

## From poller, processor and relay

{workers}

## From the exporter

{exporter}

## From the console

{console}

## From each process, about itself

`role` is `poll`, `process`, `relay`, `scheduler`, `exporter` or `console`. Read from `/proc`; without it only the
start time is reported.

{process}
"""

_DEFECTS = """\
# Defects

Irregularities in messages, and how they were read nevertheless. The codes are in the manifest, at the message, its
bodies or its attachments, and are counted by `mailhaul_parse_defects_total`. The raw message is always stored
unchanged. Generated from `ingest/mime/defects.py` by `make docs`.

| Code | Meaning |
|---|---|
{rows}
"""


def pages() -> dict[Path, str]:
    """Return every generated page and its content."""
    return {
        DOCS / "metrics.md": _METRICS.format(
            workers=_table(WORKER_SPECS),
            exporter=_table(EXPORTER_SPECS),
            console=_table(CONSOLE_SPECS),
            process=_table(PROCESS_SPECS),
        ),
        DOCS / "defects.md": _DEFECTS.format(
            rows="\n".join(f"| `{code.value}` | {code.meaning} |" for code in Defect)
        ),
        **schema_pages(),
        **asyncapi_page(),
        **chart_pages(),
        **configuration_page(),
        **commands_page(),
        **openapi_page(),
    }


def _table(specs: tuple[Spec, ...]) -> str:
    rows = [
        f"| `{spec.full_name}` | {spec.kind} | {', '.join(f'`{label}`' for label in spec.labels)} | {spec.help} |"
        for spec in specs
    ]
    return "\n".join(["| Name | Type | Labels | Meaning |", "|---|---|---|---|", *rows])
