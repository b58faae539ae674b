"""Read winmail.dat: the files and the text in the TNEF stream of an Outlook message (MS-OXTNEF).

Not tnefparse: it holds the whole stream, and a copy of each attribute, in memory. This reader keeps one chunk, counts
its work, and continues after damage.

A stream is a list of attributes, each with a length and a checksum. Those of one attached file are adjacent: the
first begins the file, a later one has its bytes, and the last one, a list of MAPI properties, its real name. An
attached message has a TNEF stream inside a property instead of bytes; it is yielded as a file of the type
`application/ms-tnef`. The text of the message itself (plain, HTML or compressed RTF) comes last. Mail servers put it
beside the winmail.dat, too, but not always.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import unpack
from typing import TYPE_CHECKING

from ingest.containers.rtf import decompress, text_of
from ingest.containers.stream import BrokenError, ByteStream, FileEnd
from ingest.mime.charsets import known_charset
from ingest.mime.defects import Defect
from ingest.mime.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ingest.containers.stream import FileEvent
    from ingest.domain.manifest import BodyKind

TNEF = "application/ms-tnef"
SIGNATURE = 0x223E9F78

# Attributes, type and id in one number (MS-OXTNEF section 2.1.3.2).
_CODE_PAGE = 0x00069007  # attOemCodepage
_BEGIN_FILE = 0x00069002  # attAttachRendData
_TITLE = 0x00018010  # attAttachTitle
_TRANSPORT_NAME = 0x00069001  # attAttachTransportFilename
_DATA = 0x0006800F  # attAttachData
_PROPERTIES = 0x00069005  # attAttachment
_BODY = 0x0002800C  # attBody
_MESSAGE_PROPERTIES = 0x00069003  # attMsgProps
_OF_A_FILE = frozenset({_BEGIN_FILE, _TITLE, _TRANSPORT_NAME, _DATA, _PROPERTIES})

# Properties of a file (MS-OXPROPS).
_DATA_OBJECT = 0x3701  # PR_ATTACH_DATA_BIN, PR_ATTACH_DATA_OBJ
_TEXTS = {
    0x3001: "display_name",
    0x3704: "short_name",
    0x3707: "long_name",
    0x370E: "mime_type",
    0x3712: "content_id",
}

# Properties of the message: PR_BODY, PR_RTF_COMPRESSED, PR_BODY_HTML, PR_INTERNET_CPID.
_PLAIN_BODY, _RTF_BODY, _HTML_BODY, _INTERNET_CODE_PAGE = 0x1000, 0x1009, 0x1013, 0x3FDE
_BODIES = frozenset({_PLAIN_BODY, _RTF_BODY, _HTML_BODY})
_BODY_BYTES = 4 * 2**20  # of each; a longer text is not taken out

# Types of properties (MS-OXTNEF section 2.1.3.4): the padded size of each value; and those with a length before each.
_FIXED = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_OBJECT, _STRING, _UNICODE, _BINARY = 0x0D, 0x1E, 0x1F, 0x102
_MULTIPLE = 0x1000
_NAMED = 0x8000  # from here on, a name follows the id
# An object begins with its interface: a message (IID_IMessage), or an OLE document.
_INTERFACE_BYTES = 16
_MESSAGE = bytes.fromhex("0703020000000000c000000000000046")

# An attached message or document is preceded by a placeholder text for programs that do not support them. Data as
# short as that is held back until it is certain that no object follows.
_PLACEHOLDER_BYTES = 4096
_NAME_BYTES = 2048  # of a name; a longer value is not a name
# Attributes, properties and values; a message with 200 files has some 5,000.
_ELEMENTS = 100_000


def read_tnef(chunks: Iterable[bytes], defects: set[Defect]) -> Iterator[FileEvent]:
    """Yield the files in a winmail.dat, then its text. Never raises, whatever the bytes.

    Args:
        chunks: the stream in pieces of any size.
        defects: of the whole stream; grows.
    """
    reader = _Reader(ByteStream(chunks), defects)
    try:
        yield from reader.attributes()
    except BrokenError as error:
        defects.add(Defect.CONTAINER_LIMIT if isinstance(error, _TooManyError) else Defect.CONTAINER_BROKEN)
        reader.break_off()
    yield from reader.end_file()
    yield from reader.texts()


class _TooManyError(BrokenError):
    """The stream has more elements than the limit."""


@dataclass
class _File:
    names: dict[str, str] = field(default_factory=dict)
    has_data: bool = False
    held: bytes = b""
    declared_type: str = "application/octet-stream"
    defects: set[Defect] = field(default_factory=set)

    def end(self) -> FileEnd:
        """Prefer the long name: old programs cut the title to 8.3 characters."""
        kinds = ("long_name", "transport_name", "title", "short_name", "display_name")
        name = next((self.names[kind] for kind in kinds if self.names.get(kind)), None)
        mime_type = self.names.get("mime_type", "").lower()
        declared = mime_type if mime_type.count("/") == 1 else self.declared_type
        content_id = self.names.get("content_id", "").strip(" <>") or None
        return FileEnd(name, declared, content_id, frozenset(self.defects))


class _Attribute:
    """The bytes of one attribute, read within its length and summed up for the checksum."""

    def __init__(self, stream: ByteStream, length: int) -> None:
        self._stream, self.left, self.sum = stream, length, 0

    def take(self, size: int) -> bytes:
        self._leave(size)
        taken = self._stream.take(size)
        self.sum += sum(taken)
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def pieces(self, size: int) -> Iterator[bytes]:
        self._leave(size)
        for piece in self._stream.pieces(size):
            self.sum += sum(piece)
            yield piece

    def skip(self, size: int) -> None:
        for _ in self.pieces(size):
            pass

    def _leave(self, size: int) -> None:
        if size > self.left:
            raise BrokenError
        self.left -= size


class _Reader:
    def __init__(self, stream: ByteStream, defects: set[Defect]) -> None:
        self._stream, self._defects = stream, defects
        self._charset = "cp1252"
        self._file: _File | None = None
        self._elements = 0
        self._texts: dict[int, tuple[int, bytes]] = {}  # type and bytes of the properties that hold the text
        self._internet_code_page = 0

    def attributes(self) -> Iterator[FileEvent]:
        """Yield all files but the last, which `end_file` ends."""
        signature, _ = unpack("<IH", self._stream.take(6))
        if signature != SIGNATURE:
            raise BrokenError
        while not self._stream.at_end():
            self._count()
            _, name, length = unpack("<BII", self._stream.take(9))
            attribute = _Attribute(self._stream, length)
            try:
                yield from self._attribute(name, attribute)
            except _TooManyError:
                raise
            except BrokenError:
                if self._stream.at_end():
                    raise
                # Its length still locates the next attribute.
                self._defects.add(Defect.CONTAINER_BROKEN)
            attribute.skip(attribute.left)
            if self._stream.at_end():
                # Some streams lack the last checksum; no file is affected.
                self._defects.add(Defect.CONTAINER_BROKEN)
                return
            self._check(name, attribute)

    def end_file(self) -> Iterator[FileEvent]:
        """End the current file if it has bytes; one that is only referred to has none."""
        file, self._file = self._file, None
        if file is not None and file.has_data:
            if file.held:
                yield file.held
            yield file.end()

    def texts(self) -> Iterator[FileEvent]:
        """Yield the text of the message, in each form that it has."""
        plain, rich, html = (self._texts.get(name) for name in (_PLAIN_BODY, _RTF_BODY, _HTML_BODY))
        unpacked = decompress(rich[1]) if rich is not None and not (plain and html) else None
        found = text_of(unpacked) if unpacked is not None else None
        if html is not None:
            label = "utf-16-le" if html[0] == _UNICODE else _label(self._internet_code_page)
            yield from _body("html", html[1], label)
        elif found is not None and found.kind == "html":
            yield from _body("html", found.text.encode("utf-8", "replace"), "utf-8")
        if plain is not None:
            label = "utf-16-le" if plain[0] == _UNICODE else self._charset
            yield from _body("text", plain[1].decode(label, "replace").rstrip("\0").encode(), "utf-8")
        elif found is not None and found.kind == "text" and html is None:
            yield from _body("text", found.text.encode("utf-8", "replace"), "utf-8")

    def break_off(self) -> None:
        """Mark the current file as possibly incomplete."""
        if self._file is not None:
            self._file.defects.add(Defect.CONTAINER_BROKEN)

    def _attribute(self, name: int, attribute: _Attribute) -> Iterator[FileEvent]:
        if name == _BEGIN_FILE:
            yield from self.end_file()
            self._file = _File()
        elif name == _CODE_PAGE:
            self._charset = _charset(attribute.number())
        elif name == _BODY and attribute.left <= _BODY_BYTES:
            self._texts.setdefault(_PLAIN_BODY, (_STRING, attribute.take(attribute.left)))
        elif name == _MESSAGE_PROPERTIES:
            yield from self._properties(attribute, None)
        elif name in _OF_A_FILE:
            file = self._file = self._file or _File()
            if name == _PROPERTIES:
                yield from self._properties(attribute, file)
            elif name == _DATA and attribute.left <= _PLACEHOLDER_BYTES:
                _hold(attribute, file)
            elif name == _DATA:
                yield from _data(attribute, attribute.left, file)
            else:
                kind = "title" if name == _TITLE else "transport_name"
                file.names[kind] = _text(attribute.take(min(attribute.left, _NAME_BYTES)), self._charset)

    def _check(self, name: int, attribute: _Attribute) -> None:
        checksum = int.from_bytes(self._stream.take(2), "little")
        if self._file is not None and name in _OF_A_FILE and checksum != attribute.sum & 0xFFFF:
            self._file.defects.add(Defect.TNEF_CHECKSUM)

    def _properties(self, attribute: _Attribute, file: _File | None) -> Iterator[bytes]:
        for _ in range(attribute.number()):
            self._count()
            kind, name = unpack("<HH", attribute.take(4))
            if name >= _NAMED:
                self._skip_name(attribute)
            plain = kind & ~_MULTIPLE
            counted = kind & _MULTIPLE or plain not in _FIXED
            for _ in range(attribute.number() if counted else 1):
                self._count()
                if file is None:
                    self._message_value(plain, name, attribute)
                else:
                    yield from self._value(plain, name, attribute, file)

    def _skip_name(self, attribute: _Attribute) -> None:
        """Skip a set (GUID) and a number or UTF-16 name in it (MS-OXTNEF section 2.1.3.4)."""
        attribute.take(16)
        by_name = attribute.number()
        if by_name:
            length = attribute.number()
            attribute.skip(length + -length % 4)
        else:
            attribute.take(4)

    def _message_value(self, kind: int, name: int, attribute: _Attribute) -> None:
        if kind in _FIXED:
            value = attribute.take(_FIXED[kind])
            if name == _INTERNET_CODE_PAGE:
                self._internet_code_page = int.from_bytes(value[:4], "little")
            return
        if kind not in (_OBJECT, _STRING, _UNICODE, _BINARY):
            raise BrokenError
        length = attribute.number()
        if name in _BODIES and length <= _BODY_BYTES:
            self._texts[name] = (kind, attribute.take(length))
        else:
            attribute.skip(length)
        attribute.skip(min(-length % 4, attribute.left))

    def _value(self, kind: int, name: int, attribute: _Attribute, file: _File) -> Iterator[bytes]:
        if kind in _FIXED:
            attribute.take(_FIXED[kind])
            return
        if kind not in (_OBJECT, _STRING, _UNICODE, _BINARY):
            raise BrokenError
        length = attribute.number()
        if name == _DATA_OBJECT and kind == _OBJECT and (file.held or not file.has_data):
            yield from self._object(length, attribute, file)
        elif name == _DATA_OBJECT and kind == _BINARY and not file.has_data:
            yield from _data(attribute, length, file)
        elif name in _TEXTS and kind in (_STRING, _UNICODE) and length <= _NAME_BYTES:
            charset = "utf-16-le" if kind == _UNICODE else self._charset
            file.names[_TEXTS[name]] = _text(attribute.take(length), charset)
        else:
            attribute.skip(length)
        attribute.skip(min(-length % 4, attribute.left))

    def _object(self, length: int, attribute: _Attribute, file: _File) -> Iterator[bytes]:
        if length < _INTERFACE_BYTES:
            raise BrokenError
        if attribute.take(_INTERFACE_BYTES) == _MESSAGE:
            file.declared_type = TNEF
        file.has_data, file.held = False, b""
        yield from _data(attribute, length - _INTERFACE_BYTES, file)

    def _count(self) -> None:
        self._elements += 1
        if self._elements > _ELEMENTS:
            raise _TooManyError


def _body(kind: BodyKind, data: bytes, charset: str | None) -> Iterator[FileEvent]:
    if data.strip(b"\0 \t\r\n"):
        yield data
        yield FileEnd(declared_type=f"text/{'html' if kind == 'html' else 'plain'}", body=kind, charset=charset)


def _label(code_page: int) -> str | None:
    return f"cp{code_page}" if code_page else None


def _data(attribute: _Attribute, length: int, file: _File) -> Iterator[bytes]:
    if not file.has_data:
        file.has_data = True
        yield from attribute.pieces(length)


def _hold(attribute: _Attribute, file: _File) -> None:
    if not file.has_data:
        file.has_data = True
        for piece in attribute.pieces(attribute.left):
            file.held += piece


def _text(data: bytes, charset: str) -> str:
    """Decode a NUL-terminated name."""
    return clean(data.decode(charset, "replace").partition("\0")[0]).strip()


def _charset(code_page: int) -> str:
    """Return the codec of a Windows code page; Western European if it is unknown or undeclared."""
    return known_charset(f"cp{code_page}") or "cp1252"
