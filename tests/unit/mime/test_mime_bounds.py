"""Memory does not grow with the size of a message, and charset names from mail are never imported."""

from __future__ import annotations

import base64
import codecs
import hashlib
import tracemalloc
from typing import TYPE_CHECKING

from ingest.mime import parse
from ingest.mime.events import MessageEnded, PartData
from tests.support.mime import read

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 256 * 1024
HEAD = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"


def test_memory_does_not_grow_with_an_attachment() -> None:
    """25 MB take less than 4 MiB, the chunks included."""
    lines = base64.encodebytes(bytes(range(256)) * 750).replace(b"\n", b"\r\n")[:CHUNK]
    whole = lines[: len(lines) - len(lines) % 78]

    def chunks() -> Iterator[bytes]:
        yield HEAD
        for _ in range(25_000_000 // len(whole)):
            yield whole

    size, hashed, ended = 0, hashlib.sha256(), False
    tracemalloc.start()
    try:
        for event in parse(chunks()):
            if isinstance(event, PartData):
                size += len(event.data)
                hashed.update(event.data)
            ended = ended or isinstance(event, MessageEnded)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ended
    assert size > 18_000_000
    assert peak < 4 * 2**20


def test_an_unknown_charset_is_not_looked_up_in_the_codec_registry() -> None:
    """Python would import a module of that name and cache the failure for ever."""
    asked: list[str] = []

    def search(name: str) -> None:
        asked.append(name)

    codecs.register(search)
    try:
        found = read(b"Subject: =?x-made-up-1?q?a?=\r\nContent-Type: text/plain; charset=x-made-up-2\r\n\r\nbody")
    finally:
        codecs.unregister(search)
    assert found.headers.subject == "a"
    assert asked == []
