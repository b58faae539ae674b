"""The files in a message that Outlook saved (`.msg`, MS-OXMSG), read in a guarded process.

The texts of the message stay inside, as those of other nested messages do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.containers import outlookreader
from ingest.containers.guard import GuardedFiles, declared_type
from ingest.containers.stream import FileEnd

if TYPE_CHECKING:
    from ingest.containers.limits import ContainerLimits

OLE = "application/x-ole-storage"
OUTLOOK_MESSAGE = "application/vnd.ms-outlook"
MESSAGE_HEAD_BYTES = 65_536

# Names in the directory of every message (MS-OXMSG section 2.2), which is mostly at the beginning of the file.
_NAMES = tuple(name.encode("utf-16-le") for name in ("__nameid_version1.0", "__substg1.0_"))


def is_message_file(head: bytes, filename: str | None) -> bool:
    """Return whether a compound file is a message.

    Args:
        head: its first `MESSAGE_HEAD_BYTES`.
        filename: its name; the directory may be behind the head.
    """
    return (filename or "").lower().endswith(".msg") or any(name in head for name in _NAMES)


class MessageFiles(GuardedFiles):
    """The files in a message and in the messages that are attached to it; see `GuardedFiles`."""

    def __init__(self, file: int, limits: ContainerLimits, *, max_bytes: int, seconds: float) -> None:
        super().__init__(outlookreader.MODULE, file, limits, max_bytes=max_bytes, seconds=seconds)

    @override
    def _end(self, payload: bytes) -> FileEnd:
        media_type, content_id, name = payload.decode("utf-8", "replace").split("\0", 2)
        return FileEnd(
            filename=name or None, declared_type=declared_type(media_type), content_id=content_id.strip(" <>") or None
        )
