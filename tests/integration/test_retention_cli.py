"""`mailhaul purge retention` and `mailhaul hold` on a folder: a report first, and nothing without a yes."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from tests.integration.test_purge_cli import MAILS, Folder, Haul, asked, hauled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.valkey import Valkey

YEAR = 366 * 86_400


@pytest.fixture
def haul(tmp_path: Path, valkey: Valkey) -> Iterator[Haul]:
    """Mail that a folder's clock shows as a year old."""
    with hauled(tmp_path, valkey, Folder(tmp_path / "store"), {}) as made:
        for path in (tmp_path / "store").rglob("raw.eml"):
            os.utime(path, (time.time() - YEAR, time.time() - YEAR))
        yield made


def rules(haul: Haul, text: str) -> None:
    haul.config.write_text(f"{haul.config.read_text()}retention: {text}\n")


def test_report_hold_and_erasure(haul: Haul) -> None:
    rules(haul, "[{name: orders, keep: 1y}]")
    held, *others = haul.events()
    before = haul.store.everything()
    added = haul.run("hold", "add", "--message", held[:12], "--reason", "case 12")
    assert added.stdout == f"message {held} is held\n"
    assert json.loads(haul.run("hold", "list", "--json").stdout)[0]["name"] == held

    planned = haul.run("purge", "retention", "--dry-run")
    assert planned.returncode == 0
    first, *rows = planned.stdout.splitlines()
    assert first.endswith(f"{MAILS} messages stored")
    assert rows[0].startswith(f"invoices: {MAILS - 1} to erase by orders; ")
    assert rows[1].startswith("invoices: 1 stay: under a legal hold by orders; ")
    without_yes = haul.run("purge", "retention")
    assert (without_yes.returncode, without_yes.stdout) == (2, "")
    assert asked(haul, b"n\n", "purge", "retention").returncode == 1
    assert [one for one in haul.store.everything() if "/holds/" not in one[0]] == before

    done = asked(haul, b"y\n", "purge", "retention")
    assert done.returncode == 0, done.stderr
    assert f"{MAILS - 1} messages purged" in done.stdout
    assert all(len(haul.left_of(key)) == 2 for key in others)
    assert haul.run("purge", "message", held, "--yes").returncode == 1

    assert haul.run("hold", "release", "--message", held).stdout == f"message {held} is released\n"
    report = json.loads(haul.run("purge", "retention", "--yes", "--json").stdout)
    assert report["done"]["messages"] == 1
    assert [(row["outcome"], row["rule"], row["messages"]) for row in report["rows"]] == [("message", "orders", 1)]
    assert haul.run("purge", "retention", "--yes", "--json").returncode == 0
    assert haul.drain()["totals"]["new"] == 0


def test_runs_over_all_mailboxes_are_recorded_for_the_alert(haul: Haul, valkey: Valkey) -> None:
    """A report, a run that could not ask, and one for a single mailbox are not what the alert waits for."""
    rules(haul, "[{name: copies, raw: 90d}]")

    def recorded() -> set[str]:
        with closing(Redis.from_url(valkey.url, decode_responses=True)) as client:
            return {str(name) for key in client.keys("*:tasks") for name in client.hkeys(key)}

    for arguments in (["--dry-run"], ["--yes", "--mailbox", "other"], []):
        haul.run("purge", "retention", *arguments)
        assert recorded() == set()
    damaged = next(Path(name) for name, _ in haul.store.everything() if name.endswith("raw.eml"))
    raw, written = damaged.read_bytes(), damaged.stat().st_mtime
    damaged.write_bytes(raw.swapcase())
    os.utime(damaged, (written, written))
    assert haul.run("purge", "retention", "--yes").returncode == 1
    assert recorded() == {"retention:unfinished"}
    damaged.write_bytes(raw)
    os.utime(damaged, (written, written))
    assert haul.run("purge", "retention", "--yes").returncode == 0
    assert recorded() == {"retention:succeeded"}


def test_raw_mail_alone_is_erased_and_events_can_be_replayed(haul: Haul) -> None:
    rules(haul, "[{name: copies, raw: 90d}]")
    done = haul.run("purge", "retention", "--yes", "--mailbox", "invoices")
    assert f"{MAILS} raw mails erased, with bodies and documents kept" in done.stdout
    for key in haul.events():
        left = {name.rpartition("/")[2]: len(content) for name, content in haul.left_of(key)}
        assert left["raw.eml"] == 0
        assert left["message.json"] > 0
        assert left["raw-erased.json"] > 0
    events = len(haul.events())
    assert haul.run("replay", "--all", "--sink", "jsonl").returncode == 0
    assert len(haul.events()) == 2 * events


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("purge", "retention", "--dry-run"), 2, "no `retention` is configured"),
        (("hold", "add"), 2, "write --message KEY or --mailbox ID"),
        (("hold", "add", "--message", "aa", "--mailbox", "invoices"), 2, "write --message KEY or --mailbox ID"),
        (("hold", "release", "--message", "ffffffff"), 1, "no stored message begins with ffffffff"),
    ],
)
def test_a_mistake_is_one_line(haul: Haul, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = haul.run(*arguments)
    (line,) = ended.stderr.splitlines()
    assert words in line
    assert (ended.returncode, ended.stdout) == (code, "")
