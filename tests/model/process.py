"""Processes that can be stopped between any two of their requests, then continued or killed.

A process is a thread that runs only while the model waits for it, so that a run can be repeated exactly. It calls a
`Gate` before each request to a server, and stops there if the model wants it to.
"""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from ingest.testing import MemoryWorkSet

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Killed(BaseException):
    """The process was killed: everything that it still tries ends with this."""


class Process:
    """Work that may be stopped.

    Args:
        name: what it does, for messages.
        work: what it does.
    """

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self.name = name
        self._work = work
        self._requests_left: int | None = None
        self._killed = False
        self._continue, self._handed_back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._error: BaseException | None = None
        self.over = False
        self.excused: set[str] = set()  # messages that the store lost since this process asked for them

    def run(self, requests: int | None) -> bool:
        """Run until it ends, or until it has sent so many more requests; returns whether it ended.

        Raises:
            BaseException: what the work raised.
        """
        self._requests_left = requests
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._continue.release()
        self._handed_back.acquire()
        if self.over:
            self._thread.join()
            if self._error is not None and not isinstance(self._error, Killed):
                raise self._error
        return self.over

    def kill(self) -> None:
        """Kill it where it stands."""
        self._killed = True
        self.run(None)

    def request(self) -> None:
        """Note that a request is about to be sent; called in the thread of the process."""
        if self._killed:
            raise Killed
        if self._requests_left is None:
            return
        if self._requests_left == 0:
            self._handed_back.release()
            self._continue.acquire()
            self.request()
            return
        self._requests_left -= 1

    def _run(self) -> None:
        _RUNNING.process = self
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised in the model's thread
            self._error = error
        self.over = True
        self._handed_back.release()


_RUNNING = threading.local()


def running() -> Process | None:
    """Return the process whose thread this is; None in the thread of the model."""
    return getattr(_RUNNING, "process", None)


def gate() -> None:
    """Let the model stop the process that calls this."""
    process = running()
    if process is not None:
        process.request()


class Gated:
    """An object whose methods pass a gate first. Work sets, which are attributes, are gated as well."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if isinstance(found, MemoryWorkSet):
            return Gated(found)
        if not callable(found):
            return found

        def gated(*arguments: object, **named: object) -> object:
            gate()
            return found(*arguments, **named)

        return gated


def gated(inner: T) -> T:
    """Return an object that behaves like this one, and lets the model stop whoever calls it."""
    return cast("T", Gated(inner))


class SameThread(Executor):
    """Runs what is submitted at once, in the thread that submits it."""

    def submit(self, fn: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Run it; the future is done already."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - it is the future's
            future.set_exception(error)
        return future
