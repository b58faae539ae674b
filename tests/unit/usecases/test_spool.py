"""Spools: a full disk is for a person to fix, and fails no message."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

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
        assert b.ledger.counts() == {"open": 0, "failed": 0, "events": 1, "dead_letters": 0}
