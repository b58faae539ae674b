"""`mailhaul import` as people use it: whatever form the mail was kept in, it becomes what Dovecot's would have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.habits import HABITS
from tests.support.mail_forms import FORMS, as_messages, tree
from tests.support.service import mailhaul, read_events, write_config

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.support.dovecot import Dovecot

pytestmark = pytest.mark.dovecot
USER = "imported"
MAILS = [habit.raw.replace(b"\r\n", b"\n") for habit in HABITS]


def configure(folder: Path, port: int) -> Path:
    folder.mkdir(exist_ok=True)
    auth = {"type": "password", "username": USER, "password": "env:POP_SECRET"}
    box = {"id": USER, "host": "127.0.0.1", "port": port, "tls": "none", "auth": auth}
    # Which of two copies came first is a matter of the order in which they were processed.
    return write_config(folder, [box], duplicates={"enabled": False})


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return mailhaul(*map(str, arguments), env={"POP_SECRET": "secret"})


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory, dovecot_server: Dovecot) -> Path:
    """A folder with the store and the events of the same mail, fetched from Dovecot."""
    folder = tmp_path_factory.mktemp("fetched")
    dovecot_server.add_user(USER, "secret")
    for mail in MAILS:
        dovecot_server.deliver(USER, mail.rstrip(b"\n") + b"\n")
    drained = run("drain", "--config", configure(folder, dovecot_server.pop3_port))
    assert drained.returncode == 0, drained.stdout + drained.stderr
    return folder


@pytest.mark.parametrize("write", FORMS)
def test_every_form_becomes_what_fetching_makes_of_the_same_mail(
    tmp_path: Path, dovecot_server: Dovecot, fetched: Path, write: Callable[[Path, Sequence[bytes]], list[Path]]
) -> None:
    mails = tmp_path / "mails"
    mails.mkdir()
    config = configure(tmp_path / "service", dovecot_server.pop3_port)
    paths = write(mails, MAILS)
    first = run("import", "--mailbox", USER, *paths, "--config", config, "--json")
    report = json.loads(first.stdout)
    assert (first.returncode, report["ok"], report["processed"]) == (0, True, report["stored"]), first.stderr
    assert tree(tmp_path / "service" / "store") == tree(fetched / "store")
    events = read_events(tmp_path / "service" / "events.jsonl")
    assert {event["id"] for event in events} == {event["id"] for event in read_events(fetched / "events.jsonl")}

    again = json.loads(run("import", "--mailbox", USER, *paths, "--config", config, "--json").stdout)
    assert (again["stored"], again["known"]) == (0, len(MAILS)), "a second run stores nothing"
    drained = run("drain", "--config", config)
    assert drained.returncode == 0, drained.stdout
    assert tree(tmp_path / "service" / "store") == tree(fetched / "store"), (
        "what is still on the server is recognised"
    )
    assert read_events(tmp_path / "service" / "events.jsonl") == events


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configure(tmp_path / "service", 1)


def test_report_names_what_was_not_read(tmp_path: Path, config: Path) -> None:
    folder = tmp_path / "mails"
    folder.mkdir()
    for name, data in {"a.eml": MAILS[0], "b.eml": b"%PDF-1.7", "c.pdf": b"%PDF-1.7"}.items():
        (folder / name).write_bytes(data)
    done = run("import", "--mailbox", USER, folder, "--config", config)
    assert done.returncode == 1
    assert done.stdout.startswith(
        "1 new message, 0 known already\n1 message processed; events delivered: 1 to jsonl;"
    )
    assert "1 other file in these folders is not read" in done.stdout
    assert f"error: {folder / 'b.eml'}: holds no mail" in done.stderr


def test_dry_run_counts_and_imports_nothing(tmp_path: Path, config: Path) -> None:
    folder = tmp_path / "mails"
    folder.mkdir()
    as_messages(folder, MAILS)
    done = run("import", "--mailbox", USER, folder, "--config", config, "--dry-run")
    size = sum(map(len, MAILS))
    assert (done.returncode, done.stdout) == (
        0,
        f"{len(MAILS)} files with one message each\n{size:,} bytes in all\n",
    )
    assert not (tmp_path / "service" / "store").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--mailbox", "importd", "."], "there is no mailbox importd in the configuration; did you mean imported?"),
        (["--mailbox", USER, "nowhere"], "nowhere does not exist"),
    ],
)
def test_mistake_is_explained(config: Path, arguments: list[Any], problem: str) -> None:
    done = run("import", *arguments, "--config", config)
    assert (done.returncode, done.stderr) == (2, f"error: {problem}\n")
