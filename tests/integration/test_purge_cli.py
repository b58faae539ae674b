"""`mailhaul purge` on a folder and in buckets, most of which keep versions: it asks, erases, nothing comes back."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.mails import Kind, sample
from ingest.demo.server import DemoServer
from tests.support.s3 import require_locks
from tests.support.service import mailhaul, read_events, write_config
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.clouds import Emulator
    from tests.support.s3 import S3Server
    from tests.support.valkey import Valkey

MAILS = 3
# A record and an empty object.
LEFT = 2


@dataclass
class Haul:
    """One mailbox on a server, and what was fetched from it."""

    config: Path
    valkey: Valkey
    store: Store
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return mailhaul(*arguments, "--config", str(self.config), env=self.env)

    def drain(self) -> dict[str, Any]:
        done = self.run("drain", "--json")
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def events(self) -> list[str]:
        """Message keys of all events, in their order."""
        return [event["subject"] for event in read_events(self.config.parent / "events.jsonl")]

    def lose_everything_but_the_mail(self) -> None:
        """The ledger and the checkpoint."""
        self.valkey.flush()
        self.store.forget()

    def left_of(self, key: str) -> list[tuple[str, bytes]]:
        return [(name, content) for name, content in self.store.everything() if key in name]


class Store:
    """What a person with access to the store finds in it."""

    section: str | dict[str, Any]

    def everything(self) -> list[tuple[str, bytes]]:
        """Keys and bytes of all objects, earlier versions too."""
        raise NotImplementedError

    def forget(self) -> None:
        """Take the checkpoints away."""
        raise NotImplementedError


class Folder(Store):
    def __init__(self, path: Path) -> None:
        self._path = path
        self.section = path.as_uri()

    def everything(self) -> list[tuple[str, bytes]]:
        return [(str(path), path.read_bytes()) for path in sorted(self._path.rglob("*")) if path.is_file()]

    def forget(self) -> None:
        shutil.rmtree(self._path / "invoices" / "_state")


class Versioned(Store):
    def __init__(self, server: S3Server) -> None:
        self._server = server
        self.bucket = server.make_bucket(f"purge-{uuid.uuid4().hex}", versions=True)
        self.section = server.store(self.bucket)

    def everything(self) -> list[tuple[str, bytes]]:
        client, found = self._server.client(), []
        for page in client.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for entry in page.get("Versions", ()):
                key, version = entry["Key"], entry["VersionId"]
                answer = client.get_object(Bucket=self.bucket, Key=key, VersionId=version)
                found.append((key, answer["Body"].read()))
        client.close()
        return found

    def forget(self) -> None:
        client = self._server.client()
        client.delete_object(Bucket=self.bucket, Key="haul/invoices/_state/seen")
        client.close()


class Cloud(Store):
    """A bucket that keeps versions, where the emulator has them."""

    def __init__(self, server: Emulator, *, versions: bool) -> None:
        self._server = server
        self._bucket = server.make_bucket(f"purge-{uuid.uuid4().hex}", versions=versions)
        self.section = server.store(self._bucket)

    def everything(self) -> list[tuple[str, bytes]]:
        return [(name, content) for name, _, content in self._server.everything(self._bucket)]

    def forget(self) -> None:
        self._server.open(self._bucket).delete("haul/invoices/_state/seen")


@contextmanager
def hauled(folder: Path, valkey: Valkey, store: Store, env: dict[str, str]) -> Iterator[Haul]:
    """Some mails, stored, processed and published."""
    valkey.flush()
    drop = folder / "drops" / "invoices"
    drop.mkdir(parents=True)
    for index in range(MAILS):
        (drop / f"{index}.eml").write_bytes(sample(index, "invoices", Kind.PDF_INVOICE).raw)
    with DemoServer(folder / "drops", {"invoices": "right"}) as server:
        box = {
            "id": "invoices",
            "host": "127.0.0.1",
            "port": server.port,
            "tls": "none",
            "auth": {"type": "password", "username": "invoices", "password": "env:SECRET"},
        }
        config = write_config(folder, [box], ledger=valkey.url, store=store.section)
        made = Haul(config, valkey, store, {"SECRET": "right", **env})
        assert made.drain()["totals"]["stored"] == MAILS
        yield made


@pytest.fixture(params=["folder", "versions", "fake_gcs", "azurite"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path, valkey: Valkey) -> Iterator[Haul]:
    """In a folder, and in buckets that keep versions."""
    store: Store = Folder(tmp_path / "store")
    env: dict[str, str] = {}
    if request.param == "versions":
        server: S3Server = request.getfixturevalue("s3_server")
        store, env = Versioned(server), server.environment
    if request.param in ("fake_gcs", "azurite"):
        emulator: Emulator = request.getfixturevalue(request.param)
        store, env = Cloud(emulator, versions=request.param == "fake_gcs"), emulator.environment
    with hauled(tmp_path, valkey, store, env) as made:
        yield made


@pytest.fixture
def haul(tmp_path: Path, valkey: Valkey) -> Iterator[Haul]:
    """In a folder."""
    with hauled(tmp_path, valkey, Folder(tmp_path / "store"), {}) as made:
        yield made


def test_purged_message_is_erased_and_not_ingested_again(anywhere: Haul) -> None:
    assert anywhere.drain()["totals"]["new"] == 0  # writes the checkpoint
    wanted, *others = anywhere.events()
    done = anywhere.run("purge", "message", wanted[:12], "--mailbox", "invoices", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["messages"], report["unread_events"], report["error"]) == (1, 1, None)
    assert len(anywhere.left_of(wanted)) == LEFT
    (record,) = [json.loads(content) for _, content in anywhere.left_of(wanted) if content]
    assert (record["message_key"], record["purged"], record["objects"]) == (wanted, True, report["objects"])
    assert all(len(anywhere.left_of(key)) > LEFT for key in others)

    anywhere.lose_everything_but_the_mail()
    (anywhere.config.parent / "events.jsonl").unlink()
    report = anywhere.drain()
    assert (report["totals"]["stored"], report["totals"]["duplicate"]) == (0, MAILS)
    assert set(anywhere.events()) == set(others)
    assert len(anywhere.left_of(wanted)) == LEFT

    again = anywhere.run("purge", "message", wanted, "--yes")
    assert again.returncode == 0
    assert "1 was already purged" in again.stdout


def test_purged_mailbox_is_erased_and_not_fetched_again(anywhere: Haul) -> None:
    refused = anywhere.run("purge", "mailbox", "invoices", "--yes")
    assert refused.returncode == 1
    assert "mailhaul mailboxes pause invoices" in refused.stderr
    assert len(anywhere.left_of(anywhere.events()[0])) > LEFT

    assert anywhere.run("mailboxes", "pause", "invoices").returncode == 0
    done = anywhere.run("purge", "mailbox", "invoices", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{MAILS} messages purged" in done.stdout
    assert f"{MAILS} events removed from the event stream" in done.stdout
    for key in anywhere.events():
        assert len(anywhere.left_of(key)) == LEFT
    left = b"".join(content for _, content in anywhere.store.everything())
    assert b"Subject" not in left
    assert b"subject" not in left

    assert anywhere.run("mailboxes", "resume", "invoices").returncode == 0
    assert anywhere.drain()["totals"]["new"] == 0


def test_message_with_a_locked_object_stays_whole_until_it_is_unlocked(
    tmp_path: Path, valkey: Valkey, s3_server: S3Server
) -> None:
    require_locks()
    store = Versioned(s3_server)
    with hauled(tmp_path, valkey, store, s3_server.environment) as made:
        assert made.run("mailboxes", "pause", "invoices").returncode == 0
        held = next(key for key, _ in store.everything() if "/attachments/" in key)
        client = s3_server.client()
        client.put_object_legal_hold(Bucket=store.bucket, Key=held, LegalHold={"Status": "ON"})
        before = made.left_of(next(key for key in made.events() if key in held))
        ended = made.run("purge", "mailbox", "invoices", "--yes")
        assert ended.returncode == 1
        assert f"{MAILS - 1} messages purged" in ended.stdout
        assert "1 stay: under a legal hold" in ended.stdout
        assert made.left_of(next(key for key in made.events() if key in held)) == before

        client.put_object_legal_hold(Bucket=store.bucket, Key=held, LegalHold={"Status": "OFF"})
        client.close()
        ended = made.run("purge", "mailbox", "invoices", "--yes")
        assert ended.returncode == 0, ended.stderr
        assert "1 message purged: " in ended.stdout
        assert f"{MAILS - 1} were already purged" in ended.stdout
        assert all(len(made.left_of(key)) == LEFT for key in made.events())


def asked(haul: Haul, answer: bytes, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command at a terminal, and give it this line."""
    master, slave = pty.openpty()
    try:
        os.write(master, answer)
        return subprocess.run(
            [sys.executable, "-m", "ingest.cli", *arguments, "--config", str(haul.config)],
            stdin=slave,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, **haul.env},
        )
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("answer", [b"\n", b"n\n"])
def test_purge_requires_confirmation(haul: Haul, answer: bytes) -> None:
    before = haul.store.everything()
    ended = asked(haul, answer, "purge", "message", haul.events()[0])
    assert ended.returncode == 1
    assert "1 message of invoices" in ended.stderr
    assert "Erase this permanently? [y/N]" in ended.stderr
    assert haul.store.everything() == before


