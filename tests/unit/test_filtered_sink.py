"""A sink with a condition gets the events that fulfil it, and those of which that cannot be said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pytest

from ingest.adapters.sinks.filtered import FilteredSink
from ingest.domain.cloudevents import event_of
from ingest.errors import SinkUnavailableError
from ingest.expressions import Expression
from ingest.ports.sink import Outcome, Verdict
from ingest.usecases.process.rules import Rule
from tests.support.habits import HABITS
from tests.support.processing import process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.events import Event

NOW = datetime(2026, 11, 23, tzinfo=UTC)
INVOICES = "documents.exists(d, d.kind == 'invoice')"


class Recording:
    """A sink that keeps what it gets, and answers in turn."""

    name = "recording"

    def __init__(self, *verdicts: Verdict) -> None:
        self.got: list[Event] = []
        self.calls = 0
        self._verdicts = verdicts

    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        self.calls += 1
        self.got += events
        return [
            Outcome(self._verdicts[number] if self._verdicts else Verdict.DELIVERED) for number in range(len(events))
        ]

    def check(self) -> None:
        raise SinkUnavailableError("checked")

    def close(self) -> None:
        self.calls = -1


def event(name: str) -> Event:
    raw = next(habit.raw for habit in HABITS if habit.name == name)
    return event_of(process(raw).manifest, NOW)


def test_outcomes_stay_in_order() -> None:
    events = [event(name) for name in ("plain-pdf", "xml-invoice", "zip", "hybrid-pdf")]
    sink = Recording(Verdict.REJECTED, Verdict.DELIVERED)
    outcomes = FilteredSink(sink, Expression(INVOICES)).deliver(events)
    assert sink.got == [events[1], events[3]]
    assert [outcome.verdict for outcome in outcomes] == [
        *(Verdict.SKIPPED, Verdict.REJECTED),
        *(Verdict.SKIPPED, Verdict.DELIVERED),
    ]


def test_sink_is_not_asked_for_nothing() -> None:
    sink = Recording()
    assert FilteredSink(sink, Expression("false")).deliver([event("zip")]) == [Outcome(Verdict.SKIPPED)]
    assert sink.calls == 0


def test_condition_that_fails_holds() -> None:
    sink = Recording()
    FilteredSink(sink, Expression("envelope.return_path == 'x'")).deliver([event("plain-pdf")])
    assert len(sink.got) == 1


def test_event_that_leaves_attachments_out_is_delivered() -> None:
    manifest = process(next(habit.raw for habit in HABITS if habit.name == "plain-pdf")).manifest
    many = manifest.model_copy(update={"attachments": manifest.attachments * 40, "attachments_total": 40})
    sink = Recording()
    FilteredSink(sink, Expression(INVOICES)).deliver([event_of(many, NOW)])
    assert len(sink.got) == 1


def quarantined(name: str) -> Event:
    raw = next(habit.raw for habit in HABITS if habit.name == name)
    return event_of(process(raw, rules=[Rule("hold", Expression("true"), quarantine=True)]).manifest, NOW)


@pytest.mark.parametrize(
    ("option", "where", "got"),
    [
        ("skip", None, ["free"]),
        ("include", None, ["free", "held"]),
        ("only", None, ["held"]),
        ("skip", "true", ["free"]),
        ("include", "quarantine != null && quarantine.rule == 'hold'", ["held"]),
        ("only", "false", []),
        ("skip", "envelope.return_path == 'x'", ["free"]),
    ],
)
def test_quarantined_messages_go_to_sinks_that_ask_for_them(
    option: Literal["skip", "include", "only"], where: str | None, got: list[str]
) -> None:
    events = {"free": event("plain-pdf"), "held": quarantined("zip")}
    sink = Recording()
    FilteredSink(sink, Expression(where) if where else None, option).deliver(list(events.values()))
    assert sink.got == [events[name] for name in got]


def test_event_that_leaves_attachments_out_stays_in_quarantine() -> None:
    raw = next(habit.raw for habit in HABITS if habit.name == "plain-pdf")
    manifest = process(raw, rules=[Rule("hold", Expression("true"), quarantine=True)]).manifest
    many = manifest.model_copy(update={"attachments": manifest.attachments * 40, "attachments_total": 40})
    sink = Recording()
    FilteredSink(sink, Expression(INVOICES)).deliver([event_of(many, NOW)])
    assert sink.got == []


def test_words_of_a_mail_do_not_quarantine_it() -> None:
    subject = b'Subject: "quarantine":{"rule":"hold"}\r\n\r\nText'
    sink = Recording()
    FilteredSink(sink).deliver([event_of(process(subject).manifest, NOW)])
    assert len(sink.got) == 1


def test_check_and_close_are_those_of_the_sink() -> None:
    sink = Recording()
    filtered = FilteredSink(sink, Expression("true"))
    assert filtered.name == "recording"
    with pytest.raises(SinkUnavailableError, match="checked"):
        filtered.check()
    filtered.close()
    assert sink.calls == -1
