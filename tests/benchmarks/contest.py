"""Several programs that do the same work on the same mails, each in a process of its own, and what each took."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.pop3_measure import IN_MEMORY, Figure, measure
from tests.benchmarks.processes import cpu_of
from tests.support.s3 import REGION, Account, S3Server
from tests.support.service import write_config
from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.dovecot import Dovecot

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
        """Return the medians of several runs; arguments as for `run`."""
        with self._delivered(mails) as model:
            figures = [self._run(command, store, model, len(mails)) for _ in range(runs)]
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
        with self._delivered(mails) as model:
            return self._run(command, store, model, len(mails))

    @contextmanager
    def _delivered(self, mails: Sequence[bytes]) -> Iterator[str]:
        """Deliver the mails to a maildrop, whose user is returned, for the maildrops of all runs to link to."""
        with self._user() as model:
            for mail in mails:
                self.dovecot.deliver(model, mail)
            yield model

    @contextmanager
    def _user(self) -> Iterator[str]:
        user = f"box-{next(_numbers)}"
        self.dovecot.add_user(user, PASSWORD.decode())
        try:
            yield user
        finally:
            self.dovecot.remove_user(user)

    @contextmanager
    def _bucket(self, name: str) -> Iterator[str]:
        self.s3.make_bucket(name)
        try:
            yield name
        finally:
            self.s3.drop_bucket(name)

    def _run(self, command: Callable[[Place], list[str]], store: str, model: str, messages: int) -> Figure:
        with ExitStack() as stack:
            user = stack.enter_context(self._user())
            self.dovecot.deliver_same(user, model)
            bucket = stack.enter_context(self._bucket(user)) if store == "s3" else ""
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{user}-", dir=self.folder))
            ledger = stack.enter_context(Valkey(Path(name)))
            assert ledger.process is not None
            place = Place(
                *(user, messages, self.pop3_port, self.dovecot.ca_file, Path(name), ledger.url),
                *(self.endpoint, bucket, self.s3.owner),
            )
            before = cpu_of(ledger.process.pid)
            figure = self._measure(command(place))
            spent = cpu_of(ledger.process.pid) - before
            arrived = len(place.events.read_bytes().splitlines()) if place.events.exists() else 0
        log = (self.folder / "output.log").read_text("utf-8", "replace")[-2000:]
        assert not figure.note, f"{figure.note}\n{log}"
        assert arrived == messages, f"{arrived} of {messages} events arrived\n{log}"
        return Figure(figure.wall, figure.cpu + spent, figure.mib)

    def _measure(self, command: list[str]) -> Figure:
        with (self.folder / "output.log").open("wb") as log:
            # Where Python may not keep bytecode, each start would compile the source anew.
            environment = {**os.environ, **self.s3.environment, "PYTHONDONTWRITEBYTECODE": ""}
            return measure(command, lambda words: subprocess.Popen(words, stdout=log, stderr=log, env=environment))


@contextmanager
def s3_in_memory() -> Iterator[S3Server]:
    """Run an S3 server whose objects are in memory where there is such a place: no disk of its is to be measured."""
    with tempfile.TemporaryDirectory(prefix="mailhaul-bench-", dir=IN_MEMORY) as name, S3Server(Path(name)) as s3:
        yield s3


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