def test_purge_prints_what_it_will_erase_and_continues_after_yes(haul: Haul) -> None:
    haul.run("mailboxes", "pause", "invoices")
    ended = asked(haul, b"y\n", "purge", "mailbox", "invoices", "--json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["messages"] == MAILS
    assert f"{report['objects']} objects, {report['size']:,} bytes, received" in ended.stderr
    assert "Not erased: mail on the POP3 server" in ended.stderr
    assert "is not fetched again" in ended.stderr


def test_purge_without_a_terminal_requires_the_yes_option(haul: Haul) -> None:
    before = haul.store.everything()
    for arguments in (("message", haul.events()[0]), ("mailbox", "invoices")):
        ended = haul.run("purge", *arguments)
        assert ended.returncode == 2
        assert "--yes" in ended.stderr
    assert haul.store.everything() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("message", "ffffffff"), "no stored message begins with ffffffff"),
        (("message", "not-a-key"), "is not a message key"),
        (("mailbox", "nobody"), "nothing is stored under nobody"),
    ],
)
def test_a_mistake_is_one_line(haul: Haul, arguments: tuple[str, ...], words: str) -> None:
    ended = haul.run("purge", *arguments, "--yes")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert words in line
    assert ended.stdout == ""


def test_nothing_of_the_mail_is_printed(haul: Haul) -> None:
    """Neither addresses nor subjects nor names of files."""
    haul.run("mailboxes", "pause", "invoices")
    events = read_events(haul.config.parent / "events.jsonl")
    ended = asked(haul, b"y\n", "purge", "mailbox", "invoices")
    assert ended.returncode == 0
    for event in events:
        data = event["data"]
        private = [data["headers"]["subject"], data["headers"]["from"][0]["address"]]
        private += [attachment["filename"] for attachment in data["attachments"]]
        for words in private:
            assert words not in ended.stdout + ended.stderr
