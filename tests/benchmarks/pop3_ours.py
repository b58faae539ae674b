"""Our client in the POP3 benchmark: the sessions that a poll is made of, without store and ledger."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from ingest.domain.mailbox import Credentials, Mailbox, Server, Tls
from ingest.pop3 import Pop3Connector
from ingest.ports.maildrop import Fetched
from tests.benchmarks.pop3_child import HOST, PASSWORD, Target, main

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from ingest.pop3.session import Pop3Session
    from ingest.ports.maildrop import Writable


class Nothing:
    """A sink that discards messages."""

    def write(self, data: Buffer, /) -> int:
        return 0

    def close(self) -> None:
        pass


class Hashed(Nothing):
    """Throws bytes away once they are hashed."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def write(self, data: Buffer, /) -> int:
        self._digest.update(data)
        return 0


class Ours:
    """One connector for all sessions, as in a worker; `spool` makes what a message is written to."""

    def __init__(self, target: Target, spool: Callable[[Mailbox], Writable]) -> None:
        tls = Tls.IMPLICIT if target.ca else Tls.NONE
        self._mailbox = Mailbox("m", Server(HOST, target.port, tls, target.ca or None))
        self._credentials = Credentials(target.user, PASSWORD)
        self._spool = spool
        self._connect = Pop3Connector()

    def fetch(self) -> tuple[int, int]:
        drop = self._opened()
        count, size = 0, 0
        for one in drop.fetch(drop.listing().rows, lambda _: self._spool(self._mailbox)):
            assert isinstance(one, Fetched)
            one.spool.close()
            count += 1
            size += one.size
        assert drop.quit()
        return count, size

    def polls(self, times: int) -> int:
        rows = 0
        for _ in range(times):
            drop = self._opened()
            rows += len(drop.listing().rows)
            assert drop.quit()
        return rows

    def _opened(self) -> Pop3Session:
        return self._connect(self._mailbox, self._credentials, lambda _phase, _seconds: None, lambda _address: None)


def spooled(target: Target) -> Ours:
    """Return a client that writes messages to the spool of a poll."""
    from ingest.usecases.poll.archive import new_spool  # noqa: PLC0415 - the memory of what it imports is not the client's

    return Ours(target, new_spool)


if __name__ == "__main__":
    main(
        {
            "ours": partial(Ours, spool=lambda _: Nothing()),
            "ours-sha256": partial(Ours, spool=lambda _: Hashed()),
            "ours-spool": spooled,
        }
    )
