"""mbox files: messages one after the other, each behind a line that begins with `From ` (RFC 4155 appendix A).

There are four dialects. They differ in how a line of a message that begins with `From ` is distinguished from a
separator:

- *mboxo* writes `>From ` for `From `, so that a `>From ` of the message itself cannot be recognised any more;
- *mboxrd* adds one `>` to every line of `>`s and `From `, which can be undone exactly;
- *mboxcl* quotes as mboxo does, and counts the bytes of the body in `Content-Length`;
- *mboxcl2* counts them too, and does not quote.

Mail programs keep notes of their own in the header (`Status`, `X-UID`, `X-Mozilla-Status`, ...). They are not part of
the message, servers do not send them, and here they are left out.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from ingest.errors import MailhaulError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A longer line is read in pieces.
_LINE_BYTES = 64 * 1024
# A longer header is taken for the beginning of the body.
_HEADER_BYTES = 1024 * 1024
_BLANK = (b"\n", b"\r\n")
# The sender may be anything, even nothing; the date is ctime's, some programs add or move a zone.
_DATED = re.compile(rb"From .*\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b.*\b\d{1,2}:\d\d\b.*\b\d{4}\b")
_QUOTED_ONCE = re.compile(rb">From ")
_QUOTED = re.compile(rb">+From ")
_NOTES = re.compile(
    rb"(?:content-length|status|x-status|x-keywords|x-uid|x-imap|x-imapbase|x-mozilla-(?:status2?|keys))[ \t]*:",
    re.IGNORECASE,
)
_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?\n", re.IGNORECASE)
# The first message of a file may be notes of the UW IMAP server or of Dovecot, and no mail.
_INTERNAL = re.compile(rb"subject[ \t]*:.*FOLDER INTERNAL DATA", re.IGNORECASE)


class Dialect(StrEnum):
    """The dialect of an mbox file; `AUTO` is mboxcl or mboxcl2 where a `Content-Length` holds, else mboxrd."""

    AUTO = "auto"
    MBOXO = "mboxo"
    MBOXRD = "mboxrd"
    MBOXCL = "mboxcl"
    MBOXCL2 = "mboxcl2"


class NoMboxError(MailhaulError):
    """The file does not begin with a `From ` line."""

    code = "no_mbox"


@dataclass(frozen=True, slots=True)
class MboxMessage:
    """A message of an mbox file.

    Attributes:
        position: where its `From ` line begins, in bytes.
        pieces: its bytes, with the line ends of the file. They are read from the file: they can be iterated once, and
            only until the next message is asked for.
    """

    position: int
    pieces: Iterator[bytes]


def begins_mbox(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an mbox file."""
    return _DATED.match(head.lstrip(b"\r\n").partition(b"\n")[0]) is not None


def read_mbox(file: BinaryIO, dialect: Dialect = Dialect.AUTO) -> Iterator[MboxMessage]:
    """Yield the messages of an mbox file, in the order of the file.

    Args:
        file: seekable, at its beginning.
        dialect: how it was written. `AUTO` decides for each message.

    Raises:
        NoMboxError: it does not begin with a `From ` line.
        OSError: it cannot be read.
    """
    reader = _Reader(file, dialect)
    position = reader.begin()
    while position is not None:
        message = reader.message(position)
        if message is not None:
            yield message
        position = reader.next_message()


