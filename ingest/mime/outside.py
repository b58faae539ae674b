"""The text outside of all parts: preambles and epilogues."""

from __future__ import annotations

import re

_FIELD = re.compile(rb"[\r\n]content-(?:type|disposition|transfer-encoding)[ \t]{0,8}:")
_LONGEST_FIELD = 40
_HELD = 65_536  # bytes: more than any preamble, and a text worth reading


class OutsideText:
    """A preamble or epilogue, which nobody is shown.

    Its beginning is kept for the case that no part follows, so that it was none. `holds_fields` tells whether a part
    seems to be hidden in it.
    """

    __slots__ = ("_end", "beginning", "holds_fields")

    def __init__(self) -> None:
        self._end = b"\n"
        self.beginning = bytearray()
        self.holds_fields = False

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        if len(self.beginning) < _HELD:
            self.beginning += data[: _HELD - len(self.beginning)]
        data = (self._end + data).lower()
        self._end = data[-_LONGEST_FIELD:]
        self.holds_fields = self.holds_fields or (b"content-" in data and _FIELD.search(data) is not None)
