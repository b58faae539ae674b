"""State shared by a message and all messages nested in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ingest.mime.defects import Defect
from ingest.mime.lines import BLANKS

if TYPE_CHECKING:
    from collections.abc import Collection

    from ingest.domain.manifest import BodyKind, Status
    from ingest.mime.account import Account

# Two words, or one that is longer than any: content rather than noise.
_WORDS: Final = re.compile(rb"\w{2,}[ \t,.:;]+\w{2,}|\w{20}")


class Tally:
    """The number of parts, the bodies found so far, and defects and status of the whole message.

    `skipped` counts bytes that are in no field, body or attachment, by the defect that reports them.
    """

    __slots__ = ("_most_parts", "_parts", "bodies", "defects", "skipped", "status")

    def __init__(self, most_parts: int, bodies: Collection[BodyKind]) -> None:
        self._most_parts, self._parts = most_parts, 0
        self.bodies: set[BodyKind] = set(bodies)
        self.defects: set[Defect] = set()
        self.skipped: dict[Defect, int] = {}
        self.status: Status = "complete"

    def count_part(self) -> bool:
        """Count a part; False if the limit is reached."""
        if self._parts < self._most_parts:
            self._parts += 1
            return True
        self.stop_at(Defect.PARTS_LIMIT, self.defects)
        return False

    def stop_at(self, limit: Defect, defects: set[Defect]) -> None:
        """Record that a limit left something unread, in the `defects` of the part or of the message."""
        defects.add(limit)
        self.status = "partial"

    def check(self, account: Account, fed: int) -> None:
        """Compare an account with the bytes that were fed, and report those that were not read."""
        missing = fed - account.total
        if missing:
            self.defects.add(Defect.UNACCOUNTED)
            self.skip(Defect.UNACCOUNTED, abs(missing), content=True)
        if account.unread:
            self.skip(Defect.PARTS_LIMIT, account.unread, content=True)

    def skip_junk(self, junk: bytes) -> None:
        """Record what follows a boundary in its line."""
        self.defects.add(Defect.DELIMITER_JUNK)
        size = len(junk.translate(None, BLANKS))
        self.skip(Defect.DELIMITER_JUNK, size, content=_WORDS.search(junk) is not None)

    def skip(self, defect: Defect, size: int, *, content: bool) -> None:
        """Record skipped bytes; they make the message partial if they look like content."""
        self.skipped[defect] = self.skipped.get(defect, 0) + size
        if content:
            self.status = "partial"
