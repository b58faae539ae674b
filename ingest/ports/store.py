"""The port to the object store, the system of record."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NotRequired, Protocol

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from typing_extensions import Unpack

    from ingest.domain.record import ObjectRef


@dataclass(frozen=True, slots=True)
class Protected:
    """An object, or an earlier version of one, that the store refuses to erase.

    Attributes:
        key: of the object.
        until: seconds since 1970; None if it is under a legal hold, which has no end.
    """

    key: str
    until: float | None


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in a listing. `modified` is seconds since 1970 by the store's clock, `size` is bytes."""

    key: str
    modified: float
    size: int


class NewObject(TypedDict):
    """What is said about an object that is to be stored.

    Attributes:
        size: bytes.
        sha256: hex; recorded with the object, and verified by stores that can.
        content_type: as detected from the bytes.
        filename: of an attachment, which is then served with `Content-Disposition: attachment`.
        only_if_absent: do not replace an existing object; false by default.
        compare: an existing object has to be the same; true by default. False for keys that do not follow from the
            content.
    """

    size: int
    sha256: str
    content_type: str
    filename: NotRequired[str | None]
    only_if_absent: NotRequired[bool]
    compare: NotRequired[bool]


class StoreWriter(Protocol):
    """Writes objects. After `put` returns, the object is durable; a failed `put` leaves no partial object.

    Every method raises `StoreUnavailableError` (no answer, or busy: worth a retry) or `StoreRefusedError` (no bucket,
    no permission, no space).

    Attributes:
        bucket: the value of `ObjectRef.bucket` for objects of this store.
    """

    bucket: str

    def put(self, key: str, body: BinaryIO, **about: Unpack[NewObject]) -> ObjectRef:
        """Write one object: the body from its current position to its end.

        Args:
            key: slash-separated; no empty, `.` or `..` segment.
            body: the bytes, whose size and hash the caller has computed.
            **about: as `NewObject` describes.

        Raises:
            ObjectExistsError: `only_if_absent`, and the same bytes exist already (any, without `compare`).
            StoreCorruptError: `only_if_absent` and `compare`, and an object of another size or hash is there, which
                stays as it is.
        """
        ...

    @contextmanager
    def batch(self) -> Iterator[StoreWriter]:
        """Return a writer for several objects, which become durable at the end of the context at the latest.

        That is cheaper where each object alone would have to wait for a disk. If the context ends with an error,
        objects may or may not be there.
        """
        yield self


class StoreReader(Protocol):
    """Reads objects; attributes and errors as for `StoreWriter`."""

    bucket: str

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Open an object for sequential reading.

        Raises:
            ObjectMissingError: there is no object with this key.
        """
        ...

    def open_range(self, key: str, begin: int, end: int) -> AbstractContextManager[BinaryIO]:
        """Open a part of an object for sequential reading; the store is asked for no more than that.

        Args:
            key: of the object.
            begin: the first byte, counted from 0.
            end: the byte after the last one, more than `begin`. What lies beyond the object's end is left out.

        Raises:
            ObjectMissingError: there is no object with this key.
        """
        ...

    def stat(self, key: str) -> ObjectRef | None:
        """The reference of an object, or None if there is none."""
        ...

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Every object whose key begins with `prefix`, in byte order of the keys."""
        ...


class StoreEraser(Protocol):
    """Removes objects, as far as locks and legal holds allow; errors as for `StoreWriter`."""

    def delete(self, key: str) -> None:
        """Delete an object, if there is one. A running service deletes only its probes."""
        ...

    def erase(self, folder: str, keep: Collection[str] = ()) -> int:
        """Delete everything below a folder permanently: every object and its earlier versions.

        It may be repeated after an interruption.

        Args:
            folder: the prefix of the keys, without the final slash.
            keep: keys of objects that stay; their earlier versions are deleted.

        Returns:
            How many objects and earlier versions were deleted.

        Raises:
            StoreRefusedError: also if a lock or a legal hold protects an object, which then stays.
        """
        ...

    def erase_versions(self, key: str) -> int:
        """Delete the earlier versions of one object permanently, and return how many there were; the latest stays.

        Raises:
            StoreRefusedError: also if a lock or a legal hold protects a version, which then stays.
        """
        ...

    def protected(self, folder: str) -> Sequence[Protected]:  # noqa: ARG002 - most stores cannot say
        """Return what cannot be erased now below a folder. A store that cannot say returns nothing, and may refuse.

        Args:
            folder: the prefix of the keys, without the final slash.

        Raises:
            StoreRefusedError: also if objects may be locked, and the store does not let us know.
        """
        return ()

    def describe_lock(self) -> str:
        """Return how the store locks objects, for a person; empty if it does not.

        Raises:
            StoreRefusedError: a lock is configured that the store does not have.
        """
        return ""

    def set_legal_hold(self, folder: str, *, on: bool) -> int:  # noqa: ARG002 - as above
        """Put the store's own legal hold on everything below a folder, or remove it, where locks are configured.

        Args:
            folder: the prefix of the keys, without the final slash.
            on: whether to put it on.

        Returns:
            On how many objects, earlier versions included; 0 where no locks are configured.
        """
        return 0

    def restorable_until(self, folder: str) -> float | None:  # noqa: ARG002 - most stores keep nothing
        """Return until when something erased below a folder can be restored, where the store keeps it for a while.

        Args:
            folder: the prefix of the keys, without the final slash.

        Returns:
            Seconds since 1970; None if nothing can be restored.

        Raises:
            StoreRefusedError: also if the store does not let us know.
        """
        return None


class ReadWriteStore(StoreReader, StoreWriter, Protocol):
    """A store from which nothing is removed."""


class Store(ReadWriteStore, StoreEraser, Protocol):
    """Objects by key, in a bucket, a folder or memory."""
