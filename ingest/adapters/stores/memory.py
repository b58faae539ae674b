"""The in-memory store: the same contract, for tests and experiments."""

from __future__ import annotations

import io
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from typing_extensions import override

from ingest.adapters.stores.transfer import measure, raise_exists, segments, transfer
from ingest.domain.record import ObjectRef
from ingest.errors import ObjectExistsError, ObjectMissingError, StoreRefusedError
from ingest.ports.store import Protected, Store, Stored, StoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Everything that `MemoryStore` keeps of one object."""

    ref: ObjectRef
    content: bytes
    content_type: str
    filename: str | None
    modified: float


class MemoryStore(Store):
    """A thread-safe `Store` that lives as long as the process.

    Attributes:
        objects: the stored objects by key; tests may inspect and remove them.
        fault: called with the operation (`put`, `get`, `stat`, `delete`, `erase`, `list`) and the key before anything
            is done. What it raises reaches the caller, so a test can make the store fail or wait.
        locks: by key, until when an object cannot be erased (seconds since 1970; None: under a legal hold).
    """

    def __init__(
        self,
        bucket: str = "memory",
        fault: Callable[[str, str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.bucket = bucket
        self._clock = clock
        self.fault = fault
        self.objects: dict[str, StoredObject] = {}
        self.locks: dict[str, float | None] = {}
        self._lock = threading.Lock()

    @override
    def put(
        self,
        key: str,
        body: BinaryIO,
        *,
        size: int,
        sha256: str,
        content_type: str,
        filename: str | None = None,
        only_if_absent: bool = False,
        compare: bool = True,
    ) -> ObjectRef:
        segments(key)
        self._begin("put", key)
        content = io.BytesIO()
        transfer(body, content.write, size=size, sha256=sha256)
        ref = ObjectRef(bucket=self.bucket, key=key, size=size, sha256=sha256)
        with self._lock:
            if only_if_absent and (found := self.objects.get(key)) is not None:
                if not compare:
                    raise ObjectExistsError("there is an object under this key already")
                size, sha256 = measure(io.BytesIO(found.content))
                raise_exists(
                    found.ref.model_copy(update={"size": size, "sha256": sha256}), size=ref.size, sha256=ref.sha256
                )
            self.objects[key] = StoredObject(ref, content.getvalue(), content_type, filename, self._clock())
        return ref

    @override
    @contextmanager
    def batch(self) -> Iterator[StoreWriter]:
        yield self

    @override
    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        segments(key)
        self._begin("get", key)
        found = self.objects.get(key)
        if found is None:
            raise ObjectMissingError("there is no object under this key")
        with io.BytesIO(found.content) as body:
            yield body

    @override
    @contextmanager
    def open_range(self, key: str, begin: int, end: int) -> Iterator[BinaryIO]:
        with self.open(key) as body:
            body.seek(begin)
            yield io.BytesIO(body.read(end - begin))

    @override
    def stat(self, key: str) -> ObjectRef | None:
        segments(key)
        self._begin("stat", key)
        found = self.objects.get(key)
        return found.ref if found else None

    @override
    def delete(self, key: str) -> None:
        segments(key)
        self._begin("delete", key)
        self.objects.pop(key, None)

    @override
    def erase(self, folder: str, keep: Collection[str] = ()) -> int:
        """There are no versions. `fault` is asked about the folder, then about each object."""
        segments(folder)
        self._begin("erase", folder)
        if any(found.key not in keep for found in self._protected(folder)):
            raise StoreRefusedError("an Object Lock or a legal hold protects an object")
        with self._lock:
            gone = [key for key in self.objects if key.startswith(f"{folder}/") and key not in keep]
        for key in sorted(gone):
            self._begin("erase", key)
            self.objects.pop(key, None)
        return len(gone)

    @override
    def stored(self, prefix: str) -> Iterator[Stored]:
        self._begin("list", prefix)
        with self._lock:
            found = [
                Stored(key, found.modified, found.ref.size)
                for key, found in self.objects.items()
                if key.startswith(prefix)
            ]
        yield from sorted(found, key=lambda stored: stored.key)

    @override
    def erase_versions(self, key: str) -> int:
        segments(key)
        self._begin("erase", key)
        return 0

    @override
    def protected(self, folder: str) -> Sequence[Protected]:
        segments(folder)
        self._begin("list", folder)
        return self._protected(folder)

    @override
    def describe_lock(self) -> str:
        return ""

    @override
    def set_legal_hold(self, folder: str, *, on: bool) -> int:
        segments(folder)
        return 0

    def _protected(self, folder: str) -> Sequence[Protected]:
        return [
            Protected(key, until)
            for key, until in self.locks.items()
            if key in self.objects and key.startswith(f"{folder}/") and (until is None or until > self._clock())
        ]

    @override
    def restorable_until(self, folder: str) -> float | None:
        segments(folder)
        return None

    def _begin(self, operation: str, key: str) -> None:
        if self.fault is not None:
            self.fault(operation, key)
