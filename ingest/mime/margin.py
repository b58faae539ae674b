"""What stands outside of all parts: before the first, and after the last."""

from __future__ import annotations

import re

_FIELD = re.compile(rb"[\r\n]content-(?:type|disposition|transfer-encoding)[ \t]{0,8}:")
_LONGEST_FIELD = 40


class Margin:
    """A preamble or epilogue, which nobody is shown; tells whether a part seems to be hidden in it."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = b"\n"

    def feed(self, octets: bytes) -> bool:
        """Whether a MIME header field has been seen, in this piece or across its beginning."""
        octets = (self._end + octets).lower()
        self._end = octets[-_LONGEST_FIELD:]
        return b"content-" in octets and _FIELD.search(octets) is not None
