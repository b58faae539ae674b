"""How much is collected from a socket before it is handled."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast

import pytest

from ingest.pop3.connection import Connection
from ingest.pop3.deadlines import Deadline

if TYPE_CHECKING:
    import socket

DEADLINE = Deadline(1.0, "too late")


class Records:
    """A socket of which each read gives one TLS record, as long as there are any."""

    def __init__(self, *sizes: int, end: type[OSError] = ssl.SSLWantReadError) -> None:
        self.sizes, self.end = list(sizes), end
        self.reads = 0

    def setblocking(self, _: bool) -> None:  # noqa: FBT001 - as sockets have it
        pass

    def recv_into(self, buffer: memoryview) -> int:
        self.reads += 1
        if not self.sizes:
            raise self.end
        size = min(len(buffer), self.sizes.pop(0))
        buffer[:size] = b"x" * size
        return size


def received(records: Records) -> int:
    return len(Connection(cast("socket.socket", records), lambda: 0.0).receive(DEADLINE))


@pytest.mark.parametrize("end", [ssl.SSLWantReadError, ConnectionResetError])
def test_short_records_between_full_ones_are_collected_with_them(end: type[OSError]) -> None:
    """Dovecot ends each flush of its output with a record of a few bytes."""
    assert received(Records(4096, 16, 4096, 12, end=end)) == 2 * 4096 + 28


def test_short_answer_is_handled_without_another_read() -> None:
    records = Records(16, 4096)
    assert (received(records), records.reads) == (16, 1)


def test_no_more_is_collected_than_the_buffer_holds() -> None:
    records = Records(*[4096] * 20)
    assert (received(records), records.reads) == (16 * 4096, 16)


def test_end_of_stream_behind_a_record_ends_the_collecting() -> None:
    records = Records(4096, 0, 4096)
    assert (received(records), records.reads) == (4096, 2)
