"""Who did what is kept: every action with its result, shown to operators of the mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from ingest.errors import LedgerUnavailableError
from ingest.ports.sink import Outcome, Verdict
from tests.support.bench import mail

if TYPE_CHECKING:
    import pytest
    from starlette.testclient import TestClient

    from tests.unit.console.conftest import Console


def shown(client: TestClient, **query: Any) -> list[tuple[str, ...]]:
    found = client.get("/api/v1/actions", params=query).json()["actions"]
    return [(one["user"], one["what"], one["mailbox"], one["result"]) for one in found]


def test_each_action_is_kept_with_who_did_it_and_its_result(console: Console) -> None:
    operator, tenant = console.client("operator"), console.client("tenant")
    operator.post("/api/v1/mailboxes/a/pause")
    operator.post("/api/v1/mailboxes/a/poll")
    tenant.post("/api/v1/mailboxes/b/poll")
    operator.post("/api/v1/sinks/main/resume")
    assert shown(operator) == [
        ("operator", "resume_sink", "", "done"),
        ("tenant", "poll", "b", "done"),
        ("operator", "poll", "a", "not_polled"),
        ("operator", "pause", "a", "done"),
    ]
    assert shown(tenant) == [("tenant", "poll", "b", "done")]
    assert "not polled" in operator.get("/activity").text
    assert "not polled" not in tenant.get("/activity").text


def test_viewer_sees_no_actions_and_leaves_none(console: Console) -> None:
    viewer = console.client("viewer")
    assert viewer.post("/api/v1/mailboxes/a/pause").status_code == 403
    assert [viewer.get(path).status_code for path in ("/api/v1/actions", "/activity")] == [403, 403]
    assert "/activity" not in viewer.get("/").text
    assert shown(console.client("operator")) == []


def test_page_of_a_tenant_is_filled_from_behind_the_actions_of_others(console: Console) -> None:
    operator, tenant = console.client("operator"), console.client("tenant")
    for box in "babab":
        operator.post(f"/api/v1/mailboxes/{box}/poll")
    first = tenant.get("/api/v1/actions", params={"limit": 2}).json()
    rest = tenant.get("/api/v1/actions", params={"limit": 2, "cursor": first["next"]}).json()
    assert [len(first["actions"]), len(rest["actions"]), rest["next"]] == [2, 1, None]
    assert tenant.get("/api/v1/actions?cursor=x").status_code == 422


def test_ledger_that_does_not_keep_an_action_does_not_undo_it(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise LedgerUnavailableError("gone")

    monkeypatch.setattr(console.b.ledger, "record_action", fail)
    with capture_logs() as logs:
        assert console.client("operator").post("/api/v1/mailboxes/a/pause").status_code == 202
    assert set(console.b.ledger.paused()) == {"a"}
    assert [one["event"] for one in logs] == ["console.action", "console.action_lost"]


def test_action_on_a_rejected_event_names_its_mailbox(console: Console) -> None:
    console.b.sinks["main"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_400")
    console.haul("b", mail("rejected"))
    tenant = console.client("tenant")
    (letter,) = tenant.get("/api/v1/sinks/main/dead-letters").json()
    tenant.post(f"/api/v1/sinks/main/dead-letters/{letter['id']}/drop")
    assert shown(tenant) == [("tenant", "drop_event", "b", "done")]
