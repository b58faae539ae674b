"""The whole service as a user runs it: `mailhaul up` with a configuration file, as separate processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from tests.support.commands import run_command
from tests.support.servers import free_port
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from ingest.demo.mails import SampleMail


def mailhaul(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return run_command(list(arguments), {**os.environ, **(env or {})}, timeout)


def write_config(folder: Path, mailboxes: Sequence[dict[str, Any]], **sections: Any) -> Path:
    """Write a configuration to `folder`: by default with a folder store, an embedded ledger and a JSON Lines sink."""
    content = {
        "store": f"file://{folder / 'store'}",
        "ledger": "embedded",
        "sinks": [{"type": "jsonl", "path": str(folder / "events.jsonl")}],
        "defaults": {"interval": "1s"},
        "metrics": {"port": free_port()},
        "mailboxes": list(mailboxes),
        **sections,
    }
    path = folder / "mailhaul.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return every event in a JSON Lines file; an incomplete last line is ignored."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


class DeliveredIds:
    """The ids of the events in a JSON Lines file that grows. Each line is parsed once."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0
        self.lines = 0
        self._ids: set[str] = set()

    def read(self) -> set[str]:
        """Return all ids so far; `lines` is the number of lines they were in."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._offset += len(whole)
            ids = [str(json.loads(line)["id"]) for line in whole.split(b"\n")[:-1]]
            self.lines += len(ids)
            self._ids.update(ids)
        return self._ids


@dataclass
class Service:
    """`mailhaul up --config`, started and stopped as a person does."""

    config: Path
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> Path:
        """The file with its output, standard error too."""
        return self.config.parent / "up.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        if error is not None:
            error.add_note(self.output.read_text()[-6000:])

    def start(self) -> None:
        """Start it; returns at once."""
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ingest.cli", "up", "--config", str(self.config)],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.env},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, within: float = PATIENCE) -> int:
        """Send SIGTERM and return the exit code; raise `TimeoutExpired` if it takes longer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise

    def children(self) -> dict[str, int]:
        """Return the processes it runs, by role: `poll`, `process`, `relay`, ..."""
        assert self.process is not None
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                words = (entry / "cmdline").read_text().split("\0")
            except OSError:  # it ended meanwhile
                continue
            if int(fields[1]) == self.process.pid and "--config" in words:
                found[words[words.index("--config") - 1]] = int(entry.name)
        return found

    def wait_for_events(self, count: int, within: float = PATIENCE) -> list[dict[str, Any]]:
        """Wait until the JSON Lines sink has `count` events; return them all."""
        path = self.config.parent / "events.jsonl"
        delivered = DeliveredIds(path)
        assert self.process is not None

        def enough() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, "mailhaul up ended by itself"
            delivered.read()
            return delivered.lines >= count

        eventually(
            enough,
            lambda: f"{delivered.lines} of {count} events; {self.output.read_text()[-3000:]}",
            timeout=within,
        )
        return read_events(path)


def as_in_events(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what an event has of a manifest: all but the fields of e-invoices."""
    attachments = [
        {**each, "invoice": {**each["invoice"], "fields": None}} if each["invoice"] is not None else each
        for each in manifest["attachments"]
    ]
    return {**manifest, "attachments": attachments}


def check_message(event: Mapping[str, Any], sent: Mapping[bytes, SampleMail], read: Callable[[str], bytes]) -> str:
    """Check one event against what was delivered, byte for byte; returns the raw message's hex SHA-256.

    Args:
        event: a received event.
        sent: what was delivered to its mailbox, by raw bytes.
        read: the bytes of an object by its key.
    """
    data = event["data"]
    raw = read(data["raw"]["key"])
    assert raw in sent, f"{data['raw']['key']} is nothing that was delivered"
    assert hashlib.sha256(raw).hexdigest() == data["raw"]["sha256"]
    manifest = json.loads(read(data["manifest"]))
    assert as_in_events(manifest) == data
    found = {}
    for attachment in data["attachments"]:
        content = read(attachment["object"]["key"])
        assert hashlib.sha256(content).hexdigest() == attachment["sha256"] == attachment["object"]["sha256"]
        assert len(content) == attachment["size"] == attachment["object"]["size"]
        found[attachment["filename"]] = content
    for expected in sent[raw].attachments:
        assert expected.filename in found, f"{expected.filename!r} is not among {sorted(found)}"
        assert found[expected.filename] == expected.content
    for body in data["bodies"]:
        assert hashlib.sha256(read(body["object"]["key"])).hexdigest() == body["object"]["sha256"]
    return str(data["raw"]["sha256"])
