"""A message's timeline: from the listing on its server to what each consumer answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from ingest.domain.retry import REDELIVERY_ATTEMPTS
from ingest.mime.flowed import unfold
from ingest.ports.sink import Outcome, Verdict
from ingest.usecases.process import derived
from tests.support.bench import mail, message_key, never
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.unit.console.conftest import Console

RAW = mail("one").replace(b"charset=utf-8", b"charset=utf-8; format=flowed")
KEY = message_key("a", RAW)


@pytest.fixture
def answering(console: Console) -> Console:
    """A console whose relay keeps answers."""
    console.b.relay_stage = replace(console.b.relay_stage, keeps_answers=True)
    return console


def steps(console: Console) -> list[dict[str, Any]]:
    console.feed()
    found: list[dict[str, Any]] = console.client().get(f"/api/v1/messages/{KEY}/timeline").json()
    return found


def last(console: Console) -> dict[str, Any]:
    return {name: value for name, value in steps(console)[-1].items() if name in {"state", "note", "answer", "tries"}}


def test_timeline_leads_from_the_listing_to_the_answer(answering: Console) -> None:
    answering.b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED, answer="http_204")
    answering.haul("a", RAW)
    delivered_at = answering.b.clock.now().timestamp()
    answering.b.clock.time += 3600  # the console looks later
    found = steps(answering)
    assert [step["what"] for step in found] == ["listed", "stored", "processed", "published", "delivered"]
    assert [step["at"] for step in found] == sorted(step["at"] for step in found)
    assert last(answering) == {"state": "done", "note": "answered 204", "answer": "http_204", "tries": 1}
    assert datetime.fromisoformat(found[-1]["at"]).timestamp() == delivered_at
    page = answering.client().get(f"/messages/{KEY}").text
    assert "Listed on the server" in page
    assert "answered 204" in page


def test_timeline_shows_each_failure_until_the_consumer_takes_the_event(answering: Console) -> None:
    b = answering.b
    b.refuse_everything()
    answering.haul("a", RAW)
    assert last(answering) == {"state": "retrying", "note": "answered 400", "answer": "http_400", "tries": 1}
    for _ in range(REDELIVERY_ATTEMPTS):
        b.clock.time += 100_000
        b.relay_stage.run(never)
    tries = REDELIVERY_ATTEMPTS + 1
    dead = {"state": "dead_lettered", "note": f"answered 400, {tries} tries", "answer": "http_400", "tries": tries}
    assert last(answering) == dead
    b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED, answer="http_200")
    b.events.retry_rejected("main", [b.events.rejected("main", 1)[0].entry.event.id])
    b.relay_stage.run(never)
    assert last(answering) == {
        "state": "done",
        "note": "answered 200, 2 tries, the last failure: answered 400",
        "answer": "http_200",
        "tries": 2,
    }


def test_event_behind_one_that_waits_is_shown_as_taken(answering: Console) -> None:
    """The position before which a consumer has confirmed everything says nothing of what is behind it."""
    b = answering.b
    other = message_key("b", mail("other"))
    b.maildrops["b"].messages[b"u"] = mail("other")
    b.sinks["main"].verdict = lambda event: Outcome(
        Verdict.UNAVAILABLE if event.mailbox == "b" else Verdict.DELIVERED, "http_503"
    )
    answering.haul("b", mail("other"))
    answering.haul("a", RAW)
    assert last(answering)["state"] == "done"
    found = answering.client().get(f"/api/v1/messages/{other}/timeline").json()[-1]
    assert (found["state"], found["tries"]) == ("waiting", None)


def update(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the message be read differently, and reprocess it."""
    monkeypatch.setattr(derived, "unfold", lambda lines, *, delsp: iter([*unfold(lines, delsp=delsp), b"!"]))
    client = console.client()
    job = client.post("/api/v1/reprocesses", json={}).json()["id"]
    eventually(lambda: client.get(f"/api/v1/reprocesses/{job}").json()["ended"])


def test_rejected_event_of_an_update_is_shown(answering: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    answering.haul("a", RAW)
    answering.b.refuse_everything()
    update(answering, monkeypatch)
    assert [step["note"] for step in steps(answering) if step["state"] == "waiting"] == ["an update"]
    answering.b.process_stage.run(never)
    answering.b.relay_stage.run(never)
    found = steps(answering)
    assert ("updated", "update 1") in {(step["what"], step["note"]) for step in found}
    assert last(answering)["state"] == "retrying"
    client = answering.client()
    (letter,) = client.get("/api/v1/sinks/main/dead-letters").json()
    assert (letter["message"], letter["answer"], letter["tries"]) == (KEY, "http_400", 1)
    assert "answered 400" in client.get("/failures").text
    assert client.post(f"/api/v1/sinks/main/dead-letters/{letter['id']}/drop").status_code == 202
    assert client.get("/api/v1/sinks/main/dead-letters").json() == []


def test_dead_letter_of_a_message_that_was_read_from_the_store_is_shown(console: Console) -> None:
    console.b.refuse_everything()
    console.haul("a", RAW)
    with console.catalog.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE messages SET position = NULL")
    found = console.client().get(f"/api/v1/messages/{KEY}/timeline").json()
    assert [(step["what"], step["state"]) for step in found[-2:]] == [
        ("published", "unknown"),
        ("delivered", "retrying"),
    ]
