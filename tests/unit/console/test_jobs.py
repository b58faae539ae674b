"""Replays and reprocesses: counted first, run beside the requests, shown, stopped, within the rights of who asks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from ingest.admin import replay
from ingest.console import job_work, jobs
from ingest.console.jobs import LEASE
from ingest.errors import LedgerUnavailableError
from ingest.mime.flowed import unfold
from ingest.testing import MemoryLedger
from ingest.testing.sink import MemorySink
from ingest.usecases.process import derived
from ingest.usecases.schedule import Schedule, Ticker
from tests.support.bench import mail, message_key, never
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.unit.console.conftest import Console

FLOWED = b"charset=utf-8; format=flowed"
A, B = [mail(subject).replace(b"charset=utf-8", FLOWED) for subject in ("first", "second")], mail("of b")


@pytest.fixture
def filled(console: Console, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(jobs, "BEAT", 0.01)
    console.haul("a", *A)
    console.haul("b", B)
    console.b.sinks["main"].delivered.clear()
    return console


def begin(client: TestClient, what: str = "replays", **selection: Any) -> str:
    answer = client.post(f"/api/v1/{what}", json=selection)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(client: TestClient, id_: str, what: str = "replays") -> dict[str, Any]:
    found: dict[str, Any] = {}

    def has_ended() -> bool:
        found.update(client.get(f"/api/v1/{what}/{id_}").json())
        return found["ended"] is not None

    eventually(has_ended, lambda: str(found))
    return found


def delivered(console: Console) -> list[str]:
    console.b.everything_without_tick()
    return sorted(event.mailbox for event in console.b.sinks["main"].delivered)


def test_dry_run_counts_and_publishes_nothing(filled: Console) -> None:
    client = filled.client()
    job = ended(client, begin(client, dry_run=True))
    assert (job["state"], job["total"], job["counts"]) == ("done", 3, {"messages": 3})
    assert delivered(filled) == []


def test_replay_publishes_what_was_chosen_with_the_same_ids(filled: Console) -> None:
    client = filled.client()
    known = {event.event.id for event in filled.b.events.entries()}
    job = ended(client, begin(client, messages=[message_key("a", A[0])], since="2025-01-01", sink="main"))
    assert (job["state"], job["counts"], job["finished"]) == ("done", {"published": 1, "skipped": 0}, 1)
    job = ended(client, begin(client, mailboxes=["a"]))
    assert job["counts"]["published"] == 2
    assert delivered(filled) == ["a", "a", "a"]
    assert {event.id for event in filled.b.sinks["main"].delivered} <= known
    assert ended(client, begin(client, until="2025-01-01"))["total"] == 0


def test_tenant_replays_nothing_of_another_and_sees_none_of_its_jobs(filled: Console) -> None:
    everybody, tenant = filled.client("operator"), filled.client("tenant")
    job = begin(everybody)
    ended(everybody, job)
    filled.b.everything_without_tick()
    filled.b.sinks["main"].delivered.clear()
    for selection in ({"mailboxes": ["a"]}, {"messages": [message_key("a", A[0])]}, {"mailboxes": ["b", "a"]}):
        for what in ("replays", "reprocesses"):
            assert tenant.post(f"/api/v1/{what}", json=selection).status_code == 404
    assert tenant.get(f"/api/v1/replays/{job}").status_code == 404
    assert tenant.delete(f"/api/v1/replays/{job}").status_code == 404
    assert job not in tenant.get("/replays").text
    assert tenant.get("/api/v1/replays").json() == []
    filled.b.clock.time += 1
    of_tenant = begin(tenant)
    assert ended(tenant, of_tenant)["counts"]["published"] == 1
    assert delivered(filled) == ["b"]
    assert [one["id"] for one in everybody.get("/api/v1/replays").json()] == [of_tenant, job]


def test_tenant_replays_nothing_of_another_out_of_a_folder_that_both_had(filled: Console) -> None:
    of_a = [key for key in filled.b.keys("message.json") if "/a/" in key]
    for key in of_a:
        moved = key.replace("/a/", "/b/")
        filled.b.store.objects[moved] = filled.b.store.objects[key]
    client = filled.client("tenant")
    assert ended(client, begin(client))["counts"] == {"published": 1, "skipped": 2}
    assert delivered(filled) == ["b"]
    job = ended(client, begin(client, "reprocesses", dry_run=True), "reprocesses")
    assert job["counts"] == {"read": 1, "changed": 0, "of another mailbox": 2}


def test_somebody_without_mailboxes_replays_nothing(filled: Console) -> None:
    filled.b.mailboxes.pop("b")
    client = filled.client("tenant")
    assert ended(client, begin(client))["total"] == 0
    assert delivered(filled) == []


def test_viewer_starts_and_stops_nothing(filled: Console) -> None:
    client = filled.client("viewer")
    job = begin(filled.client("operator"), dry_run=True)
    ended(client, job)
    for what in ("replays", "reprocesses"):
        assert client.post(f"/api/v1/{what}", json={}).status_code == 403
    assert client.delete(f"/api/v1/replays/{job}").status_code == 403
    assert '<form class="panel' not in client.get("/replays").text


@pytest.fixture
def full_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a replay wait for room in the event stream, which never comes."""
    monkeypatch.setattr(replay, "MOST_IN_STREAM", 0)


