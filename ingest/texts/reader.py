"""The converters in a guarded process: sends the converted HTML, then whether all of it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.containers import confined
from ingest.texts.plain import to_plain
from ingest.texts.safe import to_safe

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

    from ingest.containers.confined import Send

MODULE = "ingest.texts.reader"
CONVERTERS: dict[str, Callable[[bytes], tuple[bytes, bool]]] = {"plain": to_plain, "safe_html": to_safe}


def _work(file: BufferedReader, send: Send, arguments: list[str]) -> None:
    kind, size = arguments
    markup = file.read(int(size))
    if file.read(1):
        send(confined.LIMIT, b"")
        markup = markup[: markup.rfind(b"<")]  # else half a tag would be text
    data, whole = CONVERTERS[kind](markup)
    for at in range(0, len(data), confined.FRAME_BYTES):
        send(confined.BYTES, data[at : at + confined.FRAME_BYTES])
    if not whole:
        send(confined.LIMIT, b"")


if __name__ == "__main__":
    confined.run(_work)
