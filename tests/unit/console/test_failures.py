"""Failed messages and dead letters: shown with what is known, retried and dropped from their page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ingest.admin.failed import FAILURE_REMEDIES
from ingest.cli.remedies import failure_lines
from ingest.errors import MessageError, ObjectMissingError, StoreCorruptError
from ingest.ports.sink import Outcome, Verdict
from tests.support.bench import mail, message_key

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.unit.console.conftest import Console

RAW = mail("one")
KEY = message_key("a", RAW)


def fail(console: Console) -> None:
    console.b.fail("a", RAW)
    console.feed()


def press(client: TestClient, page: str, action: str) -> None:
    """Send the form with this action, as the page has it."""
    text = client.get(page).text
    found = re.search(rf'action="(/actions/{action}/[^"]+)"><input type="hidden" name="token" value="(\w+)"', text)
    assert found is not None, text
    answer = client.post(found[1], data={"token": found[2], "back": page})
    assert (answer.status_code, answer.headers["location"]) == (303, page)


def test_failed_message_is_found_shown_and_retried(console: Console) -> None:
    fail(console)
    client = console.client()
    assert client.get("/api/v1/messages?status=failed").json()["messages"][0]["key"] == KEY
    assert client.get("/api/v1/failures").json()[0]["reason"]
    assert "could not be processed" in client.get(f"/messages/{KEY}").text
    press(client, "/failures", "retry")
    console.b.everything()
    console.feed()
    assert client.get("/api/v1/failures").json() == []
    assert client.get(f"/api/v1/messages/{KEY}").json()["parse"]["status"] == "complete"


@pytest.mark.parametrize("lost", [False, True])
def test_pages_and_command_line_say_the_same_about_what_to_do_with_a_failed_message(
    console: Console, *, lost: bool
) -> None:
    console.b.fail("a", RAW, lost=lost)
    console.feed()
    (failed,) = console.b.ledger.failed_messages()
    words, remedy = FAILURE_REMEDIES["object_missing" if lost else "store_corrupt"]
    for path in ["/failures"] if lost else ["/failures", f"/messages/{KEY}"]:
        page = console.client().get(path).text
        assert words in page
        assert remedy[1:] in re.sub("</?code>", "`", page)
    assert list(failure_lines([failed])) == [f"{failed.reason} (1 message): {words}; {remedy}"]


def test_every_reason_for_which_a_message_fails_has_a_remedy() -> None:
    of_messages = [one for one in MessageError.__subclasses__() if one.__module__ == MessageError.__module__]
    found = {one.code for one in of_messages}
    assert found | {MessageError.code, StoreCorruptError.code, ObjectMissingError.code} == FAILURE_REMEDIES.keys()


def test_failed_message_is_dropped(console: Console) -> None:
    fail(console)
    client = console.client()
    press(client, "/failures", "drop")
    assert console.b.ledger.failed_messages() == []
    assert len(console.b.keys("raw.eml")) == 1


def test_rejected_event_is_shown_on_its_message_and_delivered_again(console: Console) -> None:
    sink = console.b.sinks["main"]
    accepts, sink.verdict = sink.verdict, lambda _: Outcome(Verdict.REJECTED, "http_400")
    console.haul("a", RAW)
    client = console.client()
    (letter,) = client.get("/api/v1/sinks/main/dead-letters").json()
    assert letter["mailbox"] == "a"
    assert client.get(f"/api/v1/messages/{KEY}/timeline").json()[-1]["state"] == "retrying"
    assert "Being retried by" in client.get(f"/messages/{KEY}").text
    sink.verdict = accepts
    press(client, "/failures", "retry-event")
    console.b.everything()
    assert client.get("/api/v1/sinks/main/dead-letters").json() == []
    assert [event.id for event in sink.delivered] == [letter["id"]]


def test_rejected_event_is_dropped(console: Console) -> None:
    console.b.sinks["main"].verdict = lambda _: Outcome(Verdict.REJECTED, "http_400")
    console.haul("a", RAW)
    press(console.client(), "/failures", "drop-event")
    assert console.client().get("/api/v1/sinks/main/dead-letters").json() == []
