"""Reading a container in pieces of every size, and its files as plain values."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.mime.defects import Defect, codes
from tests.support.tnef import tnef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ingest.containers.stream import FileEnd, FileEvent

    Reader = Callable[[Iterable[bytes], set[Defect]], Iterator[FileEvent]]

SIZES = (1, 7, 4096, 262_144)
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 8
OFFER = (
    b'Content-Type: multipart/mixed; boundary="i"\r\n\r\n--i\r\nContent-Type: text/plain\r\n\r\nSigned.\r\n'
    b"--i\r\nContent-Type: text/html\r\n\r\n<p>Signed.\r\n"
    b'--i\r\nContent-Type: application/pdf; name="o.pdf"\r\n\r\n%PDF-1.7 offer\r\n--i--\r\n'
)
WINMAIL = "winmail.dat", "application/ms-tnef"
SMIME = "smime.p7m", "application/pkcs7-mime"


@dataclass(frozen=True)
class Files:
    """The output of a reader: the end of each file with its content, and the codes of the container."""

    found: list[tuple[bytes, FileEnd]]
    defects: tuple[str, ...]

    @property
    def contents(self) -> list[bytes]:
        return [content for content, _ in self.found]

    @property
    def names(self) -> list[str | None]:
        return [end.filename for _, end in self.found]


def read_files(reader: Reader, data: bytes, size: int = 262_144) -> Files:
    """Read in pieces of `size` bytes."""
    found: list[tuple[bytes, FileEnd]] = []
    defects: set[Defect] = set()
    content: list[bytes] = []
    for event in reader((data[at : at + size] for at in range(0, len(data), size)), defects):
        if isinstance(event, bytes):
            content.append(event)
        else:
            found.append((b"".join(content), event))
            content = []
    assert not content, "bytes are followed by their file's end"
    return Files(found, codes(defects))


def read_files_alike(reader: Reader, data: bytes) -> Files:
    """Read in pieces of every size, and check that the result is the same."""
    first, *others = [read_files(reader, data, size) for size in SIZES]
    assert all(other == first for other in others)
    return first


def mail_with(*files: tuple[str, str, bytes], text: str | None = "Hello.") -> bytes:
    """A mail with attached files in base64: name, declared type, content."""
    parts = [] if text is None else [f"--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n".encode()]
    for name, declared, content in files:
        named = f'; name="{name}"' if name else ""
        fields = f"Content-Type: {declared}{named}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        parts.append(b"--b\r\n" + fields.encode() + base64.encodebytes(content) + b"\r\n")
    head = b'Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    return head + b"".join(parts) + b"--b--\r\n"


def winmail(*files: bytes) -> tuple[str, str, bytes]:
    """For `mail_with`: a winmail.dat with these files, made by `tests.support.tnef.attached`."""
    return *WINMAIL, tnef(*files)
