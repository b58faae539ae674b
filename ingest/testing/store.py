"""A store that loses, damages and invents: `MemoryStore` with the faults of real ones."""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from typing_extensions import override

from ingest.adapters.stores.memory import MemoryStore
from ingest.domain.record import ObjectRef
from ingest.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from ingest.ports.store import NewObject, Stored


class FaultyStore(MemoryStore):
    """A `MemoryStore` that breaks its promises.

    Attributes:
        forgets: `put` succeeds for these names (the last segment of a key) and stores nothing.
        forgotten: the keys for which that has happened.
        cuts: `open` returns the first half of what is stored.
        loses_answers: `put` stores the object and raises `StoreUnavailableError`.
        page: what every object is, for all that a caller can see, as behind a captive portal. Nothing is stored, and
            nothing can be listed.
    """

    forgets: frozenset[str] = frozenset()
    forgotten: frozenset[str] = frozenset()
    cuts: bool = False
    loses_answers: bool = False
    page: bytes | None = None

    @override
    def put(self, key: str, body: BinaryIO, **about: Unpack[NewObject]) -> ObjectRef:
        if self.page is not None or key.rpartition("/")[2] in self.forgets:
            self.forgotten |= {key}
            return ObjectRef(bucket=self.bucket, key=key, size=about["size"], sha256=about["sha256"])
        stored = super().put(key, body, **about)
        if self.loses_answers:
            raise StoreUnavailableError("the answer was lost")
        return stored

    @override
    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        if self.page is not None:
            yield io.BytesIO(self.page)
            return
        with super().open(key) as body:
            yield io.BytesIO(body.read(self.objects[key].ref.size // 2)) if self.cuts else body

    @override
    def stat(self, key: str) -> ObjectRef | None:
        if self.page is None:
            return super().stat(key)
        return ObjectRef(bucket=self.bucket, key=key, size=len(self.page), sha256="")

    @override
    def stored(self, prefix: str) -> Iterator[Stored]:
        if self.page is not None:  # S3Store.stored raises this for such a page, too
            raise StoreUnavailableError("the answer is not a listing")
        return super().stored(prefix)

    def alter(self, key: str, content: bytes) -> None:
        """Replace the bytes of an object behind everybody's back."""
        found = self.objects[key]
        digest = hashlib.sha256(content).hexdigest()
        ref = found.ref.model_copy(update={"size": len(content), "sha256": digest})
        self.objects[key] = replace(found, ref=ref, content=content)
