"""Line ends as mail has them on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def with_crlf(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same text with every line ended by CRLF, the last one too.

    A bare LF becomes CRLF, as servers do that keep mail in files of the system's own line ends; a bare CR stays.
    Yields nothing for an empty text.
    """
    held, last = b"", b""
    for piece in pieces:
        if not piece:
            continue
        data = held + piece
        held = b"\r" if data.endswith(b"\r") else b""  # its LF may come with the next piece
        data = data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if data:
            last = data[-2:]
            yield data
    if held:
        yield held + b"\r\n"
    elif last and last != b"\r\n":
        yield b"\r\n"
