"""What the clients of the POP3 benchmark that are made of Python share; each runs as a process of its own.

    python -m tests.benchmarks.pop3_ours CLIENT PORT CA USER POLLS

`CA` is a PEM file, empty where there is no TLS. With `POLLS` 0 all that is in the maildrop is fetched and kept there;
else an empty one is polled so many times, as a process does that goes on running.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOST = "127.0.0.1"
PASSWORD = "secret"


@dataclass(frozen=True, slots=True)
class Target:
    """The server to connect to; `ca` is empty without TLS."""

    port: int
    ca: str
    user: str


class Client(Protocol):
    """A client that fetches and polls."""

    def fetch(self) -> tuple[int, int]:
        """Fetch everything, keep it on the server; returns the number of messages and their bytes."""
        ...

    def polls(self, times: int) -> int:
        """Poll this many times; return how many messages were listed in total."""
        ...


def main(clients: Mapping[str, Callable[[Target], Client]]) -> None:
    """Run a client and print one line of JSON. Imports are not measured: they are done by now."""
    name, port, ca, user, polls = sys.argv[1:]
    wall, cpu = time.perf_counter(), time.process_time()
    client = clients[name](Target(int(port), ca, user))
    messages, size = (client.polls(int(polls)), 0) if int(polls) else client.fetch()
    figures = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"messages": messages, "bytes": size, "before": cpu, **figures}))
