"""A checkpoint is read as it was written, and nothing else is read as a checkpoint."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.seen import UNKNOWN, SeenRecord, StoredAt
from ingest.domain.seen import dump_checkpoint as dump
from ingest.domain.seen import load_checkpoint as load

RECORDS = st.builds(SeenRecord, st.integers(0, 2**32 - 1), st.binary(min_size=22, max_size=22))
DONE = st.dictionaries(st.binary(min_size=16, max_size=16), RECORDS)


@given(DONE)
def test_load_returns_what_was_dumped(done: dict[bytes, SeenRecord]) -> None:
    assert load(dump(done)) == done


@given(DONE)
def test_the_same_content_makes_the_same_bytes(done: dict[bytes, SeenRecord]) -> None:
    assert dump(dict(reversed(list(done.items())))) == dump(done)


def test_each_message_takes_42_bytes() -> None:
    assert len(dump({b"a" * 16: SeenRecord(1), b"b" * 16: SeenRecord(2)})) - len(dump({})) == 84


@pytest.mark.parametrize(
    "data", [b"", b"mailhaul seen 1\n", dump({b"a" * 16: SeenRecord(1)})[:-1], dump({}) + b"x", b"\0" * 100]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        load(data)


@pytest.mark.parametrize(
    ("day", "size", "known"),
    [
        (None, 1, True),
        (date(1970, 1, 2), 2**32 - 1, True),
        (date(2059, 9, 18), 1, True),
        (date(1970, 1, 1), 1, False),
        (date(2059, 9, 19), 1, False),
        (date(2026, 11, 23), 2**32, False),
    ],
)
def test_place_that_a_record_cannot_hold_is_unknown(day: date | None, size: int, *, known: bool) -> None:
    """A message whose place is unknown is not deleted."""
    place = StoredAt("ab" * 16, day, size)
    assert (place.pack() != UNKNOWN) is known
    assert StoredAt.unpack(place.pack()) == (place if known else None)
