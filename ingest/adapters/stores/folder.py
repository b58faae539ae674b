"""Objects as files in a folder: `file:///dir`.

An object is written under a temporary name in the same folder, synced, then renamed. A crash at any moment leaves at
most a file whose name begins with `.tmp-`, which is never listed and may be deleted at any time.

A put ends when the file is synced and its name is durable. A batch syncs each folder once, at its end.

Content type and file name are not kept; the manifest has them. Paths are strings here: making objects of them would
cost as much as the calls of the operating system.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from typing_extensions import override

from ingest.adapters.stores.folder_sync import DurableNames, parent, synchronise
from ingest.adapters.stores.transfer import Slice, guarded, measure, raise_exists, segments, transfer
from ingest.domain.record import ObjectRef
from ingest.errors import (
    ObjectExistsError,
    ObjectMissingError,
    StoreRefusedError,
    StoreUnavailableError,
)
from ingest.ports.store import Store, Stored, StoreWriter
from ingest.ports.translation import Translation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from io import FileIO
    from pathlib import Path

    from typing_extensions import Unpack

    from ingest.errors import StoreError
    from ingest.ports.store import NewObject

TEMPORARY = ".tmp-"
# The limit of nearly every file system; checking it here gives a clearer error than the operating system's.
NAME_BYTES = 255
_FILE_MODE, _FOLDER_MODE = 0o600, 0o700
_NO_PLACE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

# Errors that a person has to fix. Everything else (EIO, ESTALE, EMFILE, ...) is worth retrying.
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free or add space",
    errno.EDQUOT: "the disk quota is used up: free space or raise the quota",
    errno.EFBIG: "the file would be larger than allowed here: raise the limit (ulimit -f) or use another file system",
    errno.EROFS: "the file system is read-only: mount it for writing",
    errno.EACCES: "permission denied: let the service's user read and write this folder",
    errno.EPERM: "not permitted: let the service's user write here, on a file system with hard links",
    errno.EOPNOTSUPP: "the file system has no hard links: use another one",
    errno.ENOTDIR: "a file is where a folder should be: move it away, or choose another folder",
    errno.EISDIR: "a folder is where an object should be: move it away, or choose another folder",
    errno.ENAMETOOLONG: "the path is too long: choose a folder with a shorter path",
    errno.ELOOP: "symbolic links form a loop: fix them, or choose another folder",
}


class FolderStore(Store):
    """A `Store` of files. Files get mode 0600 and folders 0700 (less the umask), because they hold private mail.

    `stat` reads the object to compute its SHA-256: it is called rarely, and then the real bytes are wanted.

    Args:
        root: absolute path. It is created with the first object, but its parent is not: that detects a volume that
            is not mounted, if the root is a folder on it.
    """

    def __init__(self, root: Path) -> None:
        self.bucket = root.as_uri()
        self._root = str(root)
        self._names = DurableNames(self._root)
        self._device: int | None = None  # that the root was on

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
        path = self._path(key)
        folder = parent(path)
        with _translated():
            try:
                if only_if_absent and os.path.exists(path):
                    raise FileExistsError  # noqa: TRY301 - as the link would
                self._place(path, body, size, sha256, replace=not only_if_absent)
            except FileExistsError:
                # Its writer may not have synced yet, and the caller relies on it.
                self._names.make_durable([folder])
                if not compare:
                    raise ObjectExistsError("there is an object under this key already") from None
                raise_exists(self.stat(key), size=size, sha256=sha256)
            self._names.make_durable([folder])
        return ObjectRef(bucket=self.bucket, key=key, size=size, sha256=sha256)

    @override
    @contextmanager
    def batch(self) -> Iterator[StoreWriter]:
        batch = FolderBatch(self)
        yield batch
        with _translated():
            self._names.make_durable(batch.folders)

    def put_in_batch(self, key: str, body: BinaryIO, size: int, sha256: str) -> str:
        """Write an object whose name need not be durable yet; return its folder."""
        path = self._path(key)
        with _translated():
            self._place(path, body, size, sha256, replace=True)
        return parent(path)

    def _place(self, path: str, body: BinaryIO, size: int, sha256: str, *, replace: bool) -> None:
        """Write a file whose bytes are durable, and whose name is not yet.

        Raises:
            FileExistsError: there is one, and it is not to be replaced.
        """
        descriptor, temporary = self._create(parent(path))
        try:
            _fill(descriptor, body, size, sha256)
            if replace:
                os.rename(temporary, path)
            else:
                os.link(temporary, path)
                os.unlink(temporary)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    @override
    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        with self._opened(key) as file:
            yield guarded(file, _translated)

    @override
    @contextmanager
    def open_range(self, key: str, begin: int, end: int) -> Iterator[BinaryIO]:
        with self._opened(key) as file:
            with _translated():
                file.seek(begin)
            yield guarded(Slice(file, 0, end - begin), _translated)

    @override
    def stat(self, key: str) -> ObjectRef | None:
        file = self._open(key)
        if file is None:
            return None
        with guarded(file, _translated) as body:
            size, sha256 = measure(body)
        return ObjectRef(bucket=self.bucket, key=key, size=size, sha256=sha256)

    @override
    def delete(self, key: str) -> None:
        path = self._path(key)
        with _translated():
            try:
                os.unlink(path)
            except _NO_PLACE:
                self._require_root()

    @override
    def erase(self, folder: str, keep: Collection[str] = ()) -> int:
        """Temporary files left by a crash and emptied folders are removed too."""
        path, kept = self._path(folder), {self._path(key) for key in keep}
        with _translated():
            if not os.path.isdir(path):
                self._require_root()
            return _erase(path, kept)

    @override
    def erase_versions(self, key: str) -> int:
        self._path(key)
        return 0  # there are none

    @override
    def stored(self, prefix: str) -> Iterator[Stored]:
        folder, _, start = prefix.rpartition("/")
        try:
            path = self._path(folder) if folder else self._root
        except StoreRefusedError:
            return  # no object has such a key
        if prefix.startswith("/"):
            return
        with _translated():
            yield from self._walk(path, f"{folder}/" if folder else "", start)

    def _path(self, key: str) -> str:
        parts = segments(key)
        for part in parts:
            if len(part.encode()) > NAME_BYTES:
                raise StoreRefusedError(f"in a folder a segment of an object's key may have {NAME_BYTES} bytes")
            if part.startswith(TEMPORARY):
                raise StoreRefusedError(f"in a folder no segment of an object's key may begin with {TEMPORARY}")
        return f"{self._root}/{key}"

    def _create(self, folder: str) -> tuple[int, str]:
        """Create a file under a temporary name; return its descriptor and path."""
        temporary = f"{folder}/{TEMPORARY}{secrets.token_hex(12)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(temporary, flags, _FILE_MODE)
        except FileNotFoundError:
            self._make(folder)
            descriptor = os.open(temporary, flags, _FILE_MODE)
        if self._device is None:
            self._require_root()
        return descriptor, temporary

    def _make(self, folder: str) -> None:
        """Create a folder, and those above it, where they are missing."""
        self._require_root()
        if folder != self._root and not os.path.isdir(parent(folder)):
            self._make(parent(folder))
        with suppress(FileExistsError):
            os.mkdir(folder, _FOLDER_MODE)
            self._names.forget(folder)  # if it was, another process has removed it since
            if folder == self._root:
                self._make_root_durable()

    def _make_root_durable(self) -> None:
        try:
            synchronise(parent(self._root))
        except OSError:
            with suppress(OSError):
                os.rmdir(self._root)  # who makes it again tries again; a root that is there is not asked about
            raise

    def _require_root(self) -> None:
        """Distinguish an empty store from one that is not mounted, or not any more."""
        root = _device(self._root)
        device = _device(parent(self._root)) if root is None else root
        if device is None:
            raise StoreRefusedError("the store's folder and its parent do not exist: make them, or mount the volume")
        # A volume that was mounted again may be another device; then it holds something.
        if self._device not in {None, device} and (root is None or not os.listdir(self._root)):
            raise StoreRefusedError(
                "the volume of the store's folder is not mounted any more: mount it, or restart if it is another one"
            )
        if root is not None:
            self._device = root

    @contextmanager
    def _opened(self, key: str) -> Iterator[FileIO]:
        file = self._open(key)
        if file is None:
            raise ObjectMissingError("there is no object under this key")
        with file:
            yield file

    def _open(self, key: str) -> FileIO | None:
        path = self._path(key)
        with _translated():
            if self._device is None:
                self._require_root()
            try:
                return open(path, "rb", buffering=0)
            except _NO_PLACE:
                self._require_root()
                return None

    def _walk(self, path: str, base: str, start: str) -> Iterator[Stored]:
        """Yield the objects below a folder whose next segment begins with `start`."""
        try:
            with os.scandir(path) as entries:
                # With the slash, `a-b` sorts before `a/b`, as the whole keys do.
                found = {
                    f"{entry.name}/" if entry.is_dir() else entry.name: entry
                    for entry in entries
                    if entry.name.startswith(start) and not entry.name.startswith(TEMPORARY)
                }
        except _NO_PLACE:
            found = {}
        if not found:
            self._require_root()
        for name in sorted(found):
            if name.endswith("/"):
                yield from self._walk(f"{path}/{name[:-1]}", base + name, "")
                continue
            with suppress(FileNotFoundError):  # deleted since
                status = found[name].stat()
                yield Stored(base + name, status.st_mtime, status.st_size)


class FolderBatch(StoreWriter):
    """Writes objects whose folders are synced at the end of the batch. Shared by the threads that write.

    Attributes:
        folders: to sync.
    """

    def __init__(self, store: FolderStore) -> None:
        self.bucket = store.bucket
        self.folders: set[str] = set()
        self._store = store

    @override
    def put(self, key: str, body: BinaryIO, **about: Unpack[NewObject]) -> ObjectRef:
        if about.get("only_if_absent"):
            return self._store.put(key, body, **about)
        size, sha256 = about["size"], about["sha256"]
        self.folders.add(self._store.put_in_batch(key, body, size, sha256))
        return ObjectRef(bucket=self.bucket, key=key, size=size, sha256=sha256)


def _device(folder: str) -> int | None:
    """Return the device that a folder is on; None if there is no such folder."""
    try:
        status = os.stat(folder)
    except _NO_PLACE:
        return None
    return status.st_dev if stat.S_ISDIR(status.st_mode) else None


def _erase(folder: str, kept: Collection[str]) -> int:
    """Remove the files below a folder and its empty folders, durably; return the number of objects."""
    removed = 0
    try:
        with os.scandir(folder) as entries:
            found = [(f"{folder}/{entry.name}", entry.is_dir(follow_symlinks=False)) for entry in entries]
    except _NO_PLACE:
        return 0
    for path, is_folder in found:
        if is_folder:
            removed += _erase(path, kept)
            _remove_if_empty(path)
        elif path not in kept:
            with suppress(FileNotFoundError):
                os.unlink(path)
            removed += not path.rpartition("/")[2].startswith(TEMPORARY)
    # Even if nothing was found: the process that removed it may have died before syncing.
    synchronise(folder)
    return removed


def _remove_if_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _fill(descriptor: int, body: BinaryIO, size: int, sha256: str) -> None:
    """Write all bytes, make them durable, close."""

    def write(chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    try:
        transfer(body, write, size=size, sha256=sha256)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _translated(Translation):  # noqa: N801 - used like a function
    """Translate errors of the file system."""

    __slots__ = ()

    @override
    def translate(self, error: BaseException) -> StoreError | None:
        if not isinstance(error, OSError):
            return None
        if remedy := _REMEDIES.get(error.errno or 0):
            return StoreRefusedError(f"the store's folder cannot be used: {remedy}")
        return StoreUnavailableError(f"the store's folder failed: {error.strerror}")
