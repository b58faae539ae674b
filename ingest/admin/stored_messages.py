"""List the messages in the store, with the objects of each, without reading any object."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

from ingest.domain import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ingest.domain.mailbox import Mailbox
    from ingest.errors import MailhaulError
    from ingest.ports.store import Store, Stored

# The keys that `Layout.folder` makes; the folder of a mailbox may have several parts.
_MESSAGE = re.compile(r"(?P<folder>.+?)/(?P<day>\d{4}/\d\d/\d\d|undated)/(?P<key>[0-9a-f]{32})/.+", re.DOTALL)

_KEY_DIGITS = 2 * keys.DIGEST_BYTES
_PREVIOUS = re.compile(rf"updates/(\d+)/{re.escape(keys.PREVIOUS)}")


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """The objects of one message.

    Attributes:
        root: the folder of its mailbox.
        folder: its own folder, without a trailing slash.
        key: the message key.
        objects: all objects below its folder, in the order of their keys; at least one.
    """

    root: str
    folder: str
    key: str
    objects: tuple[Stored, ...]

    @property
    def size(self) -> int:
        """The bytes of all its objects."""
        return sum(stored.size for stored in self.objects)

    @property
    def day(self) -> date | None:
        """The day it was received; None if unknown."""
        try:
            return date(*map(int, self.folder.split("/")[-4:-1]))
        except ValueError:
            return None

    @property
    def manifest(self) -> Stored | None:
        """Its manifest, or the tombstone under the manifest's key; None if there is neither."""
        return next((stored for stored in self.objects if stored.key == f"{self.folder}/{keys.MANIFEST}"), None)

    @property
    def updates(self) -> int:
        """How many updates its manifest had, each of which keeps the manifest before it."""
        names = (stored.key.removeprefix(f"{self.folder}/") for stored in self.objects)
        found = (_PREVIOUS.fullmatch(name) for name in names)
        return max((int(match[1]) for match in found if match), default=0)

    @property
    def sources(self) -> list[Stored]:
        """The raw mail, or the header of an oversize message; normally one object."""
        names = {f"{self.folder}/{name}" for name in (keys.RAW, keys.TOP)}
        return [stored for stored in self.objects if stored.key in names]


def stored_messages(
    store: Store, prefix: str, folder: str | None = None, strays: Callable[[Stored], None] = lambda _: None
) -> Iterator[StoredMessage]:
    """Yield the messages in the store while the listing is read, grouped by mailbox and ordered by day.

    Args:
        store: the store.
        prefix: the common prefix of all keys: empty, or with a trailing slash.
        folder: the folder of the only mailbox to list; all mailboxes without it.
        strays: called with each object that has not the key of a message's object.

    Raises:
        StoreError: the store is unavailable, or refuses.
    """
    within = f"{prefix}{folder}/" if folder else prefix

    def matched() -> Iterator[tuple[re.Match[str], Stored]]:
        for stored in store.stored(within):
            match = _MESSAGE.fullmatch(stored.key, len(prefix))
            if match is None:
                strays(stored)
            elif folder is None or match["folder"] == folder:
                yield match, stored

    for (root, day, key), group in groupby(matched(), lambda found: found[0].group("folder", "day", "key")):
        yield StoredMessage(root, f"{prefix}{root}/{day}/{key}", key, tuple(stored for _, stored in group))


def mailbox_folders(configured: Mapping[str, Mailbox], mailbox: str) -> list[str]:
    """Return the folders of a mailbox: its prefix, and its id, which was used before it had a prefix.

    Args:
        configured: mailboxes by id.
        mailbox: its id, or the name of its folder if it is not configured any more.
    """
    found = configured.get(mailbox)
    return sorted({mailbox, found.folder}) if found else [mailbox]


def find_by_key(
    listed: Callable[[], Iterable[StoredMessage]], wanted: Sequence[str], error: type[MailhaulError]
) -> list[StoredMessage]:
    """Return the stored messages with these keys, each given in full or by an unambiguous beginning.

    A message is stored twice if the mailbox's folder was changed and the message was fetched again.

    Args:
        listed: lists the messages to search.
        wanted: message keys, or beginnings of them, in hex digits.
        error: raised if no message has a key, or several begin with it.

    Raises:
        StoreError: the store is unavailable.
    """
    for beginning in wanted:
        if not 1 <= len(beginning) <= _KEY_DIGITS or set(beginning) - set("0123456789abcdef"):
            raise error(f"{beginning} is not a message key: write its {_KEY_DIGITS} hex digits, or the first")
    found: dict[str, dict[str, list[StoredMessage]]] = {beginning: {} for beginning in wanted}
    for stored in listed():
        for beginning, matches in found.items():
            if stored.key.startswith(beginning):
                matches.setdefault(stored.key, []).append(stored)
    for beginning, matches in found.items():
        if not matches:
            raise error(f"no stored message begins with {beginning}; `mailhaul messages list` lists them")
        if len(matches) > 1:
            raise error(f"{len(matches)} stored messages begin with {beginning}; write more digits of its key")
    return list({one.folder: one for matches in found.values() for each in matches.values() for one in each}.values())
