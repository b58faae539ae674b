"""The PDF reader that runs inside a guarded process, because pypdf may misbehave on a hostile file."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from ingest.containers import confined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from pypdf import PdfReader

    from ingest.containers.confined import Send

MODULE = "ingest.containers.pdfreader"

# The payload of END is a damaged flag, a media type, a NUL and a name. OPENED has YES if the PDF is encrypted,
# UNREAD reports that pypdf or a cipher library is missing, SHUT that no password fits, UNSUPPORTED another way of
# encryption. UNLOCKED says that a password fits: the one file that follows is the PDF without encryption.
OPENED, UNREAD, UNLOCKED, SHUT, UNSUPPORTED = range(confined.OWN_KINDS, confined.OWN_KINDS + 5)
NO, YES = b"0", b"1"

INVOICE_NAMES = frozenset({"factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml", "order-x.xml"})
_NAME_LENGTH, _TYPE_LENGTH = 1000, 100
# Nodes of the name tree, and entries in them, that are searched for invoice names before any file is decoded.
_NODES, _ENTRIES = 10_000, 10_000
# Keys in order of preference (ISO 32000-2 table 43); the last three are from PDF 1.x.
_NAMES = ("/UF", "/F", "/Unix", "/DOS", "/Mac")


class _Embedded(NamedTuple):
    name: str
    stream: Any  # a pypdf object, untyped


class _Damage(logging.Handler):
    """Detects repairs by pypdf, which it reports only in its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen = False

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - the text does not matter
        """Record that something was logged."""
        self.seen = True


class _Sender:
    """Decodes files and sends them, within the limits.

    Args:
        send: sends a frame.
        files: limit on their number.
        size: limit on their total bytes.
    """

    def __init__(self, send: Send, files: int, size: int) -> None:
        self._send, self._files, self._bytes = send, files, size
        self._damage = _Damage()
        log = logging.getLogger("pypdf")
        log.addHandler(self._damage)
        log.propagate = False

    def send(self, found: list[_Embedded]) -> None:
        """Send the files within the limits."""
        if len(found) > self._files:
            self._send(confined.LIMIT, b"")
        for embedded in found[: self._files]:
            self._send_one(embedded)

    def _send_one(self, embedded: _Embedded) -> None:
        from pypdf.errors import DependencyError, LimitReachedError  # noqa: PLC0415 - see _work

        self._damage.seen = False
        try:
            data = embedded.stream.get_data()
        except LimitReachedError:
            self._send(confined.LIMIT, b"")
        except (DependencyError, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - pypdf raises many types; the next file may be intact
            self._send(confined.DAMAGED, b"")
        else:
            if len(data) > self._bytes:
                self._send(confined.LIMIT, b"")
                return
            self._send_bytes(data)
            damaged = self._damage.seen or len(data) < _declared_size(embedded.stream)
            media_type = str(embedded.stream.get("/Subtype", "")).removeprefix("/")[:_TYPE_LENGTH]
            text = f"{media_type}\0{embedded.name}".encode("utf-8", "replace")
            self._send(confined.END, (YES if damaged else NO) + text)

    def send_copy(self, reader: PdfReader) -> None:
        """Send all of a PDF without its encryption."""
        from pypdf import PdfWriter  # noqa: PLC0415 - see _work

        into = io.BytesIO()
        PdfWriter(clone_from=reader).write(into)
        data = into.getbuffer()
        if len(data) > self._bytes:
            self._send(confined.LIMIT, b"")
            return
        self._send_bytes(data)
        self._send(confined.END, (YES if self._damage.seen else NO) + b"application/pdf\0")

    def _send_bytes(self, data: bytes | memoryview) -> None:
        self._bytes -= len(data)
        for at in range(0, len(data), confined.FRAME_BYTES):
            self._send(confined.BYTES, bytes(data[at : at + confined.FRAME_BYTES]))


def _work(file: BufferedReader, send: Send, arguments: list[str]) -> None:
    try:  # imported here, under the limits; the parent imports this module for its constants only
        from pypdf import PdfReader  # noqa: PLC0415
        from pypdf.errors import DependencyError  # noqa: PLC0415
    except ImportError:
        send(UNREAD, b"")
        return
    sender = _Sender(send, int(arguments[0]), int(arguments[1]))
    try:
        reader = PdfReader(file)
        send(OPENED, YES if reader.is_encrypted else NO)
        if not reader.is_encrypted or reader.decrypt(""):
            sender.send(sorted(_files(reader.root_object), key=lambda found: found.name.lower() not in INVOICE_NAMES))
        elif any(reader.decrypt(password) for password in confined.read_secret(arguments)):
            send(UNLOCKED, b"")
            sender.send_copy(reader)
        else:
            send(SHUT, b"")
    except DependencyError:  # AES needs another library
        send(OPENED, YES)
        send(UNREAD, b"")
    except NotImplementedError:  # encrypted for certificates
        send(OPENED, YES)
        send(UNSUPPORTED, b"")


def _files(catalog: Any) -> Iterator[_Embedded]:
    """Yield each embedded file of the name tree and the associated files once."""
    from pypdf.generic import DictionaryObject, StreamObject  # noqa: PLC0415 - see _work

    seen: set[object] = set()
    for key, specification in _specifications(catalog):
        files = _resolved(specification.get("/EF")) if isinstance(specification, DictionaryObject) else None
        if not isinstance(files, DictionaryObject):
            continue
        for variant in _NAMES:
            reference = files.raw_get(variant) if variant in files else None
            stream = _resolved(reference)
            if isinstance(stream, StreamObject):
                identity = getattr(reference, "idnum", None)
                if identity not in seen:
                    yield _Embedded(_name(specification, key), stream)
                seen.add(identity)
                break


def _specifications(catalog: Any) -> Iterator[tuple[object, Any]]:
    """Yield keys and file specifications: the name tree, without recursion, then the associated files."""
    names = _resolved(catalog.get("/Names"))
    waiting = [_entry(names, "/EmbeddedFiles")]
    nodes = entries = 0
    while waiting and nodes < _NODES:
        node = _resolved(waiting.pop())
        nodes += 1
        pairs = _items(_entry(node, "/Names"))
        for key, value in zip(pairs[::2], pairs[1::2], strict=False):
            entries += 1
            if entries > _ENTRIES:
                return
            yield _resolved(key), _resolved(value)
        waiting.extend(reversed(_items(_entry(node, "/Kids"))[:_NODES]))
    for value in _items(catalog.get("/AF"))[:_ENTRIES]:
        yield None, _resolved(value)


def _resolved(value: Any) -> Any:
    return None if value is None else value.get_object()


def _entry(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, dict) else None


def _items(value: Any) -> list[Any]:
    found = _resolved(value)
    return list(found) if isinstance(found, list) else []


def _name(specification: Any, key: object) -> str:
    for candidate in (*(_resolved(specification.get(name)) for name in _NAMES), key):
        if isinstance(candidate, bytes):
            return candidate.decode("latin-1")[:_NAME_LENGTH]
        if isinstance(candidate, str) and candidate:
            return candidate[:_NAME_LENGTH]
    return ""


def _declared_size(stream: Any) -> int:
    size = _resolved(_entry(_resolved(stream.get("/Params")), "/Size"))
    return size if isinstance(size, int) else 0


if __name__ == "__main__":
    confined.run(_work)
