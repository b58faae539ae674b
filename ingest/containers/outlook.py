"""The files in a message that Outlook saved (`.msg`, MS-OXMSG), read in a guarded process.

The texts of the message stay inside, as those of other nested messages do.
"""

from __future__ import annotations

import re
from os import fstat
from typing import TYPE_CHECKING

from ingest.containers import outlookreader as reader
from ingest.containers.guard import Confinement, Guarded, Outcome
from ingest.containers.stream import FileEnd
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.containers.limits import ContainerLimits
    from ingest.containers.stream import FileEvent

OLE = "application/x-ole-storage"
OUTLOOK_MESSAGE = "application/vnd.ms-outlook"
MESSAGE_HEAD_BYTES = 65_536

# Names in the directory of every message (MS-OXMSG section 2.2), which is mostly at the beginning of the file.
_NAMES = tuple(name.encode("utf-16-le") for name in ("__nameid_version1.0", "__substg1.0_"))
_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,100}")
_OUTCOMES: dict[Outcome, frozenset[Defect]] = {
    Outcome.DONE: frozenset(),
    Outcome.STOPPED: frozenset({Defect.CONTAINER_STOPPED}),
    Outcome.BROKEN: frozenset({Defect.CONTAINER_BROKEN}),
}
_OVERHEAD = 2**20  # frames and names


def is_message_file(head: bytes, filename: str | None) -> bool:
    """Return whether a compound file is a message.

    Args:
        head: its first `MESSAGE_HEAD_BYTES`.
        filename: its name; the directory may be behind the head.
    """
    return (filename or "").lower().endswith(".msg") or any(name in head for name in _NAMES)


class MessageFiles:
    """The files in a message and in the messages that are attached to it. Iterate once.

    Args:
        file: descriptor of a complete regular file with the message; its position is not changed.
        limits: of the process, and of the number of files and bytes.
        max_bytes: bytes that may still be extracted from the mail.
        seconds: time that is left for guarded processes of the mail.

    Attributes:
        defects: of the message.
        waited: seconds spent waiting for the process.
    """

    def __init__(self, file: int, limits: ContainerLimits, *, max_bytes: int, seconds: float) -> None:
        self._file, self._limits, self._seconds = file, limits, seconds
        self._bytes = min(max_bytes, max(limits.ratio_free, limits.ratio * fstat(file).st_size))
        self.defects: set[Defect] = set()
        self.waited = 0.0

    def __iter__(self) -> Iterator[FileEvent]:
        """Yield the bytes of each file, then its end.

        Raises:
            GuardError: the process cannot be started.
        """
        limits = self._limits
        confinement = Confinement(
            cpu_seconds=limits.child_seconds,
            memory_bytes=limits.child_bytes,
            seconds=self._seconds,
            output_bytes=self._bytes + self._bytes // 64 + _OVERHEAD,
        )
        arguments = (str(limits.children), str(self._bytes))
        with Guarded(reader.MODULE, self._file, confinement, arguments) as child:
            unfinished = False
            for kind, payload in child:
                self.waited = child.waited
                if kind == reader.BYTES:
                    unfinished = True
                    yield payload
                elif kind == reader.END:
                    unfinished = False
                    yield _end(payload)
                else:
                    self.defects.add(Defect.CONTAINER_LIMIT if kind == reader.LIMIT else Defect.CONTAINER_BROKEN)
            self.waited = child.waited
        defects = _OUTCOMES[child.outcome]
        self.defects.update(defects)
        if unfinished:
            yield FileEnd(defects=defects)


def _end(payload: bytes) -> FileEnd:
    media_type, content_id, name = payload.decode("utf-8", "replace").split("\0", 2)
    return FileEnd(
        filename=name or None,
        declared_type=media_type.lower() if _TYPE.fullmatch(media_type.lower()) else "application/octet-stream",
        content_id=content_id.strip(" <>") or None,
    )
