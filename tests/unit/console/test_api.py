"""The API: messages as the store has them, ranges, ETags, problems, and its description."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse

from ingest.adapters.stores.folder import FolderStore
from ingest.admin.erase import Eraser
from ingest.admin.holds import LegalHolds
from ingest.admin.stored_messages import stored_messages
from ingest.console.asking import search_of
from ingest.console.content import send_object
from ingest.console.errors import FilterError
from ingest.console.words import coded
from ingest.domain.record import ObjectRef
from ingest.domain.tombstone import RawErased
from ingest.errors import MaildropAuthError
from tests.support.bench import mail, message_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.unit.console.conftest import Console

HOSTILE = (
    b"From: Mallory <mallory@evil.example>\r\nTo: a@example.org\r\nSubject: <script>alert(1)</script>\r\n"
    b"Date: Fri, 27 Nov 2026 12:00:00 +0000\r\nMessage-ID: <hostile@evil.example>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n'
    b"<p onclick=alert(1)>hello</p><script>alert(1)</script><img src=https://evil.example/p.gif>"
    b"<meta http-equiv=refresh content='0;url=https://evil.example/'><form action=https://evil.example/><input></form>"
    b"\r\n--x\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=page.html\r\n\r\n"
    b"<script>alert(1)</script>\r\n--x--\r\n"
)
KEY = message_key("a", HOSTILE)


@pytest.fixture
def filled(console: Console) -> Console:
    console.haul("a", mail("first"), HOSTILE)
    return console


def test_messages_are_listed_page_by_page(filled: Console) -> None:
    client = filled.client()
    first = client.get("/api/v1/messages", params={"limit": 1}).json()
    second = client.get("/api/v1/messages", params={"limit": 1, "cursor": first["next"]}).json()
    keys = [one["key"] for page in (first, second) for one in page["messages"]]
    assert sorted(keys) == sorted([KEY, message_key("a", mail("first"))])
    assert second["next"] is None
    assert client.get("/api/v1/messages", params={"sender": "mallory"}).json()["messages"][0]["key"] == KEY


def test_manifest_has_an_etag(filled: Console) -> None:
    client = filled.client()
    answer = client.get(f"/api/v1/messages/{KEY}")
    assert answer.json()["headers"]["from"][0]["address"] == "mallory@evil.example"
    again = client.get(f"/api/v1/messages/{KEY}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("", 200, HOSTILE),
        ("bytes=0-4", 206, HOSTILE[:5]),
        ("bytes=10-", 206, HOSTILE[10:]),
        ("bytes=-7", 206, HOSTILE[-7:]),
        (f"bytes=5-{len(HOSTILE) + 9}", 206, HOSTILE[5:]),
        ("BYTES=0-4", 206, HOSTILE[:5]),
        ("bytes=0-", 206, HOSTILE),
        ("bytes=0-1,4-5", 200, HOSTILE),
        ("lines=1-2", 200, HOSTILE),
    ],
)
def test_ranges_of_raw_mail(filled: Console, asked: str, status: int, expected: bytes) -> None:
    answer = filled.client().get(f"/api/v1/messages/{KEY}/raw", headers={"range": asked})
    assert (answer.status_code, answer.content) == (status, expected)
    if status == 206:
        begin = HOSTILE.index(expected) if len(expected) < len(HOSTILE) - 20 else len(HOSTILE) - len(expected)
        assert answer.headers["content-range"] == f"bytes {begin}-{begin + len(expected) - 1}/{len(HOSTILE)}"


def test_range_is_asked_of_the_store_and_the_whole_is_not(filled: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = filled.b.store, []
    given = store.open_range

    def open_range(key: str, begin: int, end: int) -> AbstractContextManager[BinaryIO]:
        asked.append((key, begin, end))
        return given(key, begin, end)

    monkeypatch.setattr(store, "open_range", open_range)
    client = filled.client()
    for value in ("bytes=3-7", "bytes=0-", "bytes=3-7,9-11"):
        client.get(f"/api/v1/messages/{KEY}/raw", headers={"range": value})
    (raw,) = [key for key in filled.b.keys("raw.eml") if KEY in key]
    assert asked == [(raw, 3, 8), (raw, 0, len(HOSTILE))]


def test_range_outside_is_refused_with_the_size(filled: Console) -> None:
    answer = filled.client().get(f"/api/v1/messages/{KEY}/raw", headers={"range": f"bytes={len(HOSTILE)}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(HOSTILE)}")
    assert answer.json()["code"] == "range"


def test_large_object_passes_in_pieces(tmp_path: Path) -> None:
    """A hundred megabytes, and ninety of them, with less than two in memory."""
    store, size = FolderStore(tmp_path), 100_000_000
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    ref = ObjectRef(bucket=store.bucket, key="large", size=size, sha256="0" * 64)
    tracemalloc.start()
    try:
        for asked, expected in (([], size), ([(b"range", b"bytes=-90000000")], 90_000_000)):
            request = Request({"type": "http", "method": "GET", "headers": asked})
            answer = send_object(store, ref, request, media_type="application/pdf", filename="large.pdf")
            assert isinstance(answer, StreamingResponse)
            assert asyncio.run(_length(answer.body_iterator)) == expected
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


async def _length(body: AsyncIterable[Any]) -> int:
    return sum([len(piece) async for piece in body])


def test_range_of_another_version_is_answered_with_the_whole(filled: Console) -> None:
    client = filled.client()
    tag = client.get(f"/api/v1/messages/{KEY}/raw").headers["etag"]
    for condition, status in ((tag, 206), ('"other"', 200)):
        headers = {"range": "bytes=0-4", "if-range": condition}
        assert client.get(f"/api/v1/messages/{KEY}/raw", headers=headers).status_code == status


def test_attachment_that_could_run_is_only_handed_out_for_saving(filled: Console) -> None:
    client = filled.client()
    (attachment,) = client.get(f"/api/v1/messages/{KEY}/attachments").json()
    answer = client.get(f"/messages/{KEY}/files/{attachment['part']}")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_html_of_a_mail_is_made_safe_and_may_do_nothing(filled: Console) -> None:
    client = filled.client()
    frame = client.get(f"/messages/{KEY}/html")
    assert "hello" in frame.text
    assert all(part not in frame.text for part in ("<script", "evil.example", "onclick", "<form", "refresh"))
    policy = frame.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("sandbox")
    page = client.get(f"/messages/{KEY}")
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text
    assert "script-src 'self';" in page.headers["content-security-policy"]


def test_timeline_leads_from_the_store_to_each_consumer(filled: Console) -> None:
    steps = filled.client().get(f"/api/v1/messages/{KEY}/timeline").json()
    found = [(step["what"], step["state"], step["sink"]) for step in steps]
    assert [one[0] for one in found] == ["listed", "stored", "processed", "published", "delivered"]
    assert found[-1] == ("delivered", "done", "main")
    assert filled.client().get(f"/api/v1/messages/{KEY}/event").json()["subject"] == KEY


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"/api/v1/messages/{'0' * 32}", 404, "not_found"),
        ("/api/v1/messages/NOKEY", 422, "parameter"),
        ("/api/v1/messages?amount=much", 422, "filter"),
        ("/api/v1/messages?since=yesterday", 422, "filter"),
        ("/api/v1/messages?cursor=x", 422, "cursor"),
        ("/api/v1/sinks/other/dead-letters", 404, "not_found"),
        ("/api/v1/nothing", 404, "http"),
    ],
)
def test_problems_say_what_is_wrong(filled: Console, path: str, status: int, code: str) -> None:
    answer = filled.client().get(path)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        *(("119", 119), ("119,00", 119), ("-3.5", -3.5), ("1.234,56", 1234.56), ("1,234.56 EUR", 1234.56)),
        *(("1.234", 1234), ("1,234,567", 1234567), ("\N{EURO SIGN} 1\N{NARROW NO-BREAK SPACE}234.50", 1234.5)),
        *((" ", None), ("1e5", ""), ("119 euros", ""), (",5", "")),
    ],
)
def test_amount_is_read_as_people_write_it(written: str, wanted: float | str | None) -> None:
    if isinstance(wanted, str):
        with pytest.raises(FilterError, match="write an amount"):
            search_of(amount=written)
    else:
        assert search_of(amount=written).amount == wanted


def test_time_without_a_zone_is_utc() -> None:
    assert search_of(since="2026-11-27T16:00:00").since == search_of(since="2026-11-27T17:00:00+01:00").since
    assert search_of(since="2026-11-27T00:00:00").since == search_of(since="2026-11-27").since


def test_parameter_that_does_not_exist_is_refused_by_the_api(filled: Console) -> None:
    """A filter with a typing error would find everything."""
    client = filled.client()
    answer = client.get("/api/v1/messages", params={"invioce": "1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "filter")
    assert "amount_min, cursor" in answer.json()["detail"]
    assert client.get("/api/v1/status", params={"x": "1"}).json()["detail"].endswith("none")


def test_purged_message_is_gone_before_the_catalog_knows(filled: Console) -> None:
    for key in [key for key in filled.b.store.objects if KEY in key]:
        filled.b.store.delete(key)
    client = filled.client()
    for path in ("", "/raw", "/attachments", "/html"):
        assert client.get(f"/api/v1/messages/{KEY}{path}").status_code == 404


def test_raw_mail_that_a_rule_erased_is_gone_and_the_rest_is_shown(filled: Console) -> None:
    b = filled.b
    (stored,) = [one for one in stored_messages(b.store, "mail/") if one.key == KEY]
    record = RawErased(
        message_key=KEY,
        mailbox="a",
        erased_at=b.clock.now(),
        rule="short",
        stored_at=b.clock.now(),
        size=len(HOSTILE),
        sha256=sha256(HOSTILE).hexdigest(),
    )
    holds = LegalHolds(b.store, b.layout, b.mailboxes)
    Eraser(b.store, b.ledger, b.events, list(b.sinks), b.clock.now, holds).erase_raw(stored, "a", record)
    client = filled.client()
    for path in (f"/api/v1/messages/{KEY}/raw", f"/messages/{KEY}/source/raw"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "erased by a retention rule" in answer.text
    assert "Raw mail erased" in client.get(f"/messages/{KEY}").text
    assert client.get(f"/api/v1/messages/{KEY}").status_code == 200


def test_pages_help_whoever_finds_nothing_or_mistypes(filled: Console) -> None:
    client = filled.client()
    assert 'href="/?amount=1.234%2C56"' in client.get("/", params={"q": "1.234,56"}).text
    assert "Search for the amount" not in client.get("/", params={"q": "nothing"}).text
    for path in ("/nowhere", "/messages/mistyped"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "There is no such page" in answer.text
    reason = client.post("/api/v1/replays", json={"since": "mh_secret"}).json()["detail"]
    assert reason.startswith("since: ")
    assert "mh_secret" not in reason
    answer = client.get("/", params={"amount": "about 100"})
    assert answer.status_code == 422
    assert "Write an amount as 119.00" in answer.text
    assert "Go back" in answer.text


def test_every_page_is_answered(filled: Console) -> None:
    client = filled.client()
    for path in ("/", "/?q=none", "/mailboxes", "/failures", "/consumers", f"/messages/{KEY}/source/manifest"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "</html>" in answer.text


def test_page_of_events_ends_when_it_has_enough_bytes_and_the_next_one_goes_on(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.haul("a", *(mail(f"mail {number}") for number in range(60)))
    client, cursor, pages, found = console.client(), "", [], []
    monkeypatch.setattr("ingest.console.events.PAGE_BYTES", 8_000)
    while page := client.get("/api/v1/events", params={"limit": 200, "cursor": cursor}).json():
        cursor = page["next"]
        if not page["events"]:
            break
        pages.append(sum(len(json.dumps(one["event"], separators=(",", ":"))) for one in page["events"]))
        found += [one["position"] for one in page["events"]]
    assert len(set(found)) == len(found) == 60
    assert found == sorted(found, key=lambda position: int(position.partition("-")[0]))
    assert max(pages) <= 8_000
    assert len(pages) < 30
    monkeypatch.setattr("ingest.console.events.PAGE_BYTES", 1)
    assert len(client.get("/api/v1/events", params={"limit": 200}).json()["events"]) == 1


def test_events_are_read_page_by_page_and_only_those_that_may_be_seen(console: Console) -> None:
    console.haul("a", mail("first"), mail("second"))
    console.haul("b", mail("third"), mail("second"))
    client, tenant = console.client("operator"), console.client("tenant")
    first = client.get("/api/v1/events", params={"limit": 3}).json()
    second = client.get("/api/v1/events", params={"limit": 3, "cursor": first["next"]}).json()
    end = client.get("/api/v1/events", params={"cursor": second["next"]}).json()
    found = [one["event"]["data"]["headers"]["subject"] for page in (first, second) for one in page["events"]]
    assert sorted(found) == ["first", "second", "second", "third"]
    assert end == {"events": [], "next": second["next"], "lost": False}
    seen = tenant.get("/api/v1/events", params={"limit": 1}).json()
    rest = tenant.get("/api/v1/events", params={"cursor": seen["next"]}).json()["events"]
    assert [one["event"]["source"] for one in [*seen["events"], *rest]] == ["/mailboxes/b"] * 2
    assert message_key("a", mail("second")) not in tenant.get("/api/v1/events").text
    assert tenant.get("/api/v1/events", params={"mailbox": "a"}).json()["events"] == []
    assert len(client.get("/api/v1/events", params={"mailbox": "a", "limit": 200}).json()["events"]) == 2
    assert client.get("/api/v1/events", params={"cursor": "1-1"}).json()["lost"]


def test_parts_of_what_is_known_have_paths_of_their_own(filled: Console) -> None:
    client = filled.client()
    manifest = client.get(f"/api/v1/messages/{KEY}").json()
    assert client.get(f"/api/v1/messages/{KEY}/documents").json() == manifest["documents"] != []
    (mailbox, _) = client.get("/api/v1/mailboxes").json()
    assert client.get(f"/api/v1/mailboxes/{mailbox['id']}").json() == mailbox
    assert client.get("/api/v1/mailboxes/none").status_code == 404


def test_failing_mailbox_says_in_words_what_to_do(filled: Console) -> None:
    filled.b.maildrops["a"].error = MaildropAuthError("the password is wrong")
    filled.b.poll_all()
    found = filled.client("operator").get("/api/v1/mailboxes/a").json()
    assert (found["state"], found["result"]) == ("failing", "auth_error")
    assert found["advice"].startswith("the server refuses the login; correct `auth`")
    assert "mailhaul check a" in found["advice"]
    page = filled.client("operator").get("/mailboxes").text
    assert "correct <code>auth</code>" in page
    assert "`" not in page


def test_words_in_backticks_are_code_and_nothing_in_a_text_is_markup() -> None:
    assert coded("set `a<b>` & <i>`") == "set <code>a&lt;b&gt;</code> &amp; &lt;i&gt;`"
