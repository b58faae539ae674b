"""Conversion of a body to UTF-8."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from ingest.mime.defects import Defect
from ingest.mime.text import known_charset

if TYPE_CHECKING:
    from collections.abc import Iterator

# ISO-2022 lines longer than this are split (RFC 5322 section 2.1.1 allows 998).
_LONGEST_LINE = 4096


class Utf8Text:
    """Converts a body that is fed in pieces of any size; the piece size does not affect the output.

    Without a known charset, text is read as UTF-8 up to the first invalid byte and as Windows-1252 from there. In a
    known charset, invalid bytes are replaced.
    """

    __slots__ = ("_by_line", "_decoder", "_guessing", "_line", "_name", "defects")

    def __init__(self, charset: str | None) -> None:
        self.defects: set[Defect] = set()
        name = known_charset(charset) if charset else "ascii"
        if name is None:
            self.defects.add(Defect.UNKNOWN_CHARSET)
        self._guessing = name in (None, "ascii")
        self._name = "utf-8" if name is None or self._guessing else name
        # None as long as all bytes have been complete, valid UTF-8.
        self._decoder: codecs.IncrementalDecoder | None = (
            None if self._name == "utf-8" else self._new_decoder("strict")
        )
        # Python's ISO-2022 decoders keep at most eight bytes of an escape sequence between two pieces and raise on a
        # longer broken one, so they get whole lines, which no sequence may cross (RFC 1468).
        self._by_line = self._name.startswith("iso2022")
        self._line = b""

    def feed(self, data: bytes) -> bytes:
        """Convert all complete characters."""
        if self._decoder is None and data.isascii():
            return data
        if self._by_line:
            return b"".join(self._decode(line, final=True) for line in self._whole_lines(data))
        return self._decode(data, final=False)

    def close(self) -> bytes:
        """Convert the rest."""
        if self._decoder is None:
            return b""
        rest, self._line = self._line, b""
        return self._decode(rest, final=True)

    def _whole_lines(self, data: bytes) -> Iterator[bytes]:
        *lines, rest = (self._line + data).split(b"\n")
        whole = len(rest) - len(rest) % _LONGEST_LINE
        for line in (*(line + b"\n" for line in lines), rest[:whole]):
            yield from (line[at : at + _LONGEST_LINE] for at in range(0, len(line), _LONGEST_LINE))
        self._line = rest[whole:]

    def _decode(self, data: bytes, *, final: bool) -> bytes:
        if self._guessing and not data.isascii():
            self.defects.add(Defect.UNKNOWN_CHARSET)
        if self._decoder is None:
            if data.isascii() or _is_utf8(data):
                return data
            self._decoder = self._new_decoder("strict")
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(data, final)
        except UnicodeError as error:
            if self._guessing and isinstance(error, UnicodeDecodeError):
                text = self._guess_again(error, final=final)
            else:
                text = self._replace(state, data, final=final)
        return text.encode("utf-8", "replace")

    def _guess_again(self, error: UnicodeDecodeError, *, final: bool) -> str:
        """Continue as Windows-1252. `error.object` includes the bytes the decoder had kept."""
        self._guessing = False
        decoder = self._decoder = codecs.getincrementaldecoder("cp1252")("replace")
        good, bad = error.object[: error.start], error.object[error.start :]
        return good.decode("utf-8") + decoder.decode(bad, final)

    def _replace(self, state: tuple[bytes, int], data: bytes, *, final: bool) -> str:
        """Decode the same bytes again, from the same state, with a decoder that replaces invalid bytes."""
        self.defects.add(Defect.BAD_CHARSET)
        decoder = self._decoder = self._new_decoder("replace")
        decoder.setstate(state)
        try:
            return decoder.decode(data, final)
        except UnicodeError:
            # UTF-16 and UTF-32 without a byte order mark: big-endian (RFC 2781 section 4.3).
            self._name = f"{self._name}-be"
            decoder = self._decoder = self._new_decoder("replace")
            return decoder.decode(state[0] + data, final)

    def _new_decoder(self, errors: str) -> codecs.IncrementalDecoder:
        return codecs.getincrementaldecoder(self._name)(errors)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
