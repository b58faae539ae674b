"""Spools: a full disk is for a person to fix, and fails no message."""

from __future__ import annotations

import hashlib
import os
import resource
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from ingest.domain.keys import message_hasher
from ingest.domain.retry import MESSAGE_TRIES
from ingest.errors import SpoolError
from ingest.usecases.spool import MEMORY_BYTES, Spool
from tests.support.bench import bench, mail, never

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = mail("1", attachment=b"%PDF" + b"x" * 4 * MEMORY_BYTES)


@contextmanager
def full_disk(room: int = MEMORY_BYTES) -> Iterator[None]:
    """Limit the size of files; Python ignores the signal SIGXFSZ, so that writing raises an error."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_full_disk_is_reported_with_its_folder() -> None:
    spool = Spool()
    spool.write(b"x" * MEMORY_BYTES)
    with full_disk(), pytest.raises(SpoolError, match="TMPDIR"):
        spool.write(b"x")
    spool.close()


def test_full_disk_is_reported_when_buffered_bytes_are_read() -> None:
    spool = Spool()
    with full_disk(2 * MEMORY_BYTES):
        spool.write(b"x" * 2 * MEMORY_BYTES)
        spool.write(b"x")
        with pytest.raises(SpoolError):
            spool.reader()
        spool.close()


def test_a_poll_without_room_registers_nothing_and_leaves_the_message_on_the_server() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = LARGE
        with full_disk():
            b.poll_all()
        assert b.ledger.statuses()["a"].result == "spool_error"
        assert b.ledger.seen("a").records == {}
        assert drop.quits == 0
        b.everything()
        assert len(b.published()) == 1


def test_full_disk_fails_no_message() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = LARGE
        b.poll_all()
        with full_disk():
            for _ in range(MESSAGE_TRIES * 3):
                b.process_stage.run(never)
                b.clock.time += 60
        b.process_stage.run(never)
        assert b.ledger.counts() == {"open": 0, "failed": 0, "events": 1, "dead_letters": 0, "quarantined": 0}


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, MEMORY_BYTES, MEMORY_BYTES + 1])
@pytest.mark.parametrize("piece", [1_000, 65_536, 3 * MEMORY_BYTES])
def test_what_is_read_and_hashed_is_what_was_written(size: int, piece: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    with closing(Spool(message_hasher("a"))) as spool:
        for start in range(0, size, piece):
            assert spool.write(content[start : start + piece]) == len(content[start : start + piece])
        assert spool.size == size
        assert spool.sha256 == hashlib.sha256(content).hexdigest()
        assert spool.key == hashlib.sha256(b"a\0" + content).hexdigest()[:32]
        assert spool.head(100) == content[:100]
        assert spool.reader().read() == content
        assert os.pread(spool.descriptor(), size + 1, 0) == content
        assert spool.reader().read() == content


@pytest.mark.parametrize("size", [1, MEMORY_BYTES + 1])
def test_nothing_is_read_from_a_closed_spool(size: int) -> None:
    spool = Spool()
    spool.write(b"x" * size)
    spool.close()
    with pytest.raises(ValueError, match="closed"):
        spool.head()
    with pytest.raises(ValueError, match="closed"):
        spool.reader()


def test_bytes_in_memory_are_read_without_a_copy() -> None:
    content = b"x" * 1_000
    with closing(Spool()) as spool:
        spool.write(content)
        assert spool.head() is content
        assert spool.reader().read() is content
