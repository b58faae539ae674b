"""Files embedded in PDFs (ISO 32000-2 section 7.11.4).

Starting a guarded process costs a tenth of a second of CPU, and few PDFs hold files, so a cheap scan of the bytes
decides whether to start one.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.containers import pdfreader
from ingest.containers.guard import GuardedFiles, declared_type
from ingest.containers.stream import FileEnd
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.containers.limits import ContainerLimits
    from ingest.containers.passwords import Passwords
    from ingest.containers.stream import FileEvent

# Object streams hide objects from a scan, but never streams and their dictionaries (ISO 32000-2 section 7.5.7), and
# encryption does not hide those either. An embedded file is a stream: its dictionary has the type EmbeddedFile or, if
# the writer left that out, Params or an XML type. The other two keys are in file specifications. A PDF with none of
# them holds no invoice of any known writer.
_SIGNS = re.compile(
    rb"/(?:EmbeddedFile|Params\b|AFRelationship|EF[\s<]|(?:text|application)#2[Ff]xml"
    # In the trailer or a cross-reference stream, which are never compressed or encrypted either.
    rb"|(Encrypt\s{0,8}(?:[0-9]{1,10}\s{1,8}[0-9]{1,5}\s{1,8}R|<<)))"
)
_SEAM_BYTES = 64  # longer than any sign


class PdfScan:
    """Scans a PDF for signs of embedded files, in pieces of any size.

    Attributes:
        holds_files: whether it seems to hold files.
        encrypted: whether it seems to be encrypted.
    """

    def __init__(self) -> None:
        self.holds_files = False
        self.encrypted = False
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Scan the next bytes."""
        if self.holds_files and self.encrypted:
            return
        self._look(self._tail + data[:_SEAM_BYTES])
        self._look(data)
        self._tail = (self._tail + data)[-_SEAM_BYTES:] if len(data) < _SEAM_BYTES else data[-_SEAM_BYTES:]

    def _look(self, data: bytes) -> None:
        for found in _SIGNS.finditer(data):
            if found[1] is None:
                self.holds_files = True
            else:
                self.encrypted = True
            if self.holds_files and self.encrypted:
                return


class PdfFiles(GuardedFiles):
    """The files that the catalog of a PDF names; see `GuardedFiles`. Files named by pages are ignored.

    Invoices come first, so that limits cut them last.

    Args:
        file: descriptor of a complete regular file with the PDF; its position is not changed.
        scan: fed with all of it. Without a sign no process is started.
        limits: of the process, and of the number of files and bytes.
        max_bytes: bytes that may still be extracted from the message.
        seconds: time that is left for guarded processes of the message.
        passwords: tried if it is encrypted. If one fits, its one file is the PDF itself, without encryption.
        name: of that file.

    Attributes:
        encrypted: whether it is encrypted; it is still read if it opens without a password.
        unlocked: whether a password fits.
    """

    def __init__(
        self,
        file: int,
        scan: PdfScan,
        limits: ContainerLimits,
        *,
        max_bytes: int,
        seconds: float,
        passwords: Passwords | None = None,
        name: str | None = None,
    ) -> None:
        self._tried = bool(scan.encrypted and passwords)
        super().__init__(
            pdfreader.MODULE,
            file,
            limits,
            max_bytes=max_bytes,
            seconds=seconds,
            passwords=passwords if self._tried else None,
        )
        self._scan, self._name = scan, name
        self.encrypted = scan.encrypted
        self.unlocked = False

    @override
    def __iter__(self) -> Iterator[FileEvent]:
        if not self._scan.holds_files and not self._tried:
            return
        if find_spec("pypdf") is None:
            self.defects.add(Defect.PDF_UNREAD)
            return
        yield from super().__iter__()

    @override
    def _end(self, payload: bytes) -> FileEnd:
        media_type, _, name = payload[1:].decode("utf-8", "replace").partition("\0")
        return FileEnd(
            filename=self._name if self.unlocked else name or None,
            declared_type=declared_type(media_type),
            defects=frozenset({Defect.CONTAINER_BROKEN}) if payload[:1] == pdfreader.YES else frozenset(),
        )

    @override
    def _note(self, kind: int, payload: bytes) -> None:
        if kind == pdfreader.OPENED:
            self.encrypted = payload == pdfreader.YES
        elif kind == pdfreader.UNREAD:
            self.defects.add(Defect.PDF_UNREAD)
        elif kind == pdfreader.UNLOCKED:
            self.unlocked = True
        elif kind == pdfreader.SHUT:
            self.defects.add(Defect.PASSWORD_WRONG if self._tried else Defect.PDF_PASSWORD)
        elif kind == pdfreader.UNSUPPORTED:
            self.defects.add(Defect.ENCRYPTION_UNSUPPORTED)
        else:
            super()._note(kind, payload)
