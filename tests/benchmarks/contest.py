"""Several programs that do the same work on the same mails, each in a process of its own, and what each took."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.pop3_measure import Figure, measure
from tests.benchmarks.processes import cpu_of
from tests.support.s3 import REGION, Account
from tests.support.service import write_config
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.dovecot import Dovecot
    from tests.support.s3 import S3Server

PASSWORD = b"secret"
_numbers = count()


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run finds the mails, and where it puts them.

    Attributes:
        user: of the maildrop.
        messages: how many there are in it.
        port: of the POP3 server, with implicit TLS, on localhost.
        ca: the certificate that signed the server's.
        folder: for the run; the events go into `events.jsonl` in it, one line for each mail.
        ledger: URL of an empty Redis or Valkey.
        endpoint: URL of the object store.
        bucket: an empty one in it; '' to store in the folder.
        account: of the object store.
    """

    user: str
    messages: int
    port: int
    ca: Path
    folder: Path
    ledger: str
    endpoint: str
    bucket: str
    account: Account

    @property
    def events(self) -> Path:
        """The file of the events."""
        return self.folder / "events.jsonl"


@dataclass(frozen=True, slots=True)
class Contest:
    """The servers of all runs. The ports are theirs, or those of proxies before them."""

    folder: Path
    dovecot: Dovecot
    s3: S3Server
    pop3_port: int
    endpoint: str

    def medians(self, command: Callable[[Place], list[str]], store: str, mails: Sequence[bytes], runs: int) -> Figure:
        """Return the medians of several runs."""
        figures = [self.run(command, store, mails) for _ in range(runs)]
        return Figure(
            wall=statistics.median(figure.wall for figure in figures),
            cpu=statistics.median(figure.cpu for figure in figures),
            mib=statistics.median(figure.mib for figure in figures),
        )

    def run(self, command: Callable[[Place], list[str]], store: str, mails: Sequence[bytes]) -> Figure:
        """Deliver the mails to a new maildrop and have a program fetch them; check that every event arrived.

        Args:
            command: returns the program's command line for a place.
            store: `s3` or `folder`.
            mails: what to deliver.

        Returns:
            CPU of the process, its children and the ledger; wall from start to end; peak memory of the process.
        """
        user = f"box-{next(_numbers)}"
        self.dovecot.add_user(user, PASSWORD.decode())
        for mail in mails:
            self.dovecot.deliver(user, mail)
        bucket = self.s3.make_bucket(user) if store == "s3" else ""
        with tempfile.TemporaryDirectory(prefix=f"{user}-", dir=self.folder) as name, Valkey(Path(name)) as ledger:
            assert ledger.process is not None
            place = Place(
                *(user, len(mails), self.pop3_port, self.dovecot.ca_file, Path(name), ledger.url),
                *(self.endpoint, bucket, self.s3.owner),
            )
            before = cpu_of(ledger.process.pid)
            figure = self._measure(command(place))
            spent = cpu_of(ledger.process.pid) - before
            arrived = len(place.events.read_bytes().splitlines()) if place.events.exists() else 0
        log = (self.folder / "output.log").read_text("utf-8", "replace")[-2000:]
        assert not figure.note, f"{figure.note}\n{log}"
        assert arrived == len(mails), f"{arrived} of {len(mails)} events arrived\n{log}"
        return Figure(figure.wall, figure.cpu + spent, figure.mib)

    def _measure(self, command: list[str]) -> Figure:
        with (self.folder / "output.log").open("wb") as log:
            # Where Python may not keep bytecode, each start would compile the source anew.
            environment = {**os.environ, **self.s3.environment, "PYTHONDONTWRITEBYTECODE": ""}
            return measure(command, lambda words: subprocess.Popen(words, stdout=log, stderr=log, env=environment))


def drain_command(place: Place) -> list[str]:
    """Return the command line of `mailhaul drain`, after writing its configuration."""
    (place.folder / "password").write_bytes(PASSWORD)
    mailbox: dict[str, Any] = {
        "id": place.user,
        "host": "localhost",
        "port": place.port,
        "tls": "implicit",
        "ca": str(place.ca),
        "auth": {"type": "password", "username": place.user, "password": f"file:{place.folder / 'password'}"},
    }
    sections: dict[str, Any] = {}
    if place.bucket:
        where = {"endpoint": place.endpoint, "region": REGION, "path_style": True}
        sections["store"] = {"url": f"s3://{place.bucket}/haul", **where}
    config = write_config(place.folder, [mailbox], ledger=place.ledger, **sections)
    return [sys.executable, "-m", "ingest.cli", "drain", "--config", str(config)]