def runs(client: TestClient, job: str) -> None:
    eventually(lambda: client.get(f"/api/v1/replays/{job}").json()["state"] == "running", "it does not run")


@pytest.mark.usefixtures("full_stream")
def test_active_replay_is_shown_after_a_reload_and_stops_when_asked(filled: Console) -> None:
    client, other = filled.client(), filled.client()
    job = begin(client)
    runs(client, job)
    for each in (client, other):  # the other one is another console
        page = each.get(f"/replays/{job}").text
        assert "0 of 3 messages" in page
        assert 'http-equiv="refresh"' in page
        assert each.post("/api/v1/replays", json={}).json()["code"] == "job_busy"
    press_stop(other, job)
    found = ended(client, job)
    assert found["state"] == "stopped"
    assert found["resume_at"] is not None
    page = client.get(f"/replays/{job}").text
    assert "refresh" not in page
    assert ">Continue<" in page


def press_stop(client: TestClient, job: str) -> None:
    token = re.search(r'name="token" value="(\w+)"', client.get(f"/replays/{job}").text)
    assert token is not None
    assert client.post(f"/replays/{job}/stop", data={"token": "x"}).status_code == 403
    assert client.post(f"/replays/{job}/stop", data={"token": token[1]}).status_code == 303


@pytest.mark.usefixtures("full_stream")
def test_replay_of_a_console_that_ended_is_interrupted_and_may_start_again(filled: Console) -> None:
    client = filled.client()
    job = begin(client)
    runs(client, job)
    client.app.state.desk.jobs.runner.close()  # type: ignore[attr-defined]  # of Starlette
    assert ended(client, job)["state"] == "interrupted"
    assert "Nothing is half done" in client.get(f"/replays/{job}").text


def test_replay_of_a_console_that_died_is_interrupted_when_its_lease_is_over(filled: Console) -> None:
    client = filled.client()
    job = begin(client, dry_run=True)
    ended(client, job)
    (record,) = filled.b.ledger.jobs("replay")
    dead = f"{int(job, 16) + 1:032x}"
    active = record.body.replace(job.encode(), dead.encode()).replace(b'"state":"done",', b"")
    assert filled.b.ledger.begin_job("replay", dead, active, LEASE)
    assert client.get(f"/api/v1/replays/{dead}").json()["state"] == "counting"
    assert client.post("/api/v1/replays", json={}).status_code == 409
    filled.b.clock.time += LEASE + 1
    found = client.get(f"/api/v1/replays/{dead}").json()
    assert (found["state"], found["advice"].partition(".")[0]) == (
        "interrupted",
        "The console that worked on it has ended",
    )
    assert ended(client, begin(client))["state"] == "done"


