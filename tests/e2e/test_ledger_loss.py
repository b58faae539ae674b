"""The ledger loses all it knew, or its last second, more than once, in the middle of the work.

No message is lost, no event is missed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.mails import sample
from tests.support.service import DeliveredIds, Service, check_message, read_events, write_config
from tests.support.valkey import PERSISTENT, Valkey
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ingest.demo.mails import SampleMail
    from tests.support.dovecot import Dovecot

MAILBOXES, MAILS = 6, 25
TOTAL = MAILBOXES * MAILS
# The ledger is lost when so many different events have been delivered, and once more when all is done.
LOSSES = (10, 60, 110)


HOW: dict[str, tuple[tuple[str, ...], Callable[[Valkey], None]]] = {
    "everything": ((), Valkey.lose),
    "the-last-second": (PERSISTENT, lambda valkey: valkey.lose_last(1.0)),
}


@pytest.mark.e2e
@pytest.mark.dovecot
@pytest.mark.parametrize("how", HOW)
def test_repeated_ledger_loss_only_repeats_events(tmp_path: Path, dovecot_server: Dovecot, how: str) -> None:
    options, lose = HOW[how]
    sent: dict[str, dict[bytes, SampleMail]] = defaultdict(dict)
    boxes: list[dict[str, Any]] = []
    for number in range(MAILBOXES):
        user = f"loss-of-{how}-{number}"
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
    prompt, late = tmp_path / "events.jsonl", tmp_path / "late" / "events.jsonl"

    def published(path: Path) -> dict[str, dict[str, Any]]:
        return {event["id"]: event for event in read_events(path)}

    ids = {path: DeliveredIds(path) for path in (prompt, late)}

    def wait_until_published(path: Path, count: int) -> None:
        eventually(lambda: len(ids[path].read()) >= count, lambda: f"{len(ids[path].read())} of {count}")

    with Valkey(tmp_path, options) as valkey:
        sinks = [{"type": "jsonl", "path": str(path)} for path in (prompt, late)]
        config = write_config(tmp_path, boxes, ledger=valkey.url, sinks=sinks)
        with Service(config, {"SECRET": "right"}) as service:
            for count in LOSSES:
                wait_until_published(prompt, count)
                lose(valkey)
            wait_until_published(prompt, TOTAL)
            eventually(
                lambda: not any(dovecot_server.maildrop(box["id"]) for box in boxes if box["policy"] == "delete"),
                "what is done is deleted in the end",
            )
            lose(valkey)
            assert not late.exists(), "this sink has had nothing yet, and what it was to get was in the ledger"
            late.parent.mkdir()
            wait_until_published(late, TOTAL)
            wait_until_published(prompt, TOTAL)
            assert service.stop() == 0

    events = published(late)
    assert events.keys() == published(prompt).keys()
    store = tmp_path / "store"
    for event in events.values():
        user = event["data"]["mailbox"]["id"]
        check_message(event, sent[user], lambda key: (store / key).read_bytes())
    assert len({event["subject"] for event in events.values()}) == TOTAL, "all events of a message have one id"
    assert len(list(store.rglob("raw.eml"))) == len(list(store.rglob("message.json"))) == TOTAL
    for box in boxes:
        assert len(dovecot_server.maildrop(box["id"])) == (MAILS if box["policy"] == "keep" else 0)
    repeats = len(read_events(prompt)) - TOTAL
    assert repeats <= (len(LOSSES) + 1) * TOTAL
