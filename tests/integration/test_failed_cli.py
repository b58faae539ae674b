"""`mailhaul failed` on a real ledger: what a person sees of failed messages, and can do with them."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.ledger import connect
from ingest.domain.events import Event
from ingest.domain.message import FailedMessage, OpenMessage
from ingest.domain.record import ObjectRef
from ingest.ports.seen import Registration
from tests.support.service import mailhaul, write_config

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.valkey import Valkey

    Run = Callable[..., subprocess.CompletedProcess[str]]


WHEN = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
KEYS = ["a1" * 16, "a2" * 16, "b1" * 16]


def fail(url: str) -> None:
    """Two messages of the mailbox `one`, and one of `two`."""
    ledger, _ = connect(url)
    with closing(ledger):
        for key in KEYS:
            box = "one" if key.startswith("a") else "two"
            source = ObjectRef(bucket="b", key=f"{box}/{key}/raw.eml", size=1234, sha256="0" * 64)
            message = OpenMessage(key=key, mailbox=box, unique_id="u", folder="f", source=source, first_seen=WHEN)
            ledger.mailboxes.add([box])
            (claim,) = ledger.mailboxes.claim(1, 60)
            ledger.register(claim, [Registration(bytes.fromhex(key), message)])
            ledger.mailboxes.release(claim, 0)
            (claim,) = ledger.messages.claim(1, 60)
            failed = FailedMessage(message=message, reason="message", tries=6, failed_at=WHEN)
            ledger.fail(claim, failed, Event(key, "t", box, b"{}"))


@pytest.fixture
def run(tmp_path: Path, valkey: Valkey) -> Run:
    valkey.flush()
    fail(valkey.url)
    config = write_config(tmp_path, [], ledger=valkey.url)
    for key in KEYS[:2]:
        raw = tmp_path / "store" / "one" / key / "raw.eml"
        raw.parent.mkdir(parents=True)
        raw.write_bytes(b"raw")

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return mailhaul("failed", *arguments, "--config", str(config))

    return command


def keys(run: Run) -> list[str]:
    return [row["message_key"] for row in json.loads(run("list", "--json").stdout)]


def test_failed_messages_are_listed_and_shown(run: Run) -> None:
    listed = run("list")
    assert listed.returncode == 0
    assert all(key in listed.stdout for key in KEYS)
    assert keys(run) == KEYS
    shown = run("show", KEYS[2][:4])
    assert "two" in shown.stdout
    assert "1234" in shown.stdout
    one = json.loads(run("show", KEYS[2], "--json").stdout)
    assert (one["reason"], one["tries"], one["raw"]["size"]) == ("message", 6, 1234)


def test_retried_and_dropped_messages_leave_the_list(run: Run, valkey: Valkey) -> None:
    assert run("retry", KEYS[0]).stdout == "1 message will be processed again\n"
    assert run("drop", "--mailbox", "two", "--yes").stdout == "1 message dropped\n"
    assert keys(run) == [KEYS[1]]
    assert run("retry", "--all").returncode == 0
    assert keys(run) == []
    assert run("list").stdout == "no failed messages\n"
    ledger, _ = connect(valkey.url)
    with closing(ledger):
        assert {claim.id for claim in ledger.messages.claim(9, 60)} == set(KEYS[:2])


def test_retried_message_that_is_not_in_the_store_is_to_be_fetched_again(run: Run) -> None:
    retried = run("retry", KEYS[2]).stdout
    assert "1 message is not in the store and will be fetched again" in retried
    assert keys(run) == KEYS[:2]


def test_drop_requires_confirmation(run: Run) -> None:
    assert run("drop", "--all").returncode == 1, "there is nobody to ask"
    assert keys(run) == KEYS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("retry",), "name message keys"),
        (("retry", KEYS[0], "--all"), "name message keys"),
        (("show", "ffff"), "no failed message begins with ffff"),
        (("drop", "a", "--yes"), "2 failed messages begin with a"),
    ],
)
def test_wrong_arguments_print_one_line(run: Run, arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert keys(run) == KEYS
