"""Throwaway Valkey servers, and the two ledgers that the contract suite runs on."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from redis import Redis
from redis.exceptions import RedisError

from ingest.adapters.ledger import connect
from ingest.adapters.ledger.connection import RedisConnection
from ingest.adapters.ledger.embedded import find_server
from ingest.adapters.ledger.incarnation import Incarnation
from ingest.testing import MemoryEventLog, MemoryLedger
from tests.support.servers import free_port
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.ports.eventlog import EventLog
    from ingest.ports.ledger import Ledger

# As an embedded ledger keeps its data; rewriting is off, so that what was written last is the end of one file.
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")


@dataclass
class Valkey:
    """A server on a loopback port, which it keeps over restarts; its data does not survive one unless `PERSISTENT`.

    Args:
        folder: for its log.
        options: further arguments for the server.
        program: another server that takes the same arguments.
        config: a file that it reads first, and may write to.
        environment: added to that of the tests.
    """

    folder: Path
    options: tuple[str, ...] = ()
    program: Path | None = None
    config: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "valkey-test.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program or find_server(), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self.environment},
            )
        eventually(self._answers, lambda: (self.folder / "valkey-test.log").read_text()[-2000:])

    def stop(self) -> None:
        """Stop it; does nothing if it is not running."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process = None

    def lose(self) -> None:
        """Kill the server, and start it without its data."""
        self.kill()
        self.start()

    def lose_last(self, seconds: float) -> None:
        """Kill the server, and start it without the last seconds of its data; requires `PERSISTENT`.

        The same happens when a machine dies before it wrote to its disk, or when a replica takes over.
        """
        (log,) = (self.folder / "appendonlydir").glob("*.incr.aof")
        kept = log.stat().st_size
        time.sleep(seconds)  # writes in this time are the ones that are lost
        self.kill()
        os.truncate(log, kept)
        self.start()

    def client(self) -> Redis:
        """Return a client for the tests; the caller closes it."""
        return Redis.from_url(self.url, protocol=2)

    def flush(self) -> None:
        """Delete all data and scripts."""
        with closing(self.client()) as client:
            client.flushall()
            client.script_flush()

    def _arguments(self) -> list[str]:
        given = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), *self.options]
        return ["--save", "", *given] if self.config is None else [str(self.config), *given]

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the server ended by itself"
        with closing(self.client()) as client, suppress(RedisError):
            return bool(client.ping())
        return False


class LedgerBench(Protocol):
    """A ledger under test with its event stream; a test can let time pass and lose its data."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def events(self) -> EventLog: ...

    def now(self) -> float:
        """The ledger's own clock, seconds since 1970."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let so many seconds of the ledger's time pass."""
        ...

    def lose(self) -> None:
        """Make the ledger forget everything."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class MemoryBench:
    """The in-memory twins, with a clock that only tests move."""

    def __init__(self) -> None:
        self._time = 1_790_000_000.0
        self.events = MemoryEventLog(self.now)
        self.ledger = MemoryLedger(self.now, self.events)

    def now(self) -> float:
        return self._time

    def pass_time(self, seconds: float) -> None:
        self._time += seconds

    def lose(self) -> None:
        self.pass_time(0.001)
        self.ledger.lose()

    def close(self) -> None:
        pass


class Emptied(Protocol):
    """A server, or a cluster of them, that a ledger is kept in."""

    @property
    def url(self) -> str: ...

    def client(self) -> Redis: ...

    def flush(self) -> None: ...


class ValkeyBench:
    """The Redis adapter, on a server or a cluster that was emptied before."""

    def __init__(self, server: Emptied) -> None:
        self._server = server
        server.flush()
        self.ledger, self.events = connect(server.url)
        self._client = server.client()

    def now(self) -> float:
        second, microsecond = self._client.time()
        return float(second) + float(microsecond) / 1e6

    def pass_time(self, seconds: float) -> None:
        until = self.now() + seconds
        eventually(lambda: self.now() > until)

    def lose(self) -> None:
        self._server.flush()

    def close(self) -> None:
        """Close connections, and check that the scripts counted all that they wrote."""
        self._client.close()
        self.ledger.close()
        with closing(RedisConnection(self._server.url)) as connection:
            assert Incarnation(connection).ask()[1] == [], "the counts disagree with what was written"
