"""Dead-letter queues and retired sinks, as a person handles them."""

from __future__ import annotations

import pytest

from ingest.admin.sinks import SinkAdmin
from ingest.errors import ConfigError
from ingest.ports.sink import Outcome, Verdict
from tests.support.bench import Bench, bench, mail, never


def admin(b: Bench) -> SinkAdmin:
    return SinkAdmin(b.ledger.sinks, b.events, b.sinks)


def rejected(b: Bench) -> list[str]:
    """Publish two events that the sink rejects; return their ids."""
    b.maildrops["a"].messages = {b"u1": mail("1"), b"u2": mail("2")}
    b.refuse_everything()
    b.everything()
    return [one.entry.event.id for one in admin(b).rejected("main")]


def test_rejected_events_are_retried_at_once_or_dropped() -> None:
    with bench() as b:
        first, second = rejected(b)
        assert admin(b).retry("main", [first]) == 1
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        b.ledger.sinks.run_now("main")
        b.relay_stage.run(never)
        assert [event.id for event in b.sinks["main"].delivered] == [first]
        assert admin(b).drop("main", [first, second]) == 1
        assert admin(b).rejected("main") == []


def test_sink_that_is_not_configured_has_no_queue_to_show() -> None:
    with bench() as b:
        for ask in (admin(b).rejected, lambda sink: admin(b).retry(sink, []), lambda sink: admin(b).drop(sink, [])):
            with pytest.raises(ConfigError, match="nowhere"):
                ask("nowhere")


def test_sink_is_retired_only_when_nothing_delivers_to_it_any_more() -> None:
    with bench() as b:
        rejected(b)
        with pytest.raises(ConfigError, match="is configured"):
            admin(b).remove("main")
        del b.sinks["main"]
        with pytest.raises(ConfigError, match="still delivers"):
            admin(b).remove("main")
        b.ticker.tick(b.schedule())
        assert admin(b).remove("main")
        assert not admin(b).remove("main"), "nothing is left of it"
