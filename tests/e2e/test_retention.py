"""Retention and Object Lock over ten years, with the clocks of the S3 server and of Mailhaul moved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.support.bench import mail, message_key
from tests.support.drains import ENV, box
from tests.support.faketime import SteppedClock
from tests.support.faulty_pop3 import faulty_server
from tests.support.s3 import S3Server, require_locks
from tests.support.service import write_config
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.faulty_pop3 import FaultyDrop
    from tests.support.valkey import Valkey

pytestmark = pytest.mark.e2e
DAY = 86_400
# Two days more, and two days less, than ten years, whatever leap days they have.
OLD, YOUNG = (3653 + 2) * DAY, (3652 - 2) * DAY


def raw(subject: str) -> bytes:
    return mail(subject, "Hello.", b"%PDF-1.7 invoice")


def key(subject: str) -> str:
    return message_key("a", raw(subject))


@dataclass
class Archive:
    """One mailbox, stored in a bucket with Object Lock."""

    server: S3Server
    drop: FaultyDrop
    bucket: str
    config: Path
    clock: SteppedClock

    @property
    def env(self) -> Mapping[str, str]:
        return {**ENV, **self.server.environment, **self.clock.environment}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own, which has the moved clock from its start."""
        command = [sys.executable, "-m", "ingest.cli", *arguments, "--config", str(self.config)]
        return subprocess.run(
            command, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def retention(self, code: int = 0) -> dict[str, Any]:
        done = self.run("purge", "retention", "--yes", "--json")
        assert done.returncode == code, done.stdout + done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def move_clocks(self, seconds: int) -> None:
        self.server.move_clock(seconds)
        self.clock.step(seconds)

    def store(self, *subjects: str, ago: int) -> None:
        """Store mail as it was so many seconds ago.

        The server takes the times of objects from its disk, which has the machine's clock: so they are set, too.
        """
        self.move_clocks(-ago)
        self.drop.messages |= {subject.encode(): raw(subject) for subject in subjects}
        drained = self.run("drain")
        assert drained.returncode == 0, drained.stdout + drained.stderr
        for path in self.server.folder.rglob("*"):
            now = path.stat().st_mtime
            if path.is_file() and time.time() - now < DAY:
                os.utime(path, (now - ago, now - ago))

    def versions(self, subject: str) -> dict[str, dict[str, Any]]:
        """Return the versions of all objects of a message by their names, of which none has two, nor a marker."""
        of = f"/a/2026/11/23/{key(subject)}/"
        client = self.server.client()
        found: Any = client.list_object_versions(Bucket=self.bucket)
        client.close()
        listed = [one for one in (*found["Versions"], *found.get("DeleteMarkers", ())) if of in one["Key"]]
        named = {one["Key"].rpartition(of)[2]: one for one in listed}
        assert len(named) == len(listed)
        return named

    def sizes(self, subject: str) -> dict[str, int]:
        return {name: one["Size"] for name, one in self.versions(subject).items()}


@pytest.fixture
def archive(tmp_path: Path, valkey: Valkey) -> Iterator[Archive]:
    require_locks()
    valkey.flush()
    with S3Server(tmp_path / "s3") as server, faulty_server("a") as pop3:
        bucket = server.make_bucket(f"retention-{uuid.uuid4().hex}", versions=True)
        lock = {"mode": "compliance", "retain": "10y"}
        config = write_config(
            tmp_path,
            [box(pop3, "a", "keep")],
            ledger=valkey.url,
            store={**server.store(bucket), "lock": lock},
            retention=[{"name": "tax", "keep": "10y"}],
        )
        yield Archive(server, pop3.drops["a"], bucket, config, SteppedClock(tmp_path / "clock"))


def assert_locked(archive: Archive, subject: str) -> None:
    refused = archive.run("purge", "message", key(subject), "--mailbox", "a", "--yes")
    assert refused.returncode == 1
    assert "1 stay, whole: locked by the store (Object Lock)" in refused.stdout


def test_locked_mail_is_erased_after_ten_years_and_not_before(archive: Archive) -> None:
    archive.store("old", "held", ago=OLD)
    assert_locked(archive, "old")
    archive.store("young", ago=YOUNG)
    assert_locked(archive, "old")
    archive.move_clocks(0)
    whole = archive.sizes("young")
    assert set(whole) == {"raw.eml", "message.json", "body.txt", "attachments/2-i.pdf"}
    assert set(archive.sizes("old")) == set(whole)
    assert "Object Lock in mode compliance" in archive.run("check", "a").stdout
    assert archive.run("hold", "add", "--message", key("held"), "--reason", "case 12").returncode == 0
    assert "case 12" in archive.run("hold", "list").stdout

    # A machine whose clock alone is ahead erases nothing; so little that the server takes its requests.
    archive.clock.step(600)
    refused = archive.run("purge", "retention", "--yes")
    assert refused.returncode == 1
    assert "nothing is erased" in refused.stderr
    archive.clock.step(0)

    planned = archive.run("purge", "retention", "--dry-run")
    assert planned.returncode == 0
    assert "a: 1 to erase by tax" in planned.stdout
    assert "a: 1 stay: under a legal hold by tax" in planned.stdout
    done = archive.retention()["done"]
    assert (done["messages"], done["held"], done["locked"]) == (1, 1, 0)
    assert set(archive.sizes("old")) == {"raw.eml", "message.json"}
    assert archive.sizes("old")["raw.eml"] == 0
    assert set(archive.sizes("held")) == set(whole)

    assert_locked(archive, "young")
    one, client = archive.versions("young")["raw.eml"], archive.server.client()
    with pytest.raises(ClientError, match="protected"):  # nor can an administrator erase it by other means
        client.delete_object(
            Bucket=archive.bucket, Key=one["Key"], VersionId=one["VersionId"], BypassGovernanceRetention=True
        )
    client.close()
    assert archive.sizes("young") == whole

    assert archive.run("hold", "release", "--message", key("held")).returncode == 0
    assert archive.retention()["done"]["messages"] == 1
    assert archive.sizes("held")["raw.eml"] == 0
    assert archive.run("drain").returncode == 0  # all three are still on the mail server
    assert archive.sizes("old")["raw.eml"] == archive.sizes("held")["raw.eml"] == 0
