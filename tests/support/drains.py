"""`mailhaul drain` against a server that misbehaves, run after run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.support.bench import mail
from tests.support.service import mailhaul, read_events
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.faulty_pop3 import FaultyServer

# A message is deleted on the server when it was registered longer ago.
DELETABLE = 6.0
ENV = {"SECRET": "right"}


def box(server: FaultyServer, user: str, policy: str = "delete", **options: Any) -> dict[str, Any]:
    """A mailbox with the id of its user."""
    auth = {"type": "password", "username": user, "password": "env:SECRET"}
    address = {"host": "127.0.0.1", "port": server.port, "tls": "none"}
    return {"id": user, **address, "policy": policy, "auth": auth, **options}


def identified(subject: str, text: str = "Hello.") -> bytes:
    """A mail with a Message-ID."""
    return f"Message-ID: <{subject}@example.org>\r\n".encode() + mail(subject, text)


def drain(config: Path, env: Mapping[str, str] = ENV, code: int = 0) -> str:
    """Run it, and return all that it printed."""
    drained = mailhaul("drain", "--config", str(config), env={**ENV, **env})
    assert drained.returncode == code, drained.stdout + drained.stderr
    return drained.stdout + drained.stderr


def crash(config: Path, point: str, env: Mapping[str, str] = ENV) -> int:
    """Run `mailhaul drain` until it kills itself at a point of `tests.support.crashing`; return its exit code."""
    command = [sys.executable, "-m", "tests.support.crashing", point, "--config", str(config)]
    return subprocess.run(command, env={**os.environ, **ENV, **env}, check=False, timeout=PATIENCE).returncode


def wait_until_deletable() -> None:
    """Let what is registered now become old enough to be deleted."""
    until = time.monotonic() + DELETABLE
    eventually(lambda: time.monotonic() > until)


def subjects(folder: Path, name: str = "events.jsonl") -> list[str]:
    """The subjects of all events, in their order, repetitions too."""
    return [event["data"]["headers"]["subject"] for event in read_events(folder / name)]


def stored(folder: Path) -> set[bytes]:
    return {raw.read_bytes() for raw in (folder / "store").rglob("raw.eml")}
