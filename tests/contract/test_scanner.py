"""What every virus scanner promises: one suite on the twin and on a real clamd, through both of its sockets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import pytest

from ingest.adapters.scanners.clamd import ClamdScanner
from ingest.domain.manifest import Scan
from ingest.errors import ScannerUnavailableError
from ingest.testing.scanner import MemoryScanner
from tests.support.clamav import FILE_MAX, SIGNATURE, VIRUS, running_clamd
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.ports.scanner import Scanner
    from tests.support.clamav import Clamd

LARGEST = FILE_MAX // 2


class World(NamedTuple):
    """A scanner that takes files up to `LARGEST`."""

    scanner: Scanner
    largest: int = LARGEST


@pytest.fixture(params=["memory", "unix", "tcp"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return World(MemoryScanner({VIRUS: SIGNATURE}, LARGEST))
    clamd: Clamd = request.getfixturevalue("clamd")
    url = clamd.unix_url if request.param == "unix" else clamd.tcp_url
    return World(ClamdScanner(url, timeout=PATIENCE, largest=LARGEST))


def scan(scanner: Scanner, content: bytes) -> Scan:
    return scanner.scan(io.BytesIO(content), len(content))


@pytest.mark.parametrize("content", [b"", b"an invoice", bytes(LARGEST), b"\r\n.\r\n" * 1000])
def test_harmless_files_are_clean(world: World, content: bytes) -> None:
    assert scan(world.scanner, content) == Scan(status="clean")


@pytest.mark.parametrize("before", [0, 1, LARGEST - 70])
def test_virus_is_found_wherever_it_is(world: World, before: int) -> None:
    assert scan(world.scanner, b"x" * before + VIRUS) == Scan(status="infected", signature=SIGNATURE)


def test_file_that_is_too_large_is_not_reported_as_clean(world: World) -> None:
    assert scan(world.scanner, bytes(world.largest + 1)) == Scan(status="unscanned")


def test_concurrent_scans_are_independent(world: World) -> None:
    for _ in range(3):
        assert scan(world.scanner, VIRUS).status == "infected"
        assert scan(world.scanner, b"an invoice").status == "clean"


def test_check_passes_for_a_running_scanner(world: World) -> None:
    world.scanner.check()
    assert scan(world.scanner, VIRUS).status == "infected"


def unavailable_twin() -> Scanner:
    return MemoryScanner(unavailable=True)


def unavailable_clamd() -> Scanner:
    with running_clamd() as server:
        url = server.tcp_url
    return ClamdScanner(url, timeout=PATIENCE, largest=LARGEST)


def nobodys_socket() -> Scanner:
    return ClamdScanner("unix:///nonexistent/clamd.ctl", timeout=PATIENCE, largest=LARGEST)


@pytest.mark.parametrize("make", [unavailable_twin, unavailable_clamd, nobodys_socket])
def test_unavailable_scanner_gives_no_verdict(make: Callable[[], Scanner]) -> None:
    scanner = make()
    assert scan(scanner, b"an invoice") == Scan(status="unscanned")
    with pytest.raises(ScannerUnavailableError):
        scanner.check()
