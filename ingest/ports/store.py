"""The seam to the object store, the system of record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager

    from ingest.domain.manifest import ObjectRef


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as a listing shows it. `modified`: seconds since 1970, by the store's clock; `size`: bytes."""

    key: str
    modified: float
    size: int


class Store(Protocol):
    """Whole objects under keys. A put that returned is durable; a put that failed left no partial object behind.

    Every method raises `StoreUnavailableError` (away or busy, worth trying again) or `StoreRefusedError` (no bucket,
    no permission, no space).
    """

    bucket: str
    """What `ObjectRef.bucket` says for objects of this store."""

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
    ) -> ObjectRef:
        """Write one object, from the body's current position to its end.

        Args:
            key: slash-separated; no empty, `.` or `..` segment.
            body: `size` bytes whose hex SHA-256 is `sha256`; both were computed by the caller.
            size: bytes.
            sha256: checked by the store where it can, recorded in any case.
            content_type: of the bytes, as detected.
            filename: given for attachments: they are served with `Content-Disposition: attachment`.
            only_if_absent: leave an object that exists under this key as it is.

        Raises:
            ObjectExistsError: `only_if_absent` and there is one.
        """
        ...

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """The bytes of an object, to be read in order and closed.

        Raises:
            ObjectMissingError: there is none.
        """
        ...

    def stat(self, key: str) -> ObjectRef | None:
        """What is known of an object, or None where there is none."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error when there is none. Only probes are ever deleted by a running service."""
        ...

    def erase(self, folder: str, keep: Collection[str] = ()) -> int:
        """Remove everything below a folder for good: every object, and whatever the store holds of earlier ones.

        May be repeated after it broke off; what is gone is not missed.

        Args:
            folder: what the keys begin with, without the slash at its end.
            keep: keys of objects that stay as they are now; versions before that go too.

        Returns:
            How many objects and earlier versions were removed.

        Raises:
            StoreRefusedError: as ever, and where the store holds on to something (a lock, a legal hold); what could
                not be removed is still there.
        """
        ...

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Every object whose key begins with `prefix`, in the order of their keys' bytes."""
        ...
