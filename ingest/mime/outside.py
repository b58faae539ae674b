"""The text outside of all parts: preambles and epilogues."""

from __future__ import annotations

import re
from collections import Counter

_FIELD = re.compile(rb"[\r\n]content-(?:type|disposition|transfer-encoding)[ \t]{0,8}:")
_LONGEST_FIELD = 40
HELD = 65_536  # bytes: more than any real preamble
# Also bytes that programs write where they mean a blank.
BLANKS = b"\0\t\n\v\f\r \xa0"
# A line that may be a delimiter, with a part behind it: a blank line or a MIME field follows.
_DELIMITER = re.compile(
    rb"(?:\A|(?<=[\r\n]))--([^\s\-][^\r\n]{0,898}|-[^\r\n]{0,898})(?:\r\n?+|\n)(?=\r|\n|content-|mime-version:)",
    re.IGNORECASE,
)
_DASHED_LINES = re.compile(rb"^--[^\r\n]*", re.MULTILINE)
_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]{3}")
# What mail programs write for readers that do not know MIME.
_NOTICE = re.compile(rb"\bMIME\b|multi-?part", re.IGNORECASE)
_LONGEST_NOTICE = 1024


class OutsideText:
    """A preamble or epilogue, which is in no part.

    Its first 64 KiB are kept in `beginning`: a preamble is read again if no part follows. `holds_fields` is True if a
    part seems to be hidden in it, `size` counts the bytes that are not blank.
    """

    __slots__ = ("_end", "beginning", "holds_fields", "size")

    def __init__(self) -> None:
        self._end = b"\n"
        self.beginning = bytearray()
        self.holds_fields = False
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Read bytes."""
        if len(self.beginning) < HELD:
            self.beginning += data[: HELD - len(self.beginning)]
        self.size += len(data.translate(None, BLANKS))
        data = (self._end + data).lower()
        self._end = data[-_LONGEST_FIELD:]
        self.holds_fields = self.holds_fields or (b"content-" in data and _FIELD.search(data) is not None)

    @property
    def room(self) -> int:
        """How many more bytes can be kept."""
        return HELD - len(self.beginning)

    def looks_like_content(self, *, preamble: bool) -> bool:
        """Whether somebody may miss it: hidden fields, or words that are not the usual notice about MIME."""
        if self.holds_fields or self.size > _LONGEST_NOTICE:
            return True
        if preamble and _NOTICE.search(self.beginning):
            return False
        return _WORD.search(_DASHED_LINES.sub(b"", self.beginning.replace(b"\r", b"\n"))) is not None

    def begins_with_field(self) -> bool:
        """Whether its first line is a MIME field, as if it was a part."""
        return _FIELD.match(b"\n" + self.beginning.lstrip().lower()) is not None

    def guess_boundary(self) -> bytes | None:
        """Return the boundary of the first line that looks like a delimiter.

        A part follows it, as MIME fields or a blank line show; or it occurs again, or with two hyphens behind it.
        """
        found = _DELIMITER.search(self.beginning)
        if found is not None:
            return found[1].rstrip()
        dashed = [line[2:].rstrip() for line in _DASHED_LINES.findall(self.beginning.replace(b"\r", b"\n"))]
        times = Counter(dashed)
        likely = (line for line in dashed if times[line] > 1 or line + b"--" in times)
        return next((line for line in likely if line.strip(b"-_=* ")), None)
