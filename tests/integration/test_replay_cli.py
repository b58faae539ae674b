"""`mailhaul replay` with a real ledger, stream and receiver: what went out before goes out again, the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bench import mail
from tests.support.http import SECRET, Answer, Receiver
from tests.support.service import mailhaul, read_events, write_config

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.dovecot import Dovecot
    from tests.support.valkey import Valkey

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.dovecot
USERS = ("again-one", "again-two")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def run(tmp_path: Path, valkey: Valkey, dovecot_server: Dovecot, receiver: Receiver) -> Run:
    """Commands on two mailboxes of two messages, all published; `erp` rejected none of them."""
    valkey.flush()
    boxes: list[dict[str, Any]] = []
    for user in USERS:
        if not dovecot_server.has_user(user):
            dovecot_server.add_user(user, "secret")
            for number in range(2):
                dovecot_server.deliver(user, mail(f"{number} of {user}"))
        auth = {"type": "password", "username": user, "password": "env:POP_SECRET"}
        box = {"host": "127.0.0.1", "port": dovecot_server.pop3_port, "tls": "none", "auth": auth}
        boxes.append({"id": user, **box})
    sinks = [
        {"type": "jsonl", "path": str(tmp_path / "events.jsonl")},
        {"type": "webhook", "name": "erp", "url": receiver.url, "secret": "env:HOOK", "allow_private": True},
    ]
    config = write_config(tmp_path, boxes, ledger=valkey.url, sinks=sinks)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return mailhaul(*arguments, "--config", str(config), env={"POP_SECRET": "secret", "HOOK": SECRET})

    receiver.answer = lambda _: Answer(204)
    assert command("drain").returncode == 0
    return command


def bodies(receiver: Receiver) -> list[str]:
    return [request.headers["webhook-id"] for request in receiver.requests]


def test_replay_to_one_sink_repeats_its_events(run: Run, receiver: Receiver, tmp_path: Path) -> None:
    first = bodies(receiver)
    assert len(first) == 4
    receiver.requests.clear()
    done = run("replay", "--all", "--sink", "erp")
    assert (done.returncode, done.stdout) == (0, "4 events went to erp\n")
    assert sorted(bodies(receiver)) == sorted(first)
    assert len(read_events(tmp_path / "events.jsonl")) == 4


def test_replay_of_one_mailbox_goes_to_all_sinks_through_the_stream(
    run: Run, receiver: Receiver, tmp_path: Path
) -> None:
    assert run("replay", "--mailbox", USERS[1]).stdout == "2 events went to the event stream\n"
    assert run("drain").returncode == 0
    published = read_events(tmp_path / "events.jsonl")
    assert (len(published), len({event["id"] for event in published})) == (6, 4)
    assert all(event["source"] == f"/mailboxes/{USERS[1]}" for event in published[4:])
    assert (len(bodies(receiver)), len(set(bodies(receiver)))) == (6, 4)
    first = {event["id"]: event["data"] for event in published[:4]}
    assert all(event["data"] == first[event["id"]] for event in published[4:])


def test_unavailable_sink_is_reported_with_the_time_to_resume_from(run: Run, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(410)
    done = run("replay", "--since", "1h", "--sink", "erp")
    assert done.returncode == 1
    assert "http_410" in done.stderr
    since = done.stderr.rpartition("--since ")[2].strip()
    receiver.answer = lambda _: Answer(204)
    assert run("replay", "--since", since, "--sink", "erp").stdout == "4 events went to erp\n"


def test_replay_of_a_period_and_its_dry_run(run: Run) -> None:
    def count(*arguments: str) -> int:
        done = run("replay", "--dry-run", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        messages = json.loads(done.stdout)["messages"]
        assert isinstance(messages, int)
        return messages

    assert count("--since", "1h") == count("--since", "2020-01-01") == count("--until", "2100-01-01T00:00:00Z") == 4
    assert count("--until", "1h") == count("--since", "2100-01-01T00:00:00+02:00") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "choose messages"),
        (["--all", "--since", "1h"], "choose messages"),
        (["--since", "yesterday"], "--since yesterday: write a day"),
        (["--all", "--sink", "nobody"], "there is no sink nobody"),
    ],
)
def test_wrong_arguments_send_nothing_and_print_the_remedy(
    run: Run, receiver: Receiver, arguments: list[str], words: str
) -> None:
    done = run("replay", *arguments)
    assert (done.returncode, words in done.stderr) == (2, True)
    assert len(receiver.requests) == 4
