"""What a lost ledger costs: `python -m tests.benchmarks.recovery [MAILBOXES MESSAGES]`, 20 and 250 if left out.

The whole service, a real Dovecot and a Valkey that loses its last second, then all it knew in mid-run, then all again
when everything is done. Ends with a check: each message was published, under one id.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ingest.adapters.ledger import connect
from ingest.errors import LedgerUnavailableError
from tests.support.dovecot import running_dovecot
from tests.support.service import Service, write_config
from tests.support.valkey import PERSISTENT, Valkey
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.dovecot import Dovecot

MAILBOXES, MESSAGES = 20, 250
LONGEST = 7200.0
QUIET_SECONDS = 15.0
CAPTION = f"The last row ends when all is known again and no event came for {QUIET_SECONDS:.0f} s."


class Published:
    """The ids of events in a growing JSON Lines file; each call reads only the new lines."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0
        self.ids: dict[str, str] = {}
        self.entries = 0

    def count(self) -> int:
        """Return the number of distinct events."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._at += len(line)
                    self._take(line)
        return len(self.ids)

    def _take(self, line: bytes) -> None:
        self.entries += 1
        # Reading JSON would take longer than the service needs to write it.
        event, subject = line.split(b'"id":"', 1)[1][:64], line.split(b'"subject":"', 1)[1][:64]
        self.ids[event.partition(b'"')[0].decode()] = subject.partition(b'"')[0].decode()


@dataclass(frozen=True, slots=True)
class Loss:
    """A stretch of the run that began with a loss: what was lost, seconds to its end, new and repeated events."""

    name: str
    seconds: float
    new: int
    repeated: int


def rows(folder: Path, dovecot: Dovecot, mailboxes: int, messages: int) -> Iterator[Loss]:
    """Run the service through three losses."""
    boxes = [_mailbox(dovecot, number, messages) for number in range(mailboxes)]
    names, total = [box["id"] for box in boxes], mailboxes * messages
    published = Published(folder / "events.jsonl")
    with Valkey(folder, PERSISTENT) as valkey, closing(connect(valkey.url)[0]) as ledger:
        config = write_config(folder, boxes, ledger=valkey.url, defaults={"interval": "10s"})

        def rebuilt() -> bool:
            try:
                return ledger.unknown(names) == 0 and ledger.counts()["open"] == 0
            except LedgerUnavailableError:
                return False

        def losing(name: str, lose: Callable[[], object], done: Callable[[], bool]) -> Loss:
            before, entries, began = published.count(), published.entries, time.monotonic()
            lose()
            eventually(done, timeout=LONGEST)
            seconds = time.monotonic() - began
            new = published.count() - before
            return Loss(name, seconds, new, published.entries - entries - new)

        with Service(config, {"SECRET": "secret"}) as service:
            yield losing("nothing: the first third", lambda: None, lambda: published.count() >= total / 3)
            yield losing("its last second", lambda: valkey.lose_last(1.0), lambda: published.count() >= total * 2 / 3)
            yield losing("everything, two thirds done", valkey.lose, lambda: published.count() >= total)
            eventually(rebuilt, timeout=LONGEST)
            yield losing("everything, all done", valkey.lose, lambda: rebuilt() and _quiet(published))
            service.stop(within=60)
    assert published.count() == total == len(set(published.ids.values())), "each message is published, under one id"


def _quiet(published: Published) -> bool:
    """Return whether no event has arrived for a while."""
    published.count()
    entries = published.entries
    time.sleep(QUIET_SECONDS)
    published.count()
    return published.entries == entries


def _mailbox(dovecot: Dovecot, number: int, messages: int) -> dict[str, Any]:
    user = f"recovery-{number:03d}"
    dovecot.add_user(user, "secret")
    for index in range(messages):
        head = b"Subject: Invoice %d\r\nMessage-ID: <%d.%d@example.org>\r\n\r\n" % (index, number, index)
        dovecot.deliver(user, head + b"Please find our invoice below.\r\n" * 60)
    return {
        "id": user,
        "host": "127.0.0.1",
        "port": dovecot.pop3_port,
        "tls": "none",
        "auth": {"type": "password", "username": user, "password": "env:SECRET"},
    }


def main() -> None:
    """Run the benchmark and print the table."""
    given = [int(argument) for argument in sys.argv[1:]]
    mailboxes, messages = given or (MAILBOXES, MESSAGES)
    table = Table(title=f"{mailboxes} mailboxes with {messages} messages each", caption=CAPTION)
    for name in ("the ledger lost", "seconds", "new events", "repeated"):
        table.add_column(name, justify="right" if table.columns else "left")
    with tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as folder, running_dovecot() as dovecot:
        for loss in rows(Path(folder), dovecot, mailboxes, messages):
            table.add_row(loss.name, f"{loss.seconds:.0f}", f"{loss.new:,}", f"{loss.repeated:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
