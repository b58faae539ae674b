"""Whether a process can do its work: all that it needs has answered once since it started. Served as `/readyz`.

A process that was ready once stays ready: if the store is unavailable later, every process waits and resumes by
itself, and taking all of them out at once would help nobody. What does not answer now is in the text of the page.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.errors import LedgerError, MailhaulError, StoreRefusedError
from ingest.ports.ledger import Severity
from ingest.usecases.store_probe import write_probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ingest.domain.keys import Layout
    from ingest.ports.ledger import LedgerConnection
    from ingest.ports.store import Store

log = get_logger()

# Seconds between two tries: of a part that has not answered yet, and of one that has.
RETRY_EVERY, LOOK_EVERY = 2.0, 30.0
_NOT_TRIED = "not_tried"


class Readiness:
    """Tries each part that a process needs. Safe to use from several threads.

    Args:
        parts: by name, what raises a `MailhaulError` while the part does not work.
    """

    def __init__(self, parts: Mapping[str, Callable[[], None]]) -> None:
        self._parts = dict(parts)
        self._lock = threading.Lock()
        self._answered: set[str] = set()
        self._problems: dict[str, str] = dict.fromkeys(self._parts, _NOT_TRIED)

    @property
    def ready(self) -> bool:
        """Whether every part has answered once."""
        return len(self._answered) == len(self._parts)

    def report(self) -> str:
        """Return one line: whether the process is ready, and which parts do not answer, each with its code."""
        with self._lock:
            wanting = self._problems if self.ready else _without(self._problems, self._answered)
            words = ", ".join(f"{part} ({code})" for part, code in wanting.items())
        if not self.ready:
            return f"not ready, never reached since the start: {words}"
        return f"ready; now unavailable: {words}" if words else "ready"

    def look(self, part: str) -> None:
        """Try one part, and log a change of its state."""
        try:
            self._parts[part]()
        except MailhaulError as error:
            self._note(part, error.code)
        except Exception as error:  # a probe that fails in an unknown way has not answered, and must go on
            log.exception("readiness.failed", part=part)
            self._note(part, type(error).__name__)
        else:
            self._note(part, None)

    def _note(self, part: str, code: str | None) -> None:
        with self._lock:
            was_ready, before = self.ready, self._problems.get(part)
            if code is None:
                self._answered.add(part)
                self._problems.pop(part, None)
            else:
                self._problems[part] = code
            became_ready = self.ready and not was_ready
        if code is not None and code != before:
            log.warning("part.unavailable", part=part, error=code)
        elif code is None and before not in (None, _NOT_TRIED):
            log.info("part.available", part=part)
        if became_ready:
            log.info("process.ready")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Try each part until the `with` block ends, in a thread of its own: one that hangs delays no other."""
        stopped = threading.Event()
        for part in self._parts:
            threading.Thread(target=self._watch, args=(part, stopped), name=f"readiness-{part}", daemon=True).start()
        try:
            yield
        finally:
            stopped.set()  # the threads are not waited for: one may be in a request that takes long

    def _watch(self, part: str, stopped: threading.Event) -> None:
        while not stopped.is_set():
            self.look(part)
            stopped.wait(LOOK_EVERY if part in self._answered else RETRY_EVERY)


def try_ledger(ledger: LedgerConnection) -> None:
    """Check that the ledger answers and can be written to.

    Raises:
        LedgerUnavailableError: it does not answer.
        LedgerError: it cannot be used now; the text says why.
    """
    found = [problem for problem in ledger.problems() if problem.severity is not Severity.WARNING]
    # Not because it is nearly full: what makes room in it has to start.
    if texts := [problem.text for problem in found if problem.code != "memory"]:
        raise LedgerError("; ".join(texts))


class StoreTrial:
    """Tries a store: writes and reads an object until that succeeded once, then only asks for one.

    The object is deleted again where the store allows it, which a running service does not need otherwise.
    """

    def __init__(self, store: Store, layout: Layout) -> None:
        self._store, self._layout = store, layout
        self._written = False

    def __call__(self) -> None:
        """Try it.

        Raises:
            StoreError: it does not answer, or refuses.
        """
        if self._written:
            self._store.stat(self._layout.probe("readiness"))
            return
        key = write_probe(self._store, self._layout)
        self._written = True
        with suppress(StoreRefusedError):
            self._store.delete(key)


def _without(problems: Mapping[str, str], parts: set[str]) -> dict[str, str]:
    return {part: code for part, code in problems.items() if part not in parts}
