"""Conversion of a body to UTF-8."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from ingest.mime.charsets import FALLBACK, detect_charset, is_utf8, known_charset, utf16_by_content
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ingest.domain.manifest import BodyKind

# ISO-2022 lines longer than this are split (RFC 5322 section 2.1.1 allows 998).
_LONGEST_LINE = 4096
_SAMPLE_BYTES = 8192  # lines with bytes above 127, from which a charset is detected
# Invalid sequences for each valid one up to which a text counts as damaged UTF-8.
_DAMAGED = 0.25
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FIRST_OF_BOMS = frozenset(mark[:1] for mark, _ in _BOMS)
_WIDE = ("utf-16", "utf-32")
# Browsers look for the declaration in the first 1024 bytes; Word writes longer comments and styles before it.
_META_BYTES = 16_384
# A declaration of the charset in HTML or XHTML; bounded, so that a hostile head costs at most 300 times its size.
_META = re.compile(
    rb"""
      ( <meta\b [^>]{0,300}? \bcharset \s{0,9} = \s{0,9} ["']? \s{0,9}
      | <\?xml\b [^>]{0,200}? \bencoding \s{0,9} = \s{0,9} ["'] )
      ( [\w.:+-]{1,64} )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TAGS = (b"<meta", b"<?xml")
_ASCII_ONLY_NAMES = frozenset({None, "ascii"})


class BodyText:
    """The UTF-8 form of a body, in the charset that the body declares or seems to have.

    The charset is, in this order: that of a byte order mark; the declared one, if it is known; for HTML that of its
    `<meta>`; UTF-8, if the bytes are valid; else the one that is detected, or Windows-1252. If HTML declares a
    charset in its `<meta>`, that says UTF-8 afterwards.

    Args:
        read: yields the bytes in pieces, from the start each time it is called; called up to three times.
        charset: as declared; None if none was.
        kind: of the body.

    Attributes:
        charset: the label of the charset that the body was read in.
        defects: complete after the iteration.
    """

    def __init__(self, read: Callable[[], Iterable[bytes]], charset: str | None, kind: BodyKind) -> None:
        self._read, self._declared, self._kind = read, charset, kind
        self.charset = charset or "us-ascii"
        self.defects: set[Defect] = set()
        self._is_utf8 = False
        self._label = self._choose()

    @property
    def is_unchanged(self) -> bool:
        """Whether the bytes are the UTF-8 form already, as those of most bodies are."""
        return self._is_utf8

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in UTF-8."""
        converted = self._converted()
        return _with_utf8_declared(converted) if self._kind == "html" else converted

    def _converted(self) -> Iterator[bytes]:
        text = Utf8Text(self._label)
        pieces = iter(self._read())
        first = next(pieces, b"").removeprefix(codecs.BOM_UTF8)
        if data := text.feed(first):
            yield data
        for piece in pieces:
            if data := text.feed(piece):
                yield data
        if data := text.close():
            yield data
        self.defects |= text.defects

    def _choose(self) -> str | None:
        """Return the label to read the body in; None to read it as ASCII."""
        head = next(iter(self._read()), b"")
        marked = None
        if head[:1] in _FIRST_OF_BOMS:
            marked = next((name for mark, name in _BOMS if head.startswith(mark)), None)
        known = known_charset(self._declared) if self._declared else None
        if marked is not None and (marked == "utf-8" or known in _ASCII_ONLY_NAMES or _is_wide(known)):
            return self._found(marked)
        if _is_wide(known):
            return self._wide(head, known or "")
        if known not in _ASCII_ONLY_NAMES and known != "utf-8":
            return self._declared
        return self._choose_by_content(head, known)

    def _wide(self, head: bytes, known: str) -> str:
        """UTF-16 or UTF-32 without a byte order mark; some software only says so, and writes UTF-8."""
        lines = head[: head.rfind(b"\n") + 1]
        if lines and b"\0" not in head and is_utf8(lines):
            return self._found("utf-8")
        if known != "utf-16":
            return known
        self.defects.add(Defect.CHARSET_DETECTED)
        return utf16_by_content(head)

    def _choose_by_content(self, head: bytes, known: str | None) -> str | None:
        sample = _Sample()
        for piece in self._read():
            sample.feed(piece)
        labels = [match[2] for match in _declarations(head[:_META_BYTES])] if self._kind == "html" else []
        if sample.is_utf8 and not sample.escapes and (known is not None or not self._declared):
            self._is_utf8 = all(label.lower() == b"utf-8" for label in labels)
        if sample.is_ascii:
            # ISO-2022 needs no byte above 127.
            escaped = detect_charset(bytes(sample.lines)) if sample.escapes and known != "utf-8" else None
            return self._detected(escaped) if escaped else self._declared
        label = labels[0].decode("ascii") if labels and known != "utf-8" else None
        if sample.is_utf8:
            if known != "utf-8" and label is None:
                self.defects.add(Defect.UNKNOWN_CHARSET)
            return self._found("utf-8") if known is None else "utf-8"
        if label is not None and _is_legacy(known_charset(label)):
            return self._found(label)
        return self._detect(sample, known)

    def _detect(self, sample: _Sample, known: str | None) -> str:
        if known == "utf-8":
            self.defects.add(Defect.BAD_CHARSET)
        found = None if sample.is_damaged_utf8 else detect_charset(bytes(sample.lines))
        if found is not None:
            return self._detected(found)
        if not self.defects:
            self.defects.add(Defect.UNKNOWN_CHARSET)
        return self._found("utf-8" if sample.is_damaged_utf8 else "windows-1252")

    def _found(self, label: str) -> str:
        self.charset = label.lower()
        return label

    def _detected(self, label: str) -> str:
        self.defects.add(Defect.CHARSET_DETECTED)
        return self._found(label)


def _is_legacy(codec: str | None) -> bool:
    return codec not in {*_ASCII_ONLY_NAMES, "utf-8"} and not _is_wide(codec)


def _is_wide(codec: str | None) -> bool:
    return codec is not None and codec.startswith(_WIDE)


class _Sample:
    """What a text shows of its charset: whether it is ASCII or UTF-8, and lines with bytes above 127."""

    def __init__(self) -> None:
        self.is_ascii, self.escapes = True, False
        self.lines = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None  # from the first byte above 127 on
        self._valid = self._invalid = 0

    def feed(self, data: bytes) -> None:
        """Look at the next piece."""
        plain = data.isascii()
        if b"\x1b$" in data:
            self.escapes = True
            self._add_lines(data)
        if plain and self._is_complete:
            return
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self.is_ascii = False
        before = self._decoder.getstate()
        try:
            self._decoder.decode(data)
        except UnicodeDecodeError:
            self._add_lines(data)
            text = (before[0] + data).decode("utf-8", "surrogateescape")
            self._decoder.reset()
            self._valid += len(_VALID.findall(text))
            self._invalid += len(_INVALID.findall(text))
        else:
            self._valid += (len(data) - len(data.translate(None, _HIGH))) // 2

    def _add_lines(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            if len(self.lines) >= _SAMPLE_BYTES:
                return
            if not line.isascii() or b"\x1b" in line:
                self.lines += line[:_SAMPLE_BYTES]

    @property
    def _is_complete(self) -> bool:
        """Whether no character is cut at the end of what was fed."""
        return self._decoder is None or not self._decoder.getstate()[0]

    @property
    def is_utf8(self) -> bool:
        return not self._invalid and self._is_complete

    @property
    def is_damaged_utf8(self) -> bool:
        return self._invalid <= _DAMAGED * self._valid


_HIGH = bytes(range(0x80, 0x100))
_VALID = re.compile(r"[\x80-\ud7ff\ue000-\U0010ffff]+")
_INVALID = re.compile(r"[\ud800-\udfff]+")


def _with_utf8_declared(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Make the declarations of a charset at the beginning of HTML say UTF-8."""
    held = bytearray()
    remaining = iter(pieces)
    for piece in remaining:
        held += piece
        if len(held) >= _META_BYTES:
            break
    if held:
        for match in sorted(_declarations(bytes(held[:_META_BYTES])), key=re.Match.start, reverse=True):
            if match[2].lower() != b"utf-8":
                held[match.start(2) : match.end(2)] = b"utf-8"
        yield bytes(held)
    yield from remaining


def _declarations(head: bytes) -> Iterator[re.Match[bytes]]:
    """Where the beginning of HTML declares a charset; tags are found much faster than by the expression alone."""
    lower = head.lower()
    for tag in _TAGS:
        at = lower.find(tag)
        while at >= 0:
            match = _META.match(head, at)
            if match is not None:
                yield match
            at = lower.find(tag, at + 1)


class Utf8Text:
    """Converts a body that is fed in pieces of any size; the piece size does not affect the output.

    Without a known charset, text is read as UTF-8 up to the first invalid byte and as Windows-1252 from there. In a
    known charset, invalid bytes are replaced.
    """

    __slots__ = ("_by_line", "_decoder", "_guessing", "_line", "_name", "_replacing", "defects")

    def __init__(self, charset: str | None) -> None:
        self.defects: set[Defect] = set()
        name = known_charset(charset) if charset else "ascii"
        if name is None:
            self.defects.add(Defect.UNKNOWN_CHARSET)
        self._guessing = name in (None, "ascii")
        self._replacing = False
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
            if data.isascii() or is_utf8(data):
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
        if self._replacing and "\ufffd" in text:
            self.defects.add(Defect.BAD_CHARSET)
        return text.encode("utf-8", "replace")

    def _guess_again(self, error: UnicodeDecodeError, *, final: bool) -> str:
        """Continue as Windows-1252. `error.object` includes the bytes the decoder had kept."""
        self._guessing = False
        decoder = self._decoder = codecs.getincrementaldecoder("cp1252")("replace")
        good, bad = error.object[: error.start], error.object[error.start :]
        return good.decode("utf-8") + decoder.decode(bad, final)

    def _replace(self, state: tuple[bytes, int], data: bytes, *, final: bool) -> str:
        """Decode the same bytes again, from the same state, with a decoder that does not stop at unfit ones."""
        self._replacing = True
        decoder = self._decoder = self._new_decoder(FALLBACK)
        decoder.setstate(state)
        try:
            return decoder.decode(data, final)
        except UnicodeError:
            # UTF-16 and UTF-32 without a byte order mark: big-endian (RFC 2781 section 4.3).
            self._name = f"{self._name}-be"
            self.defects.add(Defect.BAD_CHARSET)
            decoder = self._decoder = self._new_decoder("replace")
            return decoder.decode(state[0] + data, final)

    def _new_decoder(self, errors: str) -> codecs.IncrementalDecoder:
        return codecs.getincrementaldecoder(self._name)(errors)
