"""`mailhaul mailboxes` with a real ledger and a real server: from a paused mailbox to one polled by hand."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bench import mail
from tests.support.service import mailhaul, write_config

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.dovecot import Dovecot
    from tests.support.valkey import Valkey

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.dovecot
USERS = ("by-hand-one", "by-hand-two", "by-hand-off")


@pytest.fixture
def run(tmp_path: Path, valkey: Valkey, dovecot_server: Dovecot) -> Run:
    valkey.flush()
    boxes: list[dict[str, Any]] = []
    for user in USERS:
        if not dovecot_server.has_user(user):
            dovecot_server.add_user(user, "secret")
        auth = {"type": "password", "username": user, "password": "env:POP_SECRET"}
        box = {"host": "127.0.0.1", "port": dovecot_server.pop3_port, "tls": "none", "auth": auth}
        boxes.append({"id": user.rpartition("-")[2], **box})
    boxes[2]["enabled"] = False
    config = write_config(tmp_path, boxes, ledger=valkey.url, defaults={"interval": "1h"})

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return mailhaul(*arguments, "--config", str(config), env={"POP_SECRET": "secret"})

    return command


def states(run: Run) -> dict[str, str]:
    return {row["id"]: row["state"] for row in json.loads(run("mailboxes", "list", "--json").stdout)}


def test_mailboxes_can_be_listed_paused_resumed_and_polled(run: Run, dovecot_server: Dovecot) -> None:
    assert states(run) == {"one": "unscheduled", "two": "unscheduled", "off": "disabled"}
    assert run("mailboxes", "pause", "one").stdout == "one is paused\n"
    assert run("mailboxes", "pause", "one").stdout == "one was already paused\n"
    assert run("drain").returncode == 0
    assert states(run) == {"one": "paused", "two": "waiting", "off": "disabled"}
    assert "paused" in run("status").stdout
    table = run("mailboxes", "list", "two").stdout
    assert re.search(r"in (60|5\d) min", table)
    assert "success" in table
    assert "one" not in table

    refused = run("mailboxes", "poll", "one")
    assert (refused.returncode, "mailhaul mailboxes resume one" in refused.stderr) == (1, True)
    assert run("mailboxes", "resume", "one").stdout == "one is polled again\n"
    assert states(run)["one"] == "due"
    dovecot_server.deliver(USERS[0], mail("by hand"))
    polled = run("mailboxes", "poll", "one")
    assert polled.returncode == 0, polled.stderr
    assert "1 new, 1 stored" in polled.stdout
    assert states(run)["one"] == "waiting"
    assert json.loads(run("mailboxes", "poll", "one", "--json").stdout)["new"] == 0


def test_dry_run_counts_what_a_drain_would_do_and_does_nothing(run: Run, dovecot_server: Dovecot) -> None:
    run("drain")
    mails = [mail(f"dry {number}") for number in range(3)]
    for each in mails:
        dovecot_server.deliver(USERS[1], each)
    planned = json.loads(run("drain", "--dry-run", "--json").stdout)
    row = next(row for row in planned["mailboxes"] if row["mailbox"] == "two")
    assert (row["fetch"], row["fetch_bytes"], row["known"]) == (3, sum(map(len, mails)), True)
    assert planned["totals"]["fetch"] == 3
    shown = run("drain", "--dry-run")
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[-1] == "nothing was fetched, stored or deleted"
    assert json.loads(run("drain", "--json").stdout)["totals"]["new"] == 3


def test_all_mailboxes_can_be_paused_and_resumed_at_once(run: Run) -> None:
    assert run("mailboxes", "pause", "--all").stdout.splitlines() == [
        f"{id_} is paused" for id_ in ("one", "two", "off")
    ]
    assert states(run) == {"one": "paused", "two": "paused", "off": "disabled"}
    run("mailboxes", "resume", "--all")
    assert states(run) == {"one": "due", "two": "due", "off": "disabled"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pause"], "name mailboxes, or choose with --all"),
        (["pause", "one", "--all"], "name mailboxes, or choose with --all"),
        (["resume", "three"], "there is no mailbox three"),
        (["list", "three"], "there is no mailbox three"),
        (["poll", "three"], "there is no mailbox three"),
    ],
)
def test_wrong_arguments_change_nothing_and_print_the_remedy(run: Run, arguments: list[str], words: str) -> None:
    done = run("mailboxes", *arguments)
    assert (done.returncode, words in done.stderr) == (2, True)
    assert "paused" not in states(run).values()


def test_failed_manual_poll_reports_the_error(run: Run, dovecot_server: Dovecot) -> None:
    dovecot_server.stop()
    try:
        done = run("mailboxes", "poll", "two")
        assert done.returncode == 1
        assert done.stdout.startswith("two: ")
        assert json.loads(run("mailboxes", "poll", "two", "--json").stdout)["result"] == "connect_error"
    finally:
        dovecot_server.start()
