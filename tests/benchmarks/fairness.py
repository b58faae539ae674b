"""What 10 bad mailboxes of 200 and a sick consumer cost the good ones: `python -m tests.benchmarks.fairness`.

`mailhaul up` hauls 200 mailboxes to a file and two webhooks. Mails arrive at the good mailboxes, one every 200 ms; a
mail's latency is the time from its arrival in the maildrop to the good webhook. The second run has 10 mailboxes on
servers that drip, hang, are locked or end each session, and one of the webhooks answers 500 to everything. It is to
be within 1.2 times the first run at the median, and within 2 at the 99th percentile.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ingest.demo.mails import sample
from ingest.demo.server import DemoServer
from tests.support.http import SECRET, Answer, Receiver, Request
from tests.support.service import Service, write_config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAILBOXES, BAD = 200, 10
MAILS, GAP = 200, 0.2
INTERVAL = "15s"
# Bad servers have an address of their own: limits of connections to an address are not what this is about.
BAD_HOST = "127.0.0.2"
WISHES = ((50, 1.2), (99, 2.0))


class _BadServer(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    kind = ""

    def __init__(self) -> None:
        super().__init__((BAD_HOST, 0), _Bad)
        self.stopped = Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients disconnect from such a server."""


class _Bad(StreamRequestHandler):
    server: _BadServer

    def handle(self) -> None:
        kind, stopped = self.server.kind, self.server.stopped
        if kind == "hanging":
            stopped.wait(120)
        elif kind == "dripping":
            for byte in b"+OK " + b"x" * 400:
                self.wfile.write(bytes([byte]))
                if stopped.wait(0.5):
                    return
        else:
            self._speak(locked=kind == "locked")

    def _speak(self, *, locked: bool) -> None:
        self.wfile.write(b"+OK\r\n")
        for line in self.rfile:
            command = line.split()[0].upper() if line.split() else b""
            if command == b"PASS" and locked:
                self.wfile.write(b"-ERR [IN-USE] maildrop is locked\r\n")
            elif command == b"STAT":
                self.wfile.write(b"+OK 3 3000\r\n")
            elif command in (b"UIDL", b"LIST"):
                value = "u" if command == b"UIDL" else "100"
                self.wfile.write(b"+OK\r\n" + b"".join(f"{n} {value}{n}\r\n".encode() for n in (1, 2, 3)) + b".\r\n")
            elif command in (b"RETR", b"TOP"):
                return  # poisoned: the session ends at each message
            elif command == b"CAPA":
                self.wfile.write(b"+OK\r\nUSER\r\nUIDL\r\n.\r\n")
            else:
                self.wfile.write(b"+OK\r\n")
                if command == b"QUIT":
                    return


@dataclass
class Arrivals:
    """When each mail was delivered, and when its event came, by Message-ID (seconds of the monotonic clock)."""

    sent: dict[str, float] = field(default_factory=dict)
    came: dict[str, float] = field(default_factory=dict)

    def record(self, request: Request) -> Answer:
        """Note an event at the good webhook."""
        message_id = json.loads(request.body)["data"]["headers"]["message_id"]
        self.came.setdefault(message_id, time.monotonic())
        return Answer()

    def latencies(self) -> list[float]:
        """Return the latencies in ascending order."""
        return sorted(self.came[message_id] - sent for message_id, sent in self.sent.items())


@contextmanager
def bad_servers() -> Iterator[list[int]]:
    """The ports of one server of each kind."""
    with ExitStack() as stack:
        ports = []
        for kind in ("dripping", "hanging", "locked", "poisoned"):
            server = stack.enter_context(_BadServer())
            server.kind = kind
            thread = Thread(target=server.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            stack.callback(server.stopped.set)
            ports.append(server.server_address[1])
        yield ports


def measure(*, bad: bool) -> list[float]:
    """Run the service, deliver the mails, and return their latencies in ascending order, in seconds."""
    arrivals = Arrivals()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailhaul-bench-")))
        users = [f"box-{number:03d}" for number in range(MAILBOXES)]
        for user in users:
            (folder / "drops" / user).mkdir(parents=True)
        server = stack.enter_context(DemoServer(folder / "drops", dict.fromkeys(users, "secret")))
        ports = stack.enter_context(bad_servers())
        good, other = stack.enter_context(Receiver()), stack.enter_context(Receiver())
        good.answer = arrivals.record
        other.answer = lambda _: Answer(500 if bad else 204)
        (folder / "password").write_text("secret")
        boxes = [_mailbox(user, "127.0.0.1", server.port, folder) for user in users]
        if bad:
            for number in range(BAD):
                boxes[number] = _mailbox(users[number], BAD_HOST, ports[number % len(ports)], folder)
        config = _config(folder, boxes, good, other)
        with Service(config, {"HOOK": SECRET}):
            _deliver(folder / "drops", users[BAD:], arrivals)
            eventually(lambda: len(arrivals.came) >= len(arrivals.sent), lambda: len(arrivals.came), timeout=120)
    return arrivals.latencies()


def _mailbox(user: str, host: str, port: int, folder: Path) -> dict[str, Any]:
    auth = {"type": "password", "username": user, "password": f"file:{folder / 'password'}"}
    return {"id": user, "host": host, "port": port, "tls": "none", "auth": auth}


def _config(folder: Path, boxes: list[dict[str, Any]], good: Receiver, other: Receiver) -> Path:
    hooks = [
        {"type": "webhook", "name": name, "url": receiver.url, "secret": "env:HOOK", "allow_private": True}
        for name, receiver in (("good", good), ("other", other))
    ]
    file = {"type": "jsonl", "path": str(folder / "events.jsonl")}
    return write_config(folder, boxes, sinks=[file, *hooks], defaults={"interval": INTERVAL})


def _deliver(drops: Path, users: Sequence[str], arrivals: Arrivals) -> None:
    """Put the mails into maildrops one by one, as soon as the service has polled everything once."""
    time.sleep(30)
    draw = random.Random(1)  # noqa: S311 - the same in each run
    for index in range(MAILS):
        user, message_id = draw.choice(users), f"<fair-{index}@example.org>"
        raw = f"Message-ID: {message_id}\r\n".encode() + _without_id(sample(index, user).raw)
        hidden = drops / user / f".{index}.tmp"
        hidden.write_bytes(raw)
        arrivals.sent[message_id] = time.monotonic()
        hidden.rename(drops / user / f"{index:04d}.eml")
        time.sleep(GAP)


def _without_id(raw: bytes) -> bytes:
    head, end, body = raw.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"message-id:")]
    return b"\r\n".join(lines) + end + body


def main() -> None:
    """Print both runs beside each other, and whether the targets are met."""
    alone, beside = measure(bad=False), measure(bad=True)
    table = Table(title=f"latency of {MAILS} mails in {MAILBOXES - BAD} good mailboxes, interval {INTERVAL}")
    for name in ("percentile", "all good (s)", f"{BAD} bad, one sink sick (s)", "ratio", "wanted"):
        table.add_column(name, justify="right")
    for percent, wanted in WISHES:
        before, after = (found[min(len(found) - 1, len(found) * percent // 100)] for found in (alone, beside))
        table.add_row(f"{percent}", f"{before:.2f}", f"{after:.2f}", f"{after / before:.2f}", f"{wanted:g}")
    Console().print(table)


if __name__ == "__main__":
    main()
