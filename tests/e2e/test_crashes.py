"""A process is killed after each step: no message and no event is lost, and none is deleted before it is processed.

Before the crash some messages are done and are about to be deleted, others are new, one is too large to fetch and one
came twice. After it `drain` runs again, as cron would, until all is done.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from ingest.config import ConfigSource
from ingest.demo.mails import sample
from ingest.metrics import Metrics
from ingest.ports.wakeups import NoWakeups
from ingest.wiring.build import build
from tests.support import crashing
from tests.support.commands import run_command
from tests.support.crashing import POINTS, Point
from tests.support.service import read_events, write_config
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.dovecot import Dovecot
    from tests.support.valkey import Valkey

LARGE = b"Subject: large\r\n\r\n" + b"x" * 200_000 + b"\r\n"
LIMIT = 190_000
DONE, NEW = 3, 4


class Place:
    """One mailbox with its server, ledger and store."""

    def __init__(self, folder: Path, dovecot: Dovecot, valkey: Valkey, user: str) -> None:
        self.folder, self.dovecot, self.user = folder, dovecot, user
        self.sent: set[bytes] = set()
        dovecot.add_user(user, "right")
        valkey.flush()
        box = {
            "id": user,
            "host": "127.0.0.1",
            "port": dovecot.pop3_port,
            "tls": "none",
            "auth": {"type": "password", "username": user, "password": "env:SECRET"},
        }
        defaults = {"interval": "1s", "policy": "delete", "limits": {"message_bytes": LIMIT}}
        self.config = write_config(folder, [box], ledger=valkey.url, defaults=defaults)

    def deliver(self, *mails: bytes) -> None:
        for raw in mails:
            self.dovecot.deliver(self.user, raw)
            self.sent.add(raw)

    def crash(self, point: Point) -> int:
        """Drain in a process that dies at the point; its exit code."""
        arguments, environment = [point.name, "--config", str(self.config)], {**os.environ, "SECRET": "right"}
        done = run_command(arguments, environment, PATIENCE, "tests.support.crashing:main")
        (self.folder / "crash.log").write_text(done.stdout + done.stderr)
        return done.returncode

    def drain(self) -> bool:
        """Drain in this process; whether all went well."""
        source = ConfigSource(self.config, {**os.environ, "SECRET": "right"})
        runtime = build(source, source.current().ledger_url, Metrics(), NoWakeups())
        try:
            return runtime.drain.run(runtime.schedule(), lambda: False).ok
        finally:
            runtime.close()

    def events(self) -> list[dict[str, Any]]:
        return read_events(self.folder / "events.jsonl")

    def on_server(self) -> list[bytes]:
        return self.dovecot.maildrop(self.user)

    def stored(self, name: str) -> list[bytes]:
        return [path.read_bytes() for path in (self.folder / "store").rglob(name)]


@pytest.fixture
def place(
    tmp_path: Path, dovecot_server: Dovecot, valkey: Valkey, monkeypatch: pytest.MonkeyPatch, point: Point
) -> Place:
    """Times are as short in this process as in the one that dies."""
    for name, value in crashing.SHORTENED.items():
        monkeypatch.setattr(name, value)
    return Place(tmp_path, dovecot_server, valkey, f"crash-{POINTS.index(point)}")


@pytest.mark.e2e
@pytest.mark.dovecot
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name.replace(" ", "-"))
def test_nothing_is_lost_when_a_process_is_killed_after_a_step(
    point: Point, place: Place, record_property: Callable[[str, object], None]
) -> None:
    mails = [sample(index, place.user).raw for index in range(DONE + NEW)]
    place.deliver(*mails[:DONE])
    assert place.drain()
    place.deliver(*mails[DONE:], mails[0], LARGE)

    assert place.crash(point) == -signal.SIGKILL, (place.folder / "crash.log").read_text()
    gone = place.sent - set(place.on_server())
    assert len(gone) <= len(place.stored("message.json")), "what is gone from the server is done"

    for _ in range(5):
        if place.drain() and place.on_server() == [LARGE]:
            break
    assert place.on_server() == [LARGE], "what is done is deleted, and what only the server has is not"
    assert sorted(place.stored("raw.eml")) == sorted(mails)
    assert len(place.stored("message.json")) == len(mails) + 1
    ids = Counter(event["id"] for event in place.events())
    subjects = {event["subject"] for event in place.events()}
    assert len(ids) == len(subjects) == len(mails) + 1, "each message has its event, and one id for it"
    record_property("repeated_events", sum(ids.values()) - len(ids))
