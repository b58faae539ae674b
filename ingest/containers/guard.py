"""Run third-party parsers on hostile bytes in a separate process, so that a crash or hang affects nothing else.

A fresh interpreter instead of a fork: a worker has threads, connections and secrets that the child must not have.
Not `multiprocessing`, because Celery's prefork processes are daemonic and may not have children that way. Output
goes through a pipe, so the child needs no folder and may not write files.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from math import ceil
from typing import TYPE_CHECKING, Self

from ingest.containers import confined
from ingest.containers.stream import FileEnd
from ingest.errors import GuardError
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.containers.limits import ContainerLimits
    from ingest.containers.passwords import Passwords
    from ingest.containers.stream import FileEvent

_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # the interpreter may not start without them
_READ_BYTES = 65_536
_OVERHEAD = 2**20  # frames and names
_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,100}")
_PAUSE = 0.005


class Outcome(Enum):
    """How a guarded process ended."""

    DONE = "done"
    STOPPED = "stopped"  # exceeded its time, memory or output limit
    BROKEN = "broken"  # an exception or a crash caused by the file


_OUTCOMES = {confined.DONE: Outcome.DONE, confined.STOPPED: Outcome.STOPPED, confined.BROKEN: Outcome.BROKEN}
_DEFECTS: dict[Outcome, frozenset[Defect]] = {
    Outcome.DONE: frozenset(),
    Outcome.STOPPED: frozenset({Defect.CONTAINER_STOPPED}),
    Outcome.BROKEN: frozenset({Defect.CONTAINER_BROKEN}),
}
# Signals sent by resource limits and the out-of-memory killer; any other signal is a crash.
_STOPPING = frozenset({signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM})


@dataclass(frozen=True, slots=True)
class Confinement:
    """The limits of a guarded process."""

    cpu_seconds: float
    memory_bytes: int  # of address space
    seconds: float  # spent waiting for its output; time the caller spends on that output does not count
    output_bytes: int


class Guarded:
    """One guarded process. Use it in `with`, iterate over its frames, then read `outcome`.

    Leaving `with` kills the process and everything it started. It inherits no environment variables and no open file
    except the one to read.

    Args:
        module: run as a script; must call `confined.run`.
        file: descriptor of a complete regular file; its position is not changed.
        confinement: the limits.
        arguments: passed to the module.
        secret: at most 60 KiB that other processes must not see; the module gets the number of a descriptor to read
            it from as its last argument. Empty: it gets none.

    Attributes:
        outcome: how the process ended; STOPPED until known.
        waited: seconds spent waiting for its output.

    Raises:
        GuardError: the process cannot be started.
    """

    def __init__(
        self,
        module: str,
        file: int,
        confinement: Confinement,
        arguments: tuple[str, ...] = (),
        secret: bytes = b"",
    ) -> None:
        self._confinement = confinement
        self._bytes = 0
        self._buffer = bytearray()
        self._code: int | None = None
        self.outcome = Outcome.STOPPED
        self.waited = 0.0
        with _piped(secret) as inherited:
            self._process = _start(module, file, confinement, arguments, inherited)
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()

    @property
    def pid(self) -> int:
        """Return the id of the process, which is also that of its group."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Kill before reaping: until then the id cannot be reused. The process leads its own group and session.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield its frames as they arrive: a kind and at most 64 KiB of payload.

        Raises:
            GuardError: the process ended before its work began.
        """
        started = False
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while (frame := self._frame(selector)) is not None:
                kind, payload = frame
                if kind in _OUTCOMES:
                    self.outcome = _OUTCOMES[kind]
                    return
                if kind != confined.STARTED:
                    yield kind, payload
                started = True
        if not started and self._code is not None:
            raise GuardError(
                f"A guarded process ended with {self._code} before it began: is Mailhaul installed for "
                f"{sys.executable}, and is there enough memory?"
            )

    def _frame(self, selector: selectors.BaseSelector) -> tuple[int, bytes] | None:
        """Return the next frame; None at the end of the output, with `outcome` set."""
        header = self._take(confined.FRAME_HEADER, selector)
        if header is None:
            return None
        length = int.from_bytes(header[1:], "big")
        if length > confined.FRAME_BYTES:
            self.outcome = Outcome.BROKEN
            return None
        payload = self._take(length, selector)
        return None if payload is None else (header[0], payload)

    def _take(self, size: int, selector: selectors.BaseSelector) -> bytes | None:
        while len(self._buffer) < size:
            if not self._read(selector):
                return None
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _read(self, selector: selectors.BaseSelector) -> bool:
        began = time.monotonic()
        ready = selector.select(max(0.0, self._confinement.seconds - self.waited))
        self.waited += time.monotonic() - began
        if not ready:
            return False
        data = os.read(self._output, _READ_BYTES)
        if not data:
            self._note_end()
            return False
        self._buffer += data
        self._bytes += len(data)
        return self._bytes <= self._confinement.output_bytes

    def _note_end(self) -> None:
        """Set the outcome from the exit status after the output ended without an outcome frame."""
        began = time.monotonic()
        left = max(0.0, self._confinement.seconds - self.waited)
        # WNOWAIT leaves it unreaped, so that its id is not reused before its group is killed.
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        while (ended := os.waitid(os.P_PID, self._process.pid, flags)) is None and time.monotonic() < began + left:
            time.sleep(_PAUSE)
        self.waited += time.monotonic() - began
        if ended is None:
            return
        signalled = ended.si_code != os.CLD_EXITED
        self._code = -ended.si_status if signalled else ended.si_status
        self.outcome = Outcome.STOPPED if signalled and ended.si_status in _STOPPING else Outcome.BROKEN


@contextmanager
def _piped(secret: bytes) -> Iterator[tuple[int, ...]]:
    """Yield the descriptor of a pipe that holds a secret, which fits into it; none if there is no secret."""
    if not secret:
        yield ()
        return
    reading, writing = os.pipe()
    try:
        try:
            os.set_blocking(writing, False)
            os.write(writing, secret)
        finally:
            os.close(writing)
        yield (reading,)
    finally:
        os.close(reading)


def _start(
    module: str, file: int, confinement: Confinement, arguments: tuple[str, ...], inherited: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    limits = (str(ceil(confinement.cpu_seconds)), str(confinement.memory_bytes))
    try:
        # Isolated mode, no byte code written: neither the folder nor the environment can inject code.
        return subprocess.Popen(  # noqa: S603 - this interpreter, and a module of this package
            [sys.executable, "-I", "-B", "-m", module, *limits, *arguments, *map(str, inherited)],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            start_new_session=True,
            pass_fds=inherited,
            bufsize=0,
        )
    except OSError as error:
        raise GuardError(
            f"A guarded process cannot be started ({error.strerror}): check the limits on memory and processes"
        ) from error


class GuardedFiles(ABC):
    """The files in a container, read by a module in a guarded process. Iterate once.

    Nothing is raised because of the content.

    Args:
        module: sends the files as the frames of `ingest.containers.confined`; its arguments are the numbers of files
            and bytes that it may send.
        file: descriptor of a complete regular file with the container; its position is not changed.
        limits: of the process, and of the number of files and bytes.
        max_bytes: bytes that may still be extracted from the mail.
        seconds: time that is left for guarded processes of the mail.
        passwords: that the module may try.

    Attributes:
        defects: of the container.
        waited: seconds spent waiting for the process.
    """

    def __init__(
        self,
        module: str,
        file: int,
        limits: ContainerLimits,
        *,
        max_bytes: int,
        seconds: float,
        passwords: Passwords | None = None,
    ) -> None:
        self._module, self._file, self._files = module, file, limits.children
        self._passwords = passwords
        self._bytes = min(max_bytes, max(limits.ratio_free, limits.ratio * os.fstat(file).st_size))
        self._confinement = Confinement(
            cpu_seconds=limits.child_seconds,
            memory_bytes=limits.child_bytes,
            seconds=seconds,
            output_bytes=self._bytes + self._bytes // 64 + _OVERHEAD,
        )
        self.defects: set[Defect] = set()
        self.waited = 0.0

    def __iter__(self) -> Iterator[FileEvent]:
        """Yield the bytes of each file, then its end.

        Raises:
            GuardError: the process cannot be started.
        """
        unfinished = False
        arguments = str(self._files), str(self._bytes)
        secret = self._passwords.joined() if self._passwords is not None else b""
        with Guarded(self._module, self._file, self._confinement, arguments, secret) as child:
            for kind, payload in child:
                self.waited = child.waited
                if kind in (confined.BYTES, confined.END):
                    unfinished = kind == confined.BYTES
                    yield payload if unfinished else self._end(payload)
                else:
                    self._note(kind, payload)
            self.waited = child.waited
        defects = _DEFECTS[child.outcome]
        self.defects.update(defects)
        if unfinished:
            yield FileEnd(defects=defects)

    @abstractmethod
    def _end(self, payload: bytes) -> FileEnd:
        """Return what the module sent about the file that ends."""

    def _note(self, kind: int, _payload: bytes) -> None:
        """Handle any other frame."""
        self.defects.add(Defect.CONTAINER_LIMIT if kind == confined.LIMIT else Defect.CONTAINER_BROKEN)


def declared_type(text: str) -> str:
    """Return a media type as a container declares it, in lower case; `application/octet-stream` if it is none."""
    return text.lower() if _TYPE.fullmatch(text.lower()) else "application/octet-stream"
