"""What hostile requests get: problems that say nothing of the program, and answers that may do nothing."""

from __future__ import annotations

import asyncio
import base64
import socket
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from ingest.console.app import make_app
from ingest.console.run import listen
from ingest.errors import LedgerUnavailableError, StartError
from ingest.expressions import Expression
from ingest.ports.sink import Outcome, Verdict
from ingest.usecases.process.rules import Rule
from tests.support.bench import mail, message_key
from tests.unit.console.conftest import section
from tests.unit.console.test_api import HOSTILE

if TYPE_CHECKING:
    from tests.unit.console.conftest import Console

MAIL = mail("for a")
KEY, OF_HOSTILE = message_key("a", MAIL), message_key("a", HOSTILE)


@pytest.fixture
def filled(console: Console) -> Console:
    console.haul("a", MAIL, HOSTILE)
    return console


@pytest.mark.parametrize("place", [f"1.0 {2**63}", "nan 1", "inf 1", "1.0 -1", "1.0", ""])
def test_forged_cursor_is_refused(filled: Console, place: str) -> None:
    cursor = base64.urlsafe_b64encode(place.encode() or b" ").decode()
    assert filled.client().get("/api/v1/messages", params={"cursor": cursor}).status_code == 422


@pytest.mark.parametrize("asked", [f"bytes={'9' * 5000}-", f"bytes=-{'9' * 5000}", "bytes=5-2", "bytes=-", "bytes"])
def test_invalid_range_is_ignored(filled: Console, asked: str) -> None:
    answer = filled.client().get(f"/api/v1/messages/{KEY}/raw", headers={"range": asked})
    assert (answer.status_code, answer.content) == (200, MAIL)


@pytest.mark.parametrize("path", ["/api/v1/messages", "/"])
def test_error_of_the_program_is_a_problem_without_details(
    filled: Console, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.catalog.queries.Queries.search", _broken)
    answer = filled.client().get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "private" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/messages", "GET, HEAD"),
        ("GET", "/api/v1/mailboxes/a/poll", "POST"),
        ("POST", "/activity", "GET, HEAD"),
        ("HEAD", "/logout", "POST"),
    ],
)
def test_method_that_a_path_does_not_have_is_answered_with_those_it_has(
    console: Console, method: str, path: str, allowed: str
) -> None:
    answer = console.client().request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/", "/api/v1/messages", f"/api/v1/messages/{KEY}/raw", "/api/v1/status", "/livez"])
def test_head_is_answered_as_get_without_the_body(filled: Console, path: str) -> None:
    client = filled.client()
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content, head.headers) == (200, b"", got.headers)


