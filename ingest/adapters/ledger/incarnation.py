"""Find out what the ledger has lost since its mailboxes were rebuilt: everything, the last second, or some keys."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.adapters.ledger.workset import RedisWorkSet
from ingest.ports.seen import UNSETTLED_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.adapters.ledger.connection import RedisConnection

log = get_logger()

# Seconds between two looks at the server's run id and the counts. The delivery watermark does not rely on it.
INCARNATION_SECONDS = 5.0
_REJECTED = b"rejected:"


class Incarnation:
    """The id of this incarnation of the data: another one after a crash, a failover, or the loss of a key.

    After a crash or a failover the server may have lost its last writes, of which its data shows nothing. A key that
    was evicted, or deleted by a person, shows because scripts count what they write. A user who may not ask for the
    server's run id notices only the latter.
    """

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._known: tuple[bytes, float] | None = None  # and when it was asked for
        # Whether everything that was lost shows in the data, as of when it was asked last: the server tells its run
        # id, and nothing was lost a short time ago.
        self.notices_losses = False

    def read(self, *, now: bool = False) -> bytes:
        """Return the id; asks the server only every few seconds, unless it is to be known for now."""
        with self._lock:
            known = self._known
        if known is not None and not now and time.monotonic() - known[1] < INCARNATION_SECONDS:
            return known[0]
        asked = time.monotonic()
        found, lost = self.ask()
        for part in lost:
            log.error("ledger.incomplete", part=part)
        with self._lock:
            self._known = found, asked
        return found

    def ask(self) -> tuple[bytes, list[str]]:
        """Return the id, and the kinds of keys that were lost since somebody asked for the last time."""
        info = self._connection.info("server")
        run = "" if info is None else str(info["run_id"])
        sinks = self._rejecting_sinks()
        names = self._connection.names
        messages = RedisWorkSet(self._connection, names.messages)
        keys = [
            names.incarnation,
            names.counts,
            names.rejecting_sinks,
            names.events,
            names.failed,
            names.open,
            names.open_since,
            *messages.keys,
        ]
        for sink in sinks:
            retrying = RedisWorkSet(self._connection, names.retrying(sink))
            keys += [names.rejected(sink), *retrying.keys, names.retrying_appended(sink)]
        found, lost, age = self._connection.run("incarnation", keys, (run, secrets.token_hex(8), *sinks))
        self.notices_losses = bool(run) and not (age and 0 <= int(age) < UNSETTLED_SECONDS * 1000)
        return bytes(found), [name.decode() for name in lost]

    def _rejecting_sinks(self) -> list[str]:
        """Return the sinks that have rejected events: two keys know them, either of which may be lost."""
        names = self._connection.names
        counted, members = self._connection.read(("HKEYS", names.counts), ("SMEMBERS", names.rejecting_sinks))
        return sorted({name.decode() for name in _sinks(counted) | set(members)})


def _sinks(fields: Collection[bytes]) -> set[bytes]:
    return {field.removeprefix(_REJECTED) for field in fields if field.startswith(_REJECTED)}
