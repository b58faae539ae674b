"""A store wrapper that counts and times every request."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import TYPE_CHECKING, BinaryIO, Self

from typing_extensions import override

from ingest.errors import ObjectExistsError, ObjectMissingError, StoreCorruptError, StoreError, StoreRefusedError
from ingest.ports.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Unpack

    from ingest.domain.record import ObjectRef
    from ingest.metrics import Metrics
    from ingest.ports.store import NewObject, Protected, Stored, StoreWriter


class MeteredStore(Store):
    """Passes every call on to another store and counts it by operation and result.

    A `get` is timed until its first byte can be read, because how fast the caller reads is up to the caller, and
    counted when it is closed, because it may still fail in between. A `list` is timed and counted as a whole.
    """

    def __init__(self, inner: Store, metrics: Metrics) -> None:
        self._inner = inner
        self._writer: StoreWriter = inner  # or that of a batch
        self._metrics = metrics
        self.bucket = inner.bucket

    @override
    def put(self, key: str, body: BinaryIO, **about: Unpack[NewObject]) -> ObjectRef:
        begun, result = time.perf_counter(), "ok"  # not by `_Measured`: this is called for each part of each mail
        try:
            return self._writer.put(key, body, **about)
        except StoreError as error:
            result = _result(error)
            raise
        finally:
            self._metrics.count("store_requests_total", "put", result)
            self._metrics.observe("store_request_duration_seconds", time.perf_counter() - begun, "put", result)

    @override
    @contextmanager
    def batch(self) -> Iterator[StoreWriter]:
        """What goes wrong at its end counts as a put that failed."""
        with ExitStack() as stack:
            writer = stack.enter_context(self._writer.batch())
            if writer is self._writer:  # as where each object is durable at once
                yield self
                return
            metered = copy(self)
            metered._writer = writer  # noqa: SLF001 - its own copy
            yield metered
            try:
                stack.close()
            except StoreError as error:
                self._metrics.count("store_requests_total", "put", _result(error))
                raise

    @override
    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        with self._measured("get") as measured, self._inner.open(key) as body:
            measured.stop()
            yield body

    @override
    @contextmanager
    def open_range(self, key: str, begin: int, end: int) -> Iterator[BinaryIO]:
        with self._measured("get") as measured, self._inner.open_range(key, begin, end) as body:
            measured.stop()
            yield body

    @override
    def stat(self, key: str) -> ObjectRef | None:
        """Nothing there counts as missing."""
        with self._measured("stat") as measured:
            found = self._inner.stat(key)
            measured.result = "ok" if found else "missing"
            return found

    @override
    def delete(self, key: str) -> None:
        with self._measured("delete"):
            self._inner.delete(key)

    @override
    def erase(self, folder: str, keep: Collection[str] = ()) -> int:
        """Counted as a whole."""
        with self._measured("erase"):
            return self._inner.erase(folder, keep)

    @override
    def erase_versions(self, key: str) -> int:
        """Counted as a whole."""
        with self._measured("erase"):
            return self._inner.erase_versions(key)

    @override
    def protected(self, folder: str) -> Sequence[Protected]:
        """Counted as a listing."""
        with self._measured("list"):
            return self._inner.protected(folder)

    @override
    def describe_lock(self) -> str:
        """Counted as a stat."""
        with self._measured("stat"):
            return self._inner.describe_lock()

    @override
    def set_legal_hold(self, folder: str, *, on: bool) -> int:
        """Counted as a put."""
        with self._measured("put"):
            return self._inner.set_legal_hold(folder, on=on)

    @override
    def restorable_until(self, folder: str) -> float | None:
        """Counted as a listing."""
        with self._measured("list"):
            return self._inner.restorable_until(folder)

    @override
    def stored(self, prefix: str) -> Iterator[Stored]:
        with self._measured("list"):
            yield from self._inner.stored(prefix)

    def _measured(self, operation: str) -> _Measured:
        return _Measured(self._metrics, operation)


class _Measured:
    """One request in progress; counted at the end of the `with` block."""

    __slots__ = ("_begun", "_metrics", "_operation", "result", "seconds")

    def __init__(self, metrics: Metrics, operation: str) -> None:
        self.result = "ok"
        self.seconds: float | None = None
        self._metrics, self._operation = metrics, operation
        self._begun = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        result = _result(error) if isinstance(error, StoreError) else self.result
        self._metrics.count("store_requests_total", self._operation, result)
        self._metrics.observe("store_request_duration_seconds", self.seconds or 0, self._operation, result)

    def stop(self) -> None:
        """Stop the clock; later calls have no effect."""
        if self.seconds is None:
            self.seconds = time.perf_counter() - self._begun


def _result(error: StoreError) -> str:
    match error:
        case ObjectExistsError():
            return "exists"
        case ObjectMissingError():
            return "missing"
        case StoreCorruptError():
            return "corrupt"
        case StoreRefusedError():
            return "refused"
        case _:
            return "unavailable"