def test_head_leaves_no_file_of_the_store_open(filled: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    open_object = filled.b.store.open

    class Opened:
        """Counts as open until it is closed; the collector of garbage does not close it."""

        def __init__(self, key: str) -> None:
            self.key, self.opened = key, open_object(key)

        def __enter__(self) -> object:
            body = self.opened.__enter__()
            opened.append(self.key)
            return body

        def __exit__(self, *_: object) -> None:
            opened.remove(self.key)
            self.opened.__exit__(None, None, None)

    monkeypatch.setattr(filled.b.store, "open", Opened)
    assert filled.client().head(f"/api/v1/messages/{KEY}/raw", headers={"range": "bytes=0-1"}).status_code == 206
    assert opened == []


def _broken(*_: object) -> object:
    raise RuntimeError("private")


def test_nothing_of_a_mail_runs_where_the_api_hands_it_out(filled: Console) -> None:
    client = filled.client()
    (attachment,) = client.get(f"/api/v1/messages/{OF_HOSTILE}/attachments").json()
    for path in ("html", "raw", f"attachments/{attachment['part']}"):
        answer = client.get(f"/api/v1/messages/{OF_HOSTILE}/{path}")
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"].split("; ")
        assert "sandbox" in policy, path
        assert not any(one.startswith("script-src") for one in policy), path


def test_file_is_handed_out_in_the_type_that_was_found(filled: Console) -> None:
    client = filled.client()
    (attachment,) = client.get(f"/api/v1/messages/{OF_HOSTILE}/attachments").json()
    answer = client.get(f"/api/v1/messages/{OF_HOSTILE}/attachments/{attachment['part']}")
    assert answer.headers["content-type"] == attachment["detected_type"] == "text/html"


def proxied(console: Console, **options: object) -> TestClient:
    proxy = {"header": "X-User", "addresses": ["127.0.0.1"], "users": [{"name": "anna", "role": "operator"}]}
    app = make_app(console.b.runtime, console.catalog, section(proxy=proxy, **options))
    return TestClient(app, base_url="http://127.0.0.1:8480", client=("127.0.0.1", 1))


def test_page_elsewhere_is_not_taken_for_the_proxy_on_this_machine(filled: Console) -> None:
    """Through a name that leads here, a page sends what header fields it likes, from this machine's address."""
    headers = {"host": "evil.example:8480", "origin": "http://evil.example:8480", "x-user": "anna"}
    client = proxied(filled)
    assert client.get("/api/v1/messages", headers=headers).status_code == 421
    assert client.post("/api/v1/mailboxes/a/pause", headers=headers).status_code == 421
    assert filled.b.ledger.paused() == {}
    named = proxied(filled, hosts=["mail.example.org"])
    assert named.get("/api/v1/messages", headers={"host": "mail.example.org", "x-user": "anna"}).status_code == 200


def test_proxy_elsewhere_needs_the_names_that_it_passes_on() -> None:
    proxy = {"header": "X-User", "addresses": ["10.0.0.5"], "users": [{"name": "anna"}]}
    with pytest.raises(ValidationError, match="needs `hosts`"):
        section(address="0.0.0.0", proxy=proxy)  # noqa: S104 - nothing listens
    assert section(address="0.0.0.0", proxy=proxy, hosts=["mail.example.org"]).proxy  # noqa: S104 - as above


def test_user_that_is_named_twice_is_nobody(filled: Console) -> None:
    """A proxy that adds its field to that of the browser would let the browser choose."""
    twice = [("x-user", "anna"), ("x-user", "somebody")]
    assert proxied(filled).get("/api/v1/messages", headers=twice).status_code == 401


def test_pages_behind_a_proxy_outlive_the_ledger(filled: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(_: str) -> str:
        raise LedgerUnavailableError("it is not there")

    known, client = proxied(filled), proxied(filled)
    assert known.get("/", headers={"x-user": "anna"}).status_code == 200
    monkeypatch.setattr(filled.b.ledger, "shared_key", unavailable)
    assert known.get("/", headers={"x-user": "anna"}).status_code == 200
    answer = client.get("/", headers={"x-user": "anna"})
    assert (answer.status_code, "is unavailable" in answer.text) == (503, True)
    assert client.get("/nowhere", headers={"x-user": "anna"}).status_code == 404


def test_operator_of_some_mailboxes_does_not_resume_a_consumer_of_all(filled: Console) -> None:
    assert filled.client("tenant").post("/api/v1/sinks/main/resume").status_code == 403
    assert filled.client("operator").post("/api/v1/sinks/main/resume").status_code == 202


def test_tenant_sees_no_message_of_another_as_the_earlier_one(filled: Console) -> None:
    """The same mail came to both; that it came to the other one before is none of his business."""
    filled.haul("b", MAIL)
    path = f"/api/v1/messages/{message_key('b', MAIL)}"
    for suffix in ("", "/event"):
        assert KEY in filled.client("viewer").get(path + suffix).text
        answer = filled.client("tenant").get(path + suffix)
        assert answer.status_code == 200
        assert KEY not in answer.text


def test_tenant_counts_only_his_own_rejected_events(filled: Console) -> None:
    filled.b.sinks["main"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_400")
    filled.haul("a", mail("rejected"))
    assert [filled.client(who).get("/api/v1/sinks").json()[0]["dead_letters"] for who in ("viewer", "tenant")] == [
        1,
        0,
    ]


def test_tenant_is_not_offered_the_labels_of_rules_for_others(filled: Console) -> None:
    filled.b.runtime.rules = [Rule("merger", Expression("mailbox.id == 'a'"), labels=("merger",))]
    assert "<option>merger</option>" in filled.client("viewer").get("/").text
    page = filled.client("tenant").get("/").text
    assert "merger" not in page
    assert "<option>tenant=b</option>" in page


def test_body_of_a_stranger_is_not_read_into_memory(filled: Console) -> None:
    client, read = filled.client("operator"), 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b" " * 2**16, "more_body": read < 100}

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/replays", "query_string": b"", "headers": headers}
    asyncio.run(client.app({**scope, "client": ("192.0.2.1", 1), "server": None}, receive, send))  # type: ignore[arg-type]
    assert (sent[0]["status"], read) == (413, 9)
    assert dict(sent[0]["headers"])[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize("name", ["any", "mailhaul_session", "mailhaul_login"])
def test_cookies_of_a_stranger_cost_nothing(filled: Console, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python needs time that grows with the square of the backslashes in a cookie (CVE-2024-7592)."""
    read: list[str] = []

    def unquoted(value: str) -> str:
        read.append(value)
        return value

    monkeypatch.setattr("http.cookies._unquote", unquoted)
    cookie = f'{name}="{chr(92)}a{chr(92)}a"; mailhaul_other=kept'
    client = filled.client("operator")
    del client.headers["authorization"]
    for path in ("/api/v1/messages", "/"):
        assert client.get(path, headers={"cookie": cookie}).status_code == 401
    assert set(read) == {"kept"}


def test_largest_selection_of_a_job_is_read(filled: Console) -> None:
    chosen = {"mailboxes": ["x" * 200] * 1000, "messages": ["0" * 32] * 1000}
    assert filled.client("operator").post("/api/v1/replays", json=chosen).status_code == 404


def test_port_that_is_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=rf"port {port}: Address already in use"):
            listen(section(port=port))
