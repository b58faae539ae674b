"""The ledger loses everything, more than once, in the middle of the work: no message is lost, no event is missed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.mails import sample
from tests.support.service import Service, check_message, read_events, write_config
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.demo.mails import SampleMail
    from tests.support.dovecot import Dovecot

MAILBOXES, MAILS = 6, 25
TOTAL = MAILBOXES * MAILS
# The ledger is lost when so many different events have been delivered.
LOSSES = (10, 60, 110, TOTAL)


@pytest.mark.e2e
@pytest.mark.dovecot
def test_a_ledger_that_is_lost_again_and_again_costs_repeats_and_nothing_else(
    tmp_path: Path, dovecot_server: Dovecot
) -> None:
    sent: dict[str, dict[bytes, SampleMail]] = defaultdict(dict)
    boxes = []
    for number in range(MAILBOXES):
        user = f"loss-{number}"
        dovecot_server.add_user(user, "right")
        for index in range(MAILS):
            mail = sample(index, user)
            sent[user][mail.raw] = mail
            dovecot_server.deliver(user, mail.raw)
        boxes.append(
            {
                "id": user,
                "host": "127.0.0.1",
                "port": dovecot_server.pop3_port,
                "tls": "none",
                # Every other one deletes what is done, so that the server cannot give it out again.
                "policy": "delete" if number % 2 else "keep",
                "auth": {"type": "password", "username": user, "password": "env:SECRET"},
            }
        )
    path = tmp_path / "events.jsonl"

    def told() -> dict[str, dict[str, Any]]:
        return {event["id"]: event for event in read_events(path)}

    def wait_until_told(count: int) -> None:
        eventually(lambda: len(told()) >= count, 120, lambda: f"{len(told())} of {count}")

    with Valkey(tmp_path) as valkey:
        config = write_config(tmp_path, boxes, ledger=valkey.url)
        with Service(config, {"SECRET": "right"}) as service:
            for count in LOSSES:
                wait_until_told(count)
                valkey.kill()
                valkey.start()
            eventually(
                lambda: not any(dovecot_server.maildrop(box["id"]) for box in boxes if box["policy"] == "delete"),
                120,
                "what is done is deleted in the end",
            )
            wait_until_told(TOTAL)
            assert service.stop(within=15) == 0

    events = told()
    store = tmp_path / "store"
    for event in events.values():
        user = event["data"]["mailbox"]["id"]
        check_message(event, sent[user], lambda key: (store / key).read_bytes())
    assert len({event["subject"] for event in events.values()}) == TOTAL, "all events of a message have one id"
    assert len(list(store.rglob("raw.eml"))) == len(list(store.rglob("message.json"))) == TOTAL
    for box in boxes:
        assert len(dovecot_server.maildrop(box["id"])) == (MAILS if box["policy"] == "keep" else 0)
    repeats = len(read_events(path)) - TOTAL
    assert repeats <= len(LOSSES) * TOTAL