def test_replay_that_cannot_go_on_fails_and_says_why(filled: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    client = filled.client()
    monkeypatch.setattr(job_work, "MOST_MESSAGES", 2)
    job = ended(client, begin(client))
    assert (job["state"], delivered(filled)) == ("failed", [])
    assert "more than 2 messages" in job["error"]
    monkeypatch.setattr(replay, "MOST_IN_STREAM", 0)
    monkeypatch.setattr(replay, "PATIENCE", -1.0)
    job = ended(client, begin(client, mailboxes=["a"]))
    assert job["state"] == "failed"
    assert "does not shrink" in job["error"]


def test_replay_that_loses_the_ledger_goes_on_from_there(filled: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object) -> None:
        raise LedgerUnavailableError("it quotes the server")

    monkeypatch.setattr(filled.b.events, "republish", unavailable)
    client = filled.client()
    job = ended(client, begin(client))
    assert (job["state"], job["finished"], job["error"]) == (
        "failed",
        0,
        "the ledger failed (ledger_unavailable)",
    )
    assert job["resume_at"] is not None
    page = client.get(f"/replays/{job['id']}").text
    for words in (
        "The ledger failed (ledger_unavailable).",
        "mailhaul check",
        "Nothing is half done",
        "Continue",
    ):
        assert words in page
    assert "the ledger failed" in client.get("/replays").text


def test_failure_is_recorded_when_the_ledger_is_back(filled: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, tries = filled.b.ledger, iter([True] * 3)

    def unavailable(*given: Any) -> None:
        if next(tries, False):
            raise LedgerUnavailableError("no connection")
        MemoryLedger.end_job(ledger, *given)

    monkeypatch.setattr(ledger, "end_job", unavailable)
    monkeypatch.setattr(job_work, "MOST_MESSAGES", 2)
    client = filled.client()
    job = ended(client, begin(client))
    assert (job["state"], next(tries, None)) == ("failed", None)
    assert "more than 2 messages" in job["error"]


def test_mistake_of_the_console_is_shown_without_its_words(filled: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(job_work, "listed_manifests", broken)
    client = filled.client()
    job = ended(client, begin(client))
    assert (job["state"], job["error"]) == ("failed", "the console made a mistake; its log has more")
    assert "console.failed" in job["advice"]
    assert "a secret" not in str(job)


@pytest.mark.parametrize("at", [1764259200, "1764259200", "1764259200000", "-1.5"])
def test_number_is_no_time(filled: Console, at: object) -> None:
    """It could count seconds or milliseconds, and a wrong guess would choose other messages."""
    assert filled.client().post("/api/v1/replays", json={"until": at, "dry_run": True}).status_code == 422


def test_replay_to_one_consumer_is_delivered_by_the_relay_to_it_alone(filled: Console) -> None:
    b = filled.b
    b.sinks["other"] = MemorySink("other")
    b.ledger.sinks.add(["other"])
    b.everything_without_tick()
    b.sinks["other"].delivered.clear()
    client = filled.client()
    assert ended(client, begin(client, mailboxes=["a"], sink="other"))["counts"]["published"] == 2
    b.clock.time += 1
    b.everything_without_tick()
    assert [len(b.sinks[name].delivered) for name in ("main", "other")] == [0, 2]
    assert [b.events.lag(name).entries for name in ("main", "other")] == [0, 0]
    assert client.post("/api/v1/replays", json={"sink": "third"}).status_code == 404


def test_reprocess_compares_first_and_leaves_updates_to_the_service(
    filled: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "unfold", lambda lines, *, delsp: iter([*unfold(lines, delsp=delsp), b"!"]))
    client = filled.client()
    manifests = {key: filled.b.store.objects[key].content for key in filled.b.keys("message.json")}
    job = ended(client, begin(client, "reprocesses", mailboxes=["a"], dry_run=True), "reprocesses")
    assert job["counts"] == {"read": 2, "changed": 2}
    assert {one["message"] for one in job["changed"]} == {message_key("a", raw) for raw in A}
    assert all(one["changes"] for one in job["changed"])
    assert manifests == {key: filled.b.store.objects[key].content for key in manifests}
    assert "Update 2 messages" in client.get(f"/reprocesses/{job['id']}").text
    job = ended(client, begin(client, "reprocesses", mailboxes=["a"]), "reprocesses")
    assert (job["state"], job["counts"]["handed_over"]) == ("done", 2)
    assert manifests == {key: filled.b.store.objects[key].content for key in manifests}
    filled.b.process_stage.run(never)
    filled.b.relay_stage.run(never)
    changed = {key for key, content in manifests.items() if filled.b.store.objects[key].content != content}
    assert changed == {key for key in manifests if "/a/" in key}
    assert len(filled.b.sinks["main"].delivered) == 2


def test_operator_counts_confirms_and_sees_the_result_without_javascript(filled: Console) -> None:
    client = filled.client()
    token = re.search(r'name="token" value="(\w+)"', client.get("/replays").text)
    assert token is not None
    form = {"token": token[1], "mailboxes": "a", "since": "2025-01-01", "dry_run": "1"}
    assert client.post("/replays", data={**form, "token": "x"}).status_code == 403
    assert client.post("/replays", data={**form, "until": "yesterday"}).status_code == 422
    where = client.post("/replays", data=form).headers["location"]
    ended(client, where.rpartition("/")[2])
    page = client.get(where).text
    assert "Republish 2 events" in page
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    where = client.post("/replays", data=hidden).headers["location"]
    ended(client, where.rpartition("/")[2])
    page = client.get(where).text
    assert re.search(r"<dt>Published</dt><dd>2</dd>", page)
    assert delivered(filled) == ["a", "a"]


@pytest.mark.parametrize("kind", ["replays", "reprocesses"])
def test_count_that_somebody_else_confirms_runs_over_what_was_counted(
    filled: Console, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """An operator of all mailboxes sees the count of a tenant, whose "all" means fewer."""
    filled.haul("b", mail("flowed, of b").replace(b"charset=utf-8", FLOWED))
    monkeypatch.setattr(derived, "unfold", lambda lines, *, delsp: iter([*unfold(lines, delsp=delsp), b"!"]))
    tenant, operator = filled.client("tenant"), filled.client("operator")
    where = f"/{kind}/{begin(tenant, kind, dry_run=True)}"
    counted = ended(tenant, where.rpartition("/")[2], kind)["total"]
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', operator.get(where).text)
    where = operator.post(f"/{kind}", data=dict(hidden)).headers["location"]
    assert (counted, ended(operator, where.rpartition("/")[2], kind)["total"]) == (2, 2)


def test_message_leads_to_its_replay(filled: Console) -> None:
    client = filled.client()
    key = message_key("a", A[0])
    assert f'href="/replays?message={key}"' in client.get(f"/messages/{key}").text
    assert f'value="{key}"' in client.get(f"/replays?message={key}").text


def test_reprocess_leaves_the_schedule_to_the_scheduler(filled: Console) -> None:
    """Its configuration may be newer than that of this console, which an upgrade has not replaced yet."""
    filled.b.runtime.__dict__.pop("ticker", None)  # a process of its own, which has announced nothing yet
    newer = Ticker(filled.b.ledger, filled.b.events, filled.b.runtime.wakeups)
    newer.tick(Schedule(["a", "b", "new"], ["main"], "newer"))
    client = filled.client()
    assert ended(client, begin(client, "reprocesses"), "reprocesses")["state"] == "done"
    assert filled.b.ledger.mailboxes.members() == {"a", "b", "new"}
    assert filled.b.ledger.announce("newer", newer.precedence.epoch).newest


def test_body_that_is_not_json_is_called_that(filled: Console) -> None:
    answer = filled.client("operator").post(
        "/api/v1/replays", content=b"x", headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["detail"]) == (422, "the body is not JSON")
