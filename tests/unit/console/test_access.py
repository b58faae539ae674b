"""Who may see and do what, by every URL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from ingest.console.app import make_app
from ingest.errors import LedgerUnavailableError
from ingest.ports.sessions import SESSIONS_OF_ONE
from tests.support.bench import mail, message_key
from tests.unit.console.conftest import SECRETS, section, with_tokens

if TYPE_CHECKING:
    from tests.unit.console.conftest import Console

A, B = mail("for a"), mail("for b")
OF_A, OF_B = message_key("a", A), message_key("b", B)
EVENT = "0" * 32


@pytest.fixture
def filled(console: Console) -> Console:
    console.haul("a", A)
    console.haul("b", B)
    return console


def routes(console: Console) -> list[tuple[str, str]]:
    """Every route with its method, filled in with what belongs to mailbox `a`."""
    known = {"key": OF_A, "mailbox": "a", "part": "1", "sink": "main", "event_id": EVENT, "what": "raw"}
    known |= {"job": EVENT, "action": "pause", "first": "a", "second": EVENT}
    app = make_app(console.b.runtime, console.catalog, with_tokens())
    paths = app.openapi()["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    pages = [
        "/",
        "/messages/{key}",
        "/messages/{key}/html",
        "/messages/{key}/files/{part}",
        "/mailboxes",
        "/failures",
    ]
    found += [("GET", path) for path in [*pages, "/messages/{key}/source/{what}", "/consumers", "/activity"]]
    found += [(method, f"/{kind}") for method in ("GET", "POST") for kind in ("replays", "reprocesses")]
    found += [("GET", "/replays/{job}"), ("POST", "/replays/{job}/stop")]
    found += [("POST", "/actions/{action}/{first}"), ("POST", "/actions/{action}/{first}/{second}")]
    return [(method, path.format(**known)) for method, path in found]


def test_nobody_gets_anything_without_logging_in(filled: Console) -> None:
    client = filled.client("nobody")
    for method, path in routes(filled):
        assert client.request(method, path).status_code == 401, path
    assert client.get("/api/v1/status", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/livez").status_code == 200


def test_tenant_sees_and_touches_nothing_of_another_by_any_url(filled: Console) -> None:
    client = filled.client("tenant")
    for method, path in routes(filled):
        answer = client.request(method, path)
        assert "for a" not in answer.text, path
        assert OF_A not in answer.text, path
        if OF_A in path or "/a/" in path or path.endswith("/a"):
            assert answer.status_code in {403, 404}, path
    assert client.get(f"/api/v1/messages/{OF_B}").json()["headers"]["subject"] == "for b"
    assert [one["id"] for one in client.get("/api/v1/mailboxes").json()] == ["b"]
    assert client.get("/?mailbox=a").status_code == 200
    assert filled.b.ledger.paused() == {}


def test_viewer_reads_and_does_nothing(filled: Console) -> None:
    client = filled.client("viewer")
    for method, path in routes(filled):
        if method == "POST":
            assert client.post(path).status_code in {403, 404}, path
    assert client.get(f"/api/v1/messages/{OF_A}").status_code == 200
    assert filled.b.ledger.paused() == {}


def test_operator_pauses_and_resumes_a_mailbox(filled: Console) -> None:
    client = filled.client("operator")
    assert client.post("/api/v1/mailboxes/a/pause").status_code == 202
    assert set(filled.b.ledger.paused()) == {"a"}
    assert client.post("/api/v1/mailboxes/a/poll").status_code == 409
    assert client.post("/api/v1/mailboxes/a/resume").status_code == 202
    assert filled.b.ledger.paused() == {}


def test_page_elsewhere_cannot_act_or_read_through_a_name_of_its_own(filled: Console) -> None:
    client = filled.client()
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert client.post("/api/v1/mailboxes/a/pause", headers=headers).status_code == 403
    assert client.get("/api/v1/messages", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/api/v1/messages", headers={"host": "localhost:8480"}).status_code == 200
    assert filled.b.ledger.paused() == {}


def test_form_needs_the_token_of_its_session(filled: Console) -> None:
    client = filled.client()
    assert client.post("/actions/pause/a", data={"token": "x"}).status_code == 403
    assert filled.b.ledger.paused() == {}
    found = re.search(r'name="token" value="([0-9a-f]+)"', client.get("/mailboxes").text)
    assert found is not None
    answer = client.post("/actions/pause/a", data={"token": found[1], "back": "https://evil.example/"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert set(filled.b.ledger.paused()) == {"a"}


def test_session_begins_with_a_token_and_ends_with_logging_out(filled: Console) -> None:
    client = filled.client("nobody", with_tokens())
    assert client.post("/login", data={"secret": "wrong"}).status_code == 401
    answer = client.post("/login", data={"secret": SECRETS["operator"]})
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    page = client.get("/mailboxes")
    assert page.status_code == 200
    found = re.search(r'name="token" value="([0-9a-f]+)"', page.text)
    assert found is not None
    kept = dict(client.cookies)
    client.post("/logout", data={"token": found[1]})
    client.cookies.update(kept)
    assert client.get("/mailboxes").status_code == 401


def form_token(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


def test_login_ends_the_session_that_the_browser_had(filled: Console) -> None:
    client = filled.client("nobody", with_tokens())
    kept = []
    for who in ("operator", "viewer"):
        client.post("/login", data={"secret": SECRETS[who]})
        kept.append(dict(client.cookies))
    assert client.get("/mailboxes").status_code == 200
    client.cookies.clear()
    client.cookies.update(kept[0])
    assert client.get("/mailboxes").status_code == 401


def test_token_that_logs_in_again_and_again_ends_sessions_of_its_own_alone(filled: Console) -> None:
    def logged_in(who: str) -> TestClient:
        client = filled.client("nobody", with_tokens())
        client.post("/login", data={"secret": SECRETS[who]})
        return client

    other, first = logged_in("operator"), logged_in("viewer")
    filled.b.clock.time += 1
    last = [logged_in("viewer") for _ in range(SESSIONS_OF_ONE)][-1]
    assert [one.get("/mailboxes").status_code for one in (other, first, last)] == [200, 401, 200]


def test_session_that_is_not_used_ends_and_refreshing_is_no_use(filled: Console) -> None:
    options = with_tokens().model_copy(update={"session_idle": 600.0})
    client = filled.client("nobody", options)
    client.post("/login", data={"secret": SECRETS["viewer"]})
    for _ in range(3):
        filled.b.clock.time += 400
        assert client.get("/mailboxes").status_code == 200
    for status in (200, 401):
        filled.b.clock.time += 400
        assert client.get("/mailboxes", headers={"x-mailhaul-refresh": "1"}).status_code == status


def test_session_ends_after_twelve_hours_of_use(filled: Console) -> None:
    client = filled.client("nobody", with_tokens())
    client.post("/login", data={"secret": SECRETS["viewer"]})
    for hour in range(1, 13):
        filled.b.clock.time += 3600
        assert client.get("/mailboxes").status_code == (200 if hour < 12 else 401)


def test_form_of_a_session_that_has_ended_does_nothing(filled: Console) -> None:
    """Of another tab, or of the same browser before somebody else logged in."""
    client = filled.client("nobody", with_tokens())
    client.post("/login", data={"secret": SECRETS["operator"]})
    before = form_token(client.get("/mailboxes").text)
    client.post("/login", data={"secret": SECRETS["operator"]})
    assert client.post("/actions/pause/a", data={"token": before}).status_code == 403
    assert client.post("/logout", data={"token": before}).status_code == 403
    assert client.get("/mailboxes").status_code == 200
    client.post("/logout", data={"token": form_token(client.get("/mailboxes").text)})
    assert client.post("/actions/pause/a", data={"token": before}).status_code == 401
    assert filled.b.ledger.paused() == {}


def test_session_that_an_attacker_chose_is_not_taken_over(filled: Console) -> None:
    client = filled.client("nobody", with_tokens())
    client.cookies.set("mailhaul_session", "chosen-by-an-attacker", domain="127.0.0.1")
    client.post("/login", data={"secret": SECRETS["operator"]})
    assert client.get("/mailboxes").status_code == 200
    client.cookies.clear()
    client.cookies.set("mailhaul_session", "chosen-by-an-attacker", domain="127.0.0.1")
    assert client.get("/mailboxes").status_code == 401


def test_everybody_logs_in_again_after_the_ledger_was_lost(filled: Console) -> None:
    client = filled.client("nobody", with_tokens())
    client.post("/login", data={"secret": SECRETS["operator"]})
    before = form_token(client.get("/mailboxes").text)
    filled.b.ledger.lose()
    answer = client.post("/actions/pause/a", data={"token": before})
    assert (answer.status_code, "was lost. Log in again" in answer.text) == (401, True)
    client.post("/login", data={"secret": SECRETS["operator"]})
    assert client.get("/mailboxes").status_code == 200
    assert client.post("/actions/pause/a", data={"token": before}).status_code == 403


def test_steps_of_the_clock_keep_nobody_out(filled: Console) -> None:
    """Forward, sessions end early; back, one that is used lasts no longer than it would."""
    client = filled.client("nobody", with_tokens())
    for step in (86_400, -86_400):
        client.post("/login", data={"secret": SECRETS["viewer"]})
        filled.b.clock.time += step
        assert client.get("/mailboxes").status_code == (401 if step > 0 else 200)
    filled.b.clock.time += 7_201
    assert client.get("/mailboxes").status_code == 401


def test_logins_from_one_address_are_limited(filled: Console) -> None:
    client = filled.client("nobody", with_tokens())
    answers = [client.post("/login", data={"secret": "wrong"}).status_code for _ in range(11)]
    assert answers == [401] * 10 + [429]
    assert client.post("/login", data={"secret": SECRETS["viewer"]}).status_code == 429


def test_user_that_a_proxy_names_counts_only_from_its_address(filled: Console) -> None:
    users = [{"name": "anna@example.org", "role": "operator"}, {"name": "*", "mailboxes": ["b"]}]
    proxy = {"header": "X-Forwarded-User", "addresses": ["10.0.0.0/24"], "users": users}
    app = make_app(filled.b.runtime, filled.catalog, section(proxy=proxy))

    def seen(address: str, user: str) -> object:
        client = TestClient(app, base_url="http://127.0.0.1", client=(address, 1), headers={"x-forwarded-user": user})
        answer = client.get("/api/v1/mailboxes")
        return [one["id"] for one in answer.json()] if answer.status_code == 200 else answer.status_code

    assert seen("10.0.0.5", "anna@example.org") == ["a", "b"]
    assert seen("10.0.0.5", "somebody") == ["b"]
    assert seen("10.0.1.5", "anna@example.org") == 401


def test_listening_beyond_this_machine_needs_somebody_to_log_in() -> None:
    with pytest.raises(ValidationError, match="lets everybody in"):
        section(address="0.0.0.0")  # noqa: S104 - nothing listens
    assert section(address="::1").loopback


def test_page_does_not_ask_a_ledger_again_that_did_not_answer(
    filled: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = filled.client("nobody", with_tokens())
    client.post("/login", data={"secret": SECRETS["viewer"]})
    asked: list[object] = []

    def unavailable(*of: object) -> None:
        asked.append(of)
        raise LedgerUnavailableError("it quotes the server")

    monkeypatch.setattr(filled.b.ledger, "session", unavailable)
    answer = client.get("/mailboxes")
    assert (answer.status_code, len(asked)) == (503, 1)
    assert "The ledger is unavailable; <code>mailhaul check</code> says why" in answer.text
    assert "it quotes the server" not in answer.text
