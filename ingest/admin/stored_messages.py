"""What the store holds of each message, read from a listing alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

from ingest.domain import keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.ports.store import Store, Stored

# See `Layout.folder`; the folder of a mailbox may have several parts.
_MESSAGE = re.compile(r"(?P<folder>.+?)/(?P<day>\d{4}/\d\d/\d\d|undated)/(?P<key>[0-9a-f]{32})/.+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """The objects of one message.

    Attributes:
        root: folder of its mailbox.
        folder: its own, without a slash at its end.
        key: the message key.
        objects: all below its folder, in the order of their keys; never none.
    """

    root: str
    folder: str
    key: str
    objects: tuple[Stored, ...]

    @property
    def size(self) -> int:
        """Of all its objects."""
        return sum(stored.size for stored in self.objects)

    @property
    def day(self) -> date | None:
        """The day it was received; None where it is not known."""
        try:
            return date(*map(int, self.folder.split("/")[-4:-1]))
        except ValueError:
            return None

    @property
    def manifest(self) -> Stored | None:
        """Its manifest, or the record that was left in its place."""
        return next((stored for stored in self.objects if stored.key == f"{self.folder}/{keys.MANIFEST}"), None)

    @property
    def sources(self) -> list[Stored]:
        """The mail itself, or its header where it was too large to fetch: one of them, as a rule."""
        names = {f"{self.folder}/{name}" for name in (keys.RAW, keys.TOP)}
        return [stored for stored in self.objects if stored.key in names]


def stored_messages(store: Store, prefix: str, folder: str | None = None) -> Iterator[StoredMessage]:
    """Every message in the store, those of one mailbox behind each other and by day, while the listing is read.

    Args:
        store: where to look.
        prefix: what the keys of all mailboxes begin with: empty, or with a slash at its end.
        folder: of the only mailbox to look through; its name stands behind the prefix.

    Raises:
        StoreError: the store is away or refuses.
    """
    within = f"{prefix}{folder}/" if folder else prefix
    matched = (
        (match, stored)
        for stored in store.stored(within)
        if (match := _MESSAGE.fullmatch(stored.key, len(prefix))) and (folder is None or match["folder"] == folder)
    )
    for (root, day, key), group in groupby(matched, lambda found: found[0].group("folder", "day", "key")):
        yield StoredMessage(root, f"{prefix}{root}/{day}/{key}", key, tuple(stored for _, stored in group))
