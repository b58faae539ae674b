"""Process every open message and deliver every event in this process, for commands that do the whole work once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.admin.sinks import disabled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ingest.ports.claims import WorkSet
    from ingest.ports.ledger import Ledger
    from ingest.usecases.deliver.stage import RelayStage
    from ingest.usecases.process.stage import ProcessStage

PARALLEL_MESSAGES = 2
# Seconds between two looks whether another process still holds claims.
LOOK_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages behind fetching. Messages and sinks that have to wait for another try are left to a later run."""

    ledger: Ledger
    process: ProcessStage
    relay: RelayStage

    def process_all(self, stop: Callable[[], bool]) -> int:
        """Process open messages until none is due, here or in other processes; return how many were done here."""
        counts: list[int] = []
        while not stop():
            in_threads(lambda: counts.append(self.process.run(stop)), PARALLEL_MESSAGES)
            if not self.ledger.messages.backlog().due and not wait_for_others(self.ledger.messages):
                break
        return sum(counts)

    def deliver_all(self, sinks: Collection[str], stop: Callable[[], bool]) -> Counter[str]:
        """Deliver until no sink is due, here or in other processes; return how many events each got from here."""
        delivered = Counter(dict.fromkeys(sinks, 0))
        skipped = disabled(self.ledger.sinks, sinks)
        for sink in sinks:
            if sink not in skipped:
                self.ledger.sinks.run_now(sink)
        delivered.update(self.relay.run(stop))
        while not stop() and wait_for_others(self.ledger.sinks):
            delivered.update(self.relay.run(stop))
        return delivered


def wait_for_others(work: WorkSet, *, more: bool = False) -> bool:
    """Wait a little if another process holds claims, which expire if it died; returns whether it waited.

    Args:
        work: the work set of the claims.
        more: wait in any case.
    """
    held = more or work.backlog().claimed > 0
    if held:
        time.sleep(LOOK_EVERY)
    return held


def in_threads(work: Callable[[], object], count: int) -> None:
    """Run `work` in `count` threads and wait for all; raise the first error of any of them."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, see below
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
