"""The poller process of the mailboxes benchmark: its threads poll until no mailbox is due.

    python -m tests.benchmarks.mailboxes_poller CONFIG LEDGER THREADS

For each line on standard input it makes every mailbox due, polls them all, and prints a line of JSON. For the line
`claims` it claims and releases them without polling.
"""

from __future__ import annotations

import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.config import ConfigSource
from ingest.logs import configure
from ingest.metrics import Metrics
from ingest.testing.wakeups import MemoryWakeups
from ingest.usecases.claims import work_off
from ingest.wiring.build import build
from tests.support.bench import never

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.ports.claims import Claim
    from ingest.usecases.poll.stage import PollOutcome
    from ingest.wiring.runtime import Runtime


class Poller:
    """Poller as the product builds it, without Celery."""

    def __init__(self, runtime: Runtime, threads: int) -> None:
        self._runtime = runtime
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    def poll_all(self) -> dict[str, object]:
        """Poll every mailbox once."""
        results: dict[str, int] = {}
        stored = 0

        def listen(outcome: PollOutcome) -> None:
            nonlocal stored
            results[outcome.result] = results.get(outcome.result, 0) + 1
            stored += outcome.report.stored

        figures = self._timed(lambda: self._runtime.poll_stage.run(never, listen=listen))
        return {**figures, "results": results, "stored": stored}

    def claims(self) -> dict[str, object]:
        """Claim and release every mailbox once."""
        work = self._runtime.ledger.mailboxes

        def release(claim: Claim) -> None:
            work.release(claim, 60.0)

        return self._timed(lambda: work_off(work, release, lease=60.0, stop=never))

    def close(self) -> None:
        self._pool.shutdown()

    def _timed(self, work: Callable[[], int]) -> dict[str, object]:
        for id_ in self._runtime.mailboxes():
            self._runtime.ledger.mailboxes.run_now(id_)
        wall, cpu = time.perf_counter(), time.process_time()
        polled = sum(future.result() for future in [self._pool.submit(work) for _ in range(self._threads)])
        return {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "polled": polled,
            "threads": _status("Threads"),
            "mib": _status("VmHWM") / 1024,
        }


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    assert found is not None
    return int(found[1])


def main() -> None:
    """Run the commands on standard input until it ends."""
    configure("json", "warning", sys.stderr)
    config, ledger, threads = sys.argv[1:]
    runtime = build(ConfigSource(Path(config), {}), ledger, Metrics(), MemoryWakeups())
    poller = Poller(runtime, int(threads))
    runtime.ticker.tick(runtime.schedule())
    for line in sys.stdin:
        answer = poller.claims() if line.strip() == "claims" else poller.poll_all()
        print(json.dumps(answer), flush=True)
    poller.close()
    runtime.close()


if __name__ == "__main__":
    main()
