"""Clamd: limits, silence and nonsense make a file unscanned, never clean, and a clamd that hangs costs little."""

from __future__ import annotations

import io
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.scanners.clamd import ClamdScanner
from ingest.domain.manifest import Scan
from ingest.errors import ScannerUnavailableError
from tests.support.clamav import FILE_MAX, STREAM_MAX, VIRUS
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.clamav import Clamd

UNSCANNED = Scan(status="unscanned")


@contextmanager
def answering(answer: bytes | None) -> Iterator[tuple[str, list[int]]]:
    """A server that reads a stream, answers and closes; with None it neither reads nor answers.

    Yields its address, and a list that grows by one for each connection.
    """
    stop, met = threading.Event(), list[int]()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                met.append(1)
                with connection:
                    if answer is None:
                        stop.wait(PATIENCE)
                        continue
                    connection.settimeout(PATIENCE)
                    got = b""
                    while not got.endswith((bytes(4), b"zPING\0")):
                        got += connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}", met
        finally:
            stop.set()
            thread.join()


def scan(scanner: ClamdScanner, content: bytes) -> Scan:
    return scanner.scan(io.BytesIO(content), len(content))


@pytest.mark.parametrize("size", [STREAM_MAX + 1, STREAM_MAX * 40])
def test_stream_aborted_by_clamd_is_unscanned(clamd: Clamd, size: int) -> None:
    scanner = ClamdScanner(clamd.unix_url, timeout=PATIENCE, largest=2**30)
    assert scan(scanner, bytes(size)) == UNSCANNED
    assert scan(scanner, VIRUS).status == "infected", "and the next one is scanned"


def test_partially_scanned_file_is_unscanned(clamd: Clamd) -> None:
    scanner = ClamdScanner(clamd.unix_url, timeout=PATIENCE, largest=2**30)
    assert scan(scanner, b"x" * FILE_MAX + VIRUS) == UNSCANNED


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"stream: OK, or so\0",
        b"stream: ERROR\0",
        b"INSTREAM size limit exceeded. ERROR\0",
        b"stream: Can't allocate memory ERROR\0",
        b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0",
        b"stream:  FOUND\0",
        b"stream: \xff FOUND\0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"x" * 10_000,
    ],
)
def test_unknown_answer_is_unscanned(answer: bytes) -> None:
    with answering(answer) as (url, _):
        assert scan(ClamdScanner(url, timeout=PATIENCE, largest=1000), b"an invoice") == UNSCANNED


def test_server_other_than_clamd_is_refused() -> None:
    with answering(b"+OK POP3 ready\r\n") as (url, _), pytest.raises(ScannerUnavailableError, match="not clamd"):
        ClamdScanner(url, timeout=PATIENCE, largest=1000).check()


@pytest.mark.parametrize("content", [b"an invoice", bytes(2**24)])
def test_hanging_scanner_is_not_used_for_a_while(content: bytes) -> None:
    now = [0.0]
    with answering(None) as (url, met):
        scanner = ClamdScanner(url, timeout=0.3, largest=2**30, clock=lambda: now[0])
        assert scan(scanner, content) == UNSCANNED
        assert scan(scanner, content) == UNSCANNED
        assert len(met) == 1, "the second was not tried"
        now[0] += 31
        assert scan(scanner, content) == UNSCANNED
    assert scanner._silent_until > now[0], "the third was"
