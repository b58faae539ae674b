"""A real Prometheus watches the running service: rules work, and every panel of the dashboards shows something."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import pytest

from ingest.ports.sink import Verdict
from tests.support.dashboards import Panel, panels
from tests.support.prometheus import find_prometheus
from tests.support.servers import missing
from tests.support.waiting import eventually
from tests.support.watched import (
    CONFIRMING,
    LOCKED_OUT,
    PAUSED,
    REFUSING,
    SLOW,
    UNAVAILABLE,
    UNREACHABLE,
    WORKING,
    Watched,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.prometheus import Prometheus

# Panel and legend. No task is configured, the server does not announce EXPIRE, what is fetched at once is no backlog,
# and an embedded ledger has no limit.
MAY_BE_EMPTY = {
    ("Catalog, statements, retention", "{{task}}: last success"),
    ("Catalog, statements, retention", "{{task}}: not completed"),
    ("Server keeps mail for", "{{mailbox}}"),
    ("Largest backlogs", "{{mailbox}}"),
    ("Ledger memory", "limit"),
    ("Ledger memory", "while polling is stopped"),
}


def empty(panel: Panel, prometheus: Prometheus) -> bool:
    """Whether one of its queries gives no number, though it should."""
    wanted = [query for query in panel.queries if (panel.title, query.legend) not in MAY_BE_EMPTY]
    found = [prometheus.query(query.filled()) for query in wanted]
    return any(all(math.isnan(sample.value) for sample in samples) for samples in found)


def shown(title: str, prometheus: Prometheus) -> dict[str, float]:
    """What a panel of one query shows now, by legend."""
    (query,) = next(panel for panel in panels() if panel.title == title).queries
    samples = prometheus.query(query.filled())
    values: dict[str, float] = {}
    for sample in samples:
        legend = query.legend
        for label, value in sample.labels.items():
            legend = legend.replace("{{" + label + "}}", value)
        values[legend] = sample.value
    return values


def one_is_slowest(servers: dict[str, float]) -> bool:
    """Whether there are two servers, and one is slower than the others."""
    values = sorted(servers.values(), reverse=True)
    return len(values) > 1 and values[0] > values[1]


@pytest.mark.e2e
@pytest.mark.prometheus
def test_every_panel_shows_data_and_names_the_failing_mailboxes_and_sinks(tmp_path: Path) -> None:
    if find_prometheus() is None:
        missing("prometheus", "Prometheus")
    with Watched(tmp_path) as scene:
        prometheus, numbers = scene.prometheus, itertools.count(1)
        unfilled = list(panels())

        def all_filled() -> bool:
            scene.deliver(WORKING, next(numbers))
            scene.deliver(SLOW, next(numbers))
            scene.look()
            unfilled[:] = [panel for panel in unfilled if empty(panel, prometheus)]
            return not unfilled

        scene.service.wait_for_events(1)
        prometheus.wait_until_up()
        eventually(all_filled, lambda: [(panel.board, panel.title) for panel in unfilled])
        for panel in panels():
            for query in panel.queries:
                prometheus.query(query.filled())  # parses, even where it finds nothing
        assert prometheus.rule_errors() == {}

        # Which mailbox is stuck?
        eventually(lambda: set(list(shown("Stalest mailboxes", prometheus))[:2]) == {LOCKED_OUT, UNREACHABLE})
        assert PAUSED not in shown("Stalest mailboxes", prometheus)
        failing = {f"{LOCKED_OUT}: auth_error", f"{UNREACHABLE}: connect_error"}
        eventually(lambda: failing <= set(shown("Failing polls, 1 h", prometheus)))
        alerts = 'ALERTS{alertname=~"MailhaulMailboxStale|MailhaulAuthenticationFailing"}'
        # A busy machine polls the others late now and then.
        eventually(lambda: {each.labels["mailbox"] for each in prometheus.query(alerts)} == {LOCKED_OUT, UNREACHABLE})
        # Which sink?

        def unavailable_lags_most() -> bool:
            lag = {UNAVAILABLE: 0.0, CONFIRMING: 0.0, **shown("Slowest sinks", prometheus)}
            return lag[UNAVAILABLE] > 5 and lag[UNAVAILABLE] > 2 * lag[CONFIRMING]

        eventually(unavailable_lags_most, lambda: shown("Slowest sinks", prometheus))
        eventually(lambda: f"{REFUSING}: {Verdict.REJECTED}" in shown("Events by sink and result", prometheus))
        # Where is it slow? The line costs 0.15 s each way, on top of what the same server takes without it.
        eventually(lambda: one_is_slowest(shown("Slowest servers", prometheus)))
        roles = {"poll", "process", "relay", "scheduler", "exporter", "console"}
        eventually(lambda: set(shown("Workers by role", prometheus)) == roles)
