"""The demonstration's mail server by itself: `python -m ingest.demo --folder maildrops`.

For installations whose processes are spread over containers. All mailboxes have the password that the variable
MAILBOX_PASSWORD holds. Ends with SIGTERM or SIGINT.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from argparse import ArgumentParser
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ingest.demo.scene import DEMO_MAILBOXES, DRIP_EVERY, DRIPS, deliver_one, write_demo
from ingest.demo.server import DemoServer


def main(words: list[str] | None = None) -> None:
    """Serve until terminated, and deliver a new mail at intervals."""
    parser = ArgumentParser(prog="python -m ingest.demo", description="A POP3 server with made-up business mail.")
    parser.add_argument("--address", default="127.0.0.1", help="to serve on, perhaps for other containers")
    parser.add_argument("--port", type=int, default=1110)
    parser.add_argument("--folder", type=Path, required=True, help="where the mail lies")
    given = parser.parse_args(words)
    password = os.environ.get("MAILBOX_PASSWORD")
    if not password:
        parser.error("set MAILBOX_PASSWORD, which all its mailboxes have")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    passwords = {mailbox.user: password for mailbox in DEMO_MAILBOXES}
    server = DemoServer(given.folder, passwords, host=given.address, port=given.port, reachable=True)
    try:
        write_demo(given.folder, datetime.now(UTC))
        server.start()
    except OSError as error:
        sys.exit(f"{given.folder} cannot be served on {given.address}:{given.port}: {error.strerror}")
    try:
        _deliver(given.folder, ended)
    finally:
        server.stop()


def _deliver(folder: Path, ended: threading.Event) -> None:
    for count in range(DRIPS):
        if ended.wait(DRIP_EVERY):
            return
        with suppress(OSError):  # a disk that is full now; the next one may find room
            deliver_one(folder, count, datetime.now(UTC))
    ended.wait()


if __name__ == "__main__":
    main()
