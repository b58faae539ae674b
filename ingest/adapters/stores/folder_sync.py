"""Make the names of files durable, with as few syncs of folders as that takes.

A new name is durable only once the folder that holds it has been synced, and that folder's own name likewise, up to
the root. Folders known to be durable are remembered, so the usual put syncs one file and one folder. A folder made by
another process is synced once more on first use, because that process may not have synced it yet.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# Folders remembered as durable, about 1 MiB; beyond that all are forgotten and synced again.
_KNOWN_FOLDERS = 4096


class DurableNames:
    """Knows which folders below a root are durable, and makes others so. Threads share it."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._durable: set[str] = set()
        self._shared = _SharedSyncs()

    def make_durable(self, folders: Collection[str]) -> None:
        """Make all names in these folders durable, and those of the folders themselves.

        Raises:
            OSError: they may not be.
        """
        new = dict.fromkeys(folder for each in folders for folder in self._not_durable(each))
        above = dict.fromkeys(map(parent, reversed(new)))
        for folder in above:
            self._shared.synchronise(folder)
        for folder in folders:
            if folder not in above:
                synchronise(folder)
        if len(self._durable) + len(new) > _KNOWN_FOLDERS:
            self._durable = set()
        self._durable.update(new)

    def forget(self, folder: str) -> None:
        """Take a folder for new, as one that was removed and made again is."""
        self._durable.discard(folder)

    def _not_durable(self, folder: str) -> Iterator[str]:
        """Yield a folder and those above it, below the root, whose names may not be durable."""
        while folder != self._root and folder not in self._durable:
            yield folder
            folder = parent(folder)


@dataclass(slots=True)
class _Asked:
    """A folder that threads want to be synced: how often that was asked for, and how many of these are served.

    `failed` are those that an unsuccessful sync was to serve, and `error` is what it raised.
    """

    running: threading.Lock = field(default_factory=threading.Lock)
    asked: int = 0
    served: int = 0
    failed: int = 0
    error: OSError | None = None


class _SharedSyncs:
    """Syncs folders in which several threads make names at the same time, as the folder of a day, for all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folders: dict[str, _Asked] = {}

    def synchronise(self, folder: str) -> None:
        """Make the names durable that are in a folder now; a sync that begins after this call serves it too.

        A sync that fails does so for everyone who has asked by then: the system reports an error of the disk once,
        and the next sync succeeds, whatever was lost.
        """
        with self._lock:
            one = self._folders.setdefault(folder, _Asked())
            one.asked += 1
            number = one.asked
        with one.running:
            if one.error is not None and one.failed >= number:
                raise OSError(one.error.errno, one.error.strerror)
            if one.served >= number:
                return
            with self._lock:
                asked = one.asked
            try:
                synchronise(folder)
            except OSError as error:
                with self._lock:
                    one.failed, one.error = one.asked, error
                    self._folders.pop(folder, None)
                raise
            with self._lock:
                one.served = asked
                if one.asked == asked:
                    self._folders.pop(folder, None)


def parent(path: str) -> str:
    """Return the folder of an absolute path; that of the root is itself."""
    return path.rpartition("/")[0] or "/"


def synchronise(folder: str) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: they may not be.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
