"""What the compose file starts, started without containers: the demonstration's mail arrives."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.scene import DEMO_MAILBOXES
from tests.support.compose import OURS, PROCESSES, Stack
from tests.support.service import as_in_events, read_events
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from pathlib import Path

_FIRST = 8 * len(DEMO_MAILBOXES)


def _listed(stack: Stack) -> list[Any]:
    """The newest messages that the console finds; none while it does not answer yet."""
    headers = {"Authorization": "Bearer only-for-the-demonstration"}
    with closing(HTTPConnection("127.0.0.1", stack.ports["console"], timeout=PATIENCE)) as connection:
        try:
            connection.request("GET", "/api/v1/messages?limit=100", headers=headers)
            answer = connection.getresponse()
        except ConnectionError:
            return []
        assert answer.status == 200, answer.read()
        messages: list[Any] = json.load(answer)["messages"]
        return messages


@pytest.mark.e2e
def test_the_mail_of_the_demonstration_arrives_as_objects_and_events(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        users = {mailbox.user for mailbox in DEMO_MAILBOXES}

        def events_by_mailbox() -> Counter[str]:
            return Counter(event["data"]["mailbox"]["id"] for event in read_events(stack.events))

        # More mail is delivered all the time, to one mailbox sooner than to another.
        eventually(
            lambda: events_by_mailbox().total() >= _FIRST and events_by_mailbox().keys() == users, events_by_mailbox
        )
        events = read_events(stack.events)
        store = stack.store()
        for event in events:
            with store.open(event["data"]["manifest"]) as manifest:
                assert as_in_events(json.load(manifest)) == event["data"]

        checked = stack.run("check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        for name in PROCESSES:
            healthy = stack.run("health", beside=name)
            assert healthy.returncode == 0, f"{name}: {healthy.stderr}"
        eventually(lambda: len(_listed(stack)) >= _FIRST, lambda: stack.log("console"))
        for name in (*OURS, "mail"):
            assert stack.stop(name) == 0, f"{name} does not end as it was asked to"
