"""The reader of Outlook messages that runs inside a guarded process: olefile may misbehave on a hostile file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.containers import confined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from ingest.containers.confined import Send

MODULE = "ingest.containers.outlookreader"
# The payload of END is a media type, a NUL, a Content-ID, a NUL and a name.

# Properties of an attachment (MS-OXPROPS), and their types as they stand in the names of streams.
_DATA, _MIME_TYPE, _CONTENT_ID = "3701", "370E", "3712"
_NAMES = ("3707", "3704", "3001")  # in order of preference
_BINARY, _OBJECT, _UNICODE, _STRING = "0102", "000D", "001F", "001E"
_STREAM = "__substg1.0_"
_ATTACHMENT = "__attach_version1.0_#"
_TEXT_LENGTH = 1000
_DEPTH = 10


def _work(file: BufferedReader, send: Send, arguments: list[str]) -> None:
    from olefile import OleFileIO  # type: ignore[import-untyped]  # noqa: PLC0415 - under the limits

    files, size = int(arguments[0]), int(arguments[1])
    with OleFileIO(file) as compound:
        for storage in _attachments(compound):
            path = [*storage, _STREAM + _DATA + _BINARY]
            if not compound.exists(path):
                continue
            if not files or compound.get_size(path) > size:
                send(confined.LIMIT, b"")
                continue
            try:
                data = compound.openstream(path).read()
                about = _about(compound, storage)
            except OSError:
                send(confined.DAMAGED, b"")
                continue
            files, size = files - 1, size - len(data)
            for at in range(0, len(data), confined.FRAME_BYTES):
                send(confined.BYTES, data[at : at + confined.FRAME_BYTES])
            send(confined.END, about)


def _attachments(compound: Any) -> Iterator[list[str]]:
    """Yield the storage of each attachment, those of attached messages included, in order."""
    storages = compound.listdir(streams=False, storages=True)
    for storage in sorted(storages):
        if len(storage) <= 2 * _DEPTH and storage[-1].startswith(_ATTACHMENT):
            yield storage


def _about(compound: Any, storage: list[str]) -> bytes:
    name = next((found for each in _NAMES if (found := _text(compound, storage, each))), "")
    values = (_text(compound, storage, _MIME_TYPE), _text(compound, storage, _CONTENT_ID), name)
    return "\0".join(values).encode("utf-8", "replace")


def _text(compound: Any, storage: list[str], name: str) -> str:
    for kind, charset in ((_UNICODE, "utf-16-le"), (_STRING, "cp1252")):
        path = [*storage, _STREAM + name + kind]
        if compound.exists(path):
            data: bytes = compound.openstream(path).read(2 * _TEXT_LENGTH)
            return data.decode(charset, "replace").partition("\0")[0][:_TEXT_LENGTH]
    return ""


if __name__ == "__main__":
    confined.run(_work)