class _Reader:
    """The state of reading one file: the line read last, and whether a message is over."""

    def __init__(self, file: BinaryIO, dialect: Dialect) -> None:
        self._file = file
        self._dialect = dialect
        self._pieces: Iterator[bytes] = iter(())
        self._next: int | None = None  # where the next separator begins, once it was found

    def begin(self) -> int | None:
        """Go behind the first separator; return where it began, None if the file is empty."""
        while line := self._line():
            if line in _BLANK:
                continue
            if not line.startswith(b"From "):
                raise NoMboxError("The file does not begin with a `From ` line, as an mbox file does.")
            self._end_line(line)
            return 0
        return None

    def message(self, position: int) -> MboxMessage | None:
        """Return the message at the current position, None if it is only notes of a program."""
        self._next = None
        header, is_internal, length = self._header()
        body = self._body(length) if self._is_open() else iter(())
        self._pieces = chain(header, body)
        return None if is_internal else MboxMessage(position, self._pieces)

    def next_message(self) -> int | None:
        """Read what is left of a message, and go behind the separator that follows; return where that began."""
        for _ in self._pieces:
            pass
        return self._next

    def _is_open(self) -> bool:
        """Whether the separator that ends the current message is still to be found."""
        return self._next is None

    def _line(self) -> bytes:
        return self._file.readline(_LINE_BYTES)

    def _end_line(self, line: bytes) -> None:
        """Go to the end of a line of which the beginning was read."""
        while line and not line.endswith(b"\n"):
            line = self._line()

    def _separated(self, line: bytes) -> bool:
        """Whether this line, read at the beginning of a line, separates two messages; if so, go behind it."""
        if not _DATED.match(line):
            return False
        self._next = self._file.tell() - len(line)
        self._end_line(line)
        return True

    def _header(self) -> tuple[list[bytes], bool, int | None]:
        """Return the header without notes, whether the message is no mail, and the announced bytes of the body."""
        kept: list[bytes] = []
        size, drops, is_internal, has_base, length = 0, False, False, False, None
        while size < _HEADER_BYTES and (line := self._line()):
            size += len(line)
            if self._separated(line):
                break
            if not line.startswith((b" ", b"\t")):
                drops = _NOTES.match(line) is not None
                has_base = has_base or line[:6].lower() == b"x-imap"
                is_internal = is_internal or _INTERNAL.match(line) is not None
                if found := _LENGTH.fullmatch(line):
                    length = int(found[1])
            if not drops:
                kept.append(line)
            if line in _BLANK:
                break
        return kept, is_internal and has_base, length

    def _body(self, length: int | None) -> Iterator[bytes]:
        counted = self._dialect in (Dialect.AUTO, Dialect.MBOXCL, Dialect.MBOXCL2)
        if counted and length is not None and self._holds(length):
            return self._counted(length)
        return self._searched()

    def _holds(self, length: int) -> bool:
        """Whether the body ends after so many bytes: with the file, or with blank lines and a separator."""
        here = self._file.tell()
        try:
            if here + length > self._file.seek(0, os.SEEK_END):
                return False
            self._file.seek(here + length)
            line = self._line()
            while line in _BLANK:
                line = self._line()
            return not line or line.startswith(b"From ")
        finally:
            self._file.seek(here)

    def _counted(self, length: int) -> Iterator[bytes]:
        """Yield a body of so many bytes, and go behind the separator that follows."""
        quotes = self._dialect is not Dialect.MBOXCL2 and not (
            self._dialect is Dialect.AUTO and self._is_unquoted(length)
        )
        lines = self._lines(length)
        yield from _unquoted(lines, _QUOTED_ONCE) if quotes else lines
        while line := self._line():
            if line not in _BLANK:
                self._next = self._file.tell() - len(line)
                self._end_line(line)
                return

    def _is_unquoted(self, length: int) -> bool:
        """Whether a body of so many bytes has a line that mboxcl would have quoted."""
        here, starts = self._file.tell(), True
        try:
            for line in self._lines(length):
                if starts and line.startswith(b"From "):
                    return True
                starts = line.endswith(b"\n")
            return False
        finally:
            self._file.seek(here)

    def _lines(self, length: int) -> Iterator[bytes]:
        while length > 0 and (line := self._file.readline(min(length, _LINE_BYTES))):
            length -= len(line)
            yield line

    def _searched(self) -> Iterator[bytes]:
        """Yield a body that ends before the next separator, and go behind it; its own last blank line is left out."""
        quoted = _QUOTED if self._dialect in (Dialect.AUTO, Dialect.MBOXRD) else _QUOTED_ONCE
        return _unquoted(self._until_separator(), quoted)

    def _until_separator(self) -> Iterator[bytes]:
        held, starts = b"", True
        while line := self._line():
            if starts and self._separated(line):
                return
            if held:
                yield held
            held = line if starts and line in _BLANK else b""
            if not held:
                yield line
            starts = line.endswith(b"\n")


def _unquoted(lines: Iterator[bytes], quoted: re.Pattern[bytes]) -> Iterator[bytes]:
    """Yield lines, or pieces of long ones, without the `>` of those that were quoted."""
    starts = True
    for line in lines:
        yield line[1:] if starts and quoted.match(line) else line
        starts = line.endswith(b"\n")
