"""The text outside of all parts: preambles and epilogues."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ingest.mime.defects import Defect
from ingest.mime.lines import BLANKS

if TYPE_CHECKING:
    from ingest.mime.account import Account
    from ingest.mime.multiparts import Delimiter, Multiparts
    from ingest.mime.tally import Tally

_FIELD: Final = re.compile(rb"[\r\n]content-(?:type|disposition|transfer-encoding)[ \t]{0,8}:")
_LONGEST_FIELD: Final = 40
HELD: Final = 65_536  # bytes: more than any real preamble
# A line that may be a delimiter, with a part behind it: a blank line or a MIME field follows.
_DELIMITER: Final = re.compile(
    rb"(?:\A|(?<=[\r\n]))--([^\s\-][^\r\n]{0,898}|-[^\r\n]{0,898})(?:\r\n?+|\n)(?=\r|\n|content-|mime-version:)",
    re.IGNORECASE,
)
_DASHED_LINES: Final = re.compile(rb"^--[^\r\n]*", re.MULTILINE)
_WORD: Final = re.compile(rb"[0-9A-Za-z\x80-\xff]{3}")
# What mail programs write for readers that do not know MIME.
_NOTICE: Final = re.compile(rb"\bMIME\b|multi-?part", re.IGNORECASE)
_LONGEST_NOTICE: Final = 1024


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
        """Whether losing it would matter: hidden fields, or words that are not the usual notice about MIME."""
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


class Preamble(NamedTuple):
    """The bytes of a preamble that no part follows, and how to read them.

    `again` as the content of a multipart whose boundary was guessed, as a part `header`, or as the beginning of a
    `text` that goes on; or as a `whole` text.
    """

    reading: Literal["again", "header", "text", "whole"]
    data: bytes
    defect: Defect = Defect.BOUNDARY_ABSENT


class Outside:
    """The text outside of the parts of one message, and how a preamble is read that no part follows.

    Attributes:
        text: the current preamble or epilogue; None if there is none.
        in_epilogue: whether it is an epilogue.
    """

    __slots__ = ("_account", "_multiparts", "_tally", "in_epilogue", "text")

    def __init__(self, multiparts: Multiparts, tally: Tally, account: Account) -> None:
        self._multiparts, self._tally, self._account = multiparts, tally, account
        self.text: OutsideText | None = None
        self.in_epilogue = False

    def feed(self, data: bytes) -> int:
        """Skip bytes; returns how many, which are fewer if a preamble is full before their end."""
        text = self.text = self.text or OutsideText()
        if self.is_unmet:
            data = data[: text.room]
        text.feed(data)
        if self.in_epilogue:
            self._account.epilogues += len(data)
        else:
            self._account.preambles += len(data)
        return len(data)

    @property
    def is_unmet(self) -> bool:
        """Whether it is the preamble of a multipart whose boundary has not occurred."""
        return self._multiparts.count > 0 and self._multiparts.is_unmet and not self.in_epilogue

    @property
    def is_full(self) -> bool:
        """Whether such a preamble is as large as what is kept of one."""
        return self.text is not None and not self.text.room and self.is_unmet

    @property
    def room(self) -> int | None:
        """How many more bytes can be kept of such a preamble; None of any other text, of which all are skipped."""
        if not self.is_unmet:
            return None
        return HELD if self.text is None else self.text.room

    def ends_at(self, found: Delimiter) -> bool:
        """Whether a delimiter ends a multipart without any part, so that its preamble has to be read otherwise."""
        if self.text is None or self.in_epilogue or not self._multiparts.is_empty:
            return False
        level, closing, _ = found
        return level < self._multiparts.count - 1 or closing

    def guess(self) -> Preamble | None:
        """Return the preamble to read again with a guessed boundary, if one can be guessed."""
        text = self.text
        if text is None or not self.is_unmet or self._multiparts.is_guessed:
            return None
        boundary = text.guess_boundary()
        if boundary is None:
            return None
        self._tally.defects.add(Defect.BOUNDARY_GUESSED)
        self._multiparts.guess(boundary)
        return Preamble("again", self._take_back(text))

    def end_preamble(self) -> Preamble | None:
        """Return how to read a preamble that no part follows; None if it is blank."""
        text, guessed = self.text, self.guess()
        if guessed is not None or text is None:
            return guessed
        if not text.room:
            return Preamble("text", self._take_back(text))
        met = not self._multiparts.is_unmet
        if met and text.begins_with_field() and self._tally.count_part():
            self._tally.defects.add(Defect.DELIMITER_MISSING)
            return Preamble("header", self._take_back(text))
        return self.take_whole(Defect.DELIMITER_MISSING if met else Defect.BOUNDARY_ABSENT) if text.size else None

    def take_whole(self, defect: Defect = Defect.BOUNDARY_ABSENT) -> Preamble | None:
        """Return a preamble as a text: no part came, so it is the only content. None if it is blank."""
        text = self.text
        if text is None or not text.size:
            self._tally.defects.add(defect)
            return None
        data = self._take_back(text)
        self._account.leaves += len(data)
        return Preamble("whole", data, defect)

    def _take_back(self, text: OutsideText) -> bytes:
        """Return a preamble; it is complete, since it ends when it is full."""
        self.text = None
        self._account.preambles -= len(text.beginning)
        return bytes(text.beginning)

    def close(self) -> None:
        """End the text, and report it unless it is blank."""
        text, self.text = self.text, None
        if text is not None and text.size:
            if text.holds_fields:
                self._tally.defects.add(Defect.HEADERS_OUTSIDE)
            self._tally.defects.add(Defect.TEXT_OUTSIDE)
            content = text.looks_like_content(preamble=not self.in_epilogue)
            self._tally.skip(Defect.TEXT_OUTSIDE, text.size, content=content)
