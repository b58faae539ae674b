"""A checkpoint is read as it was written, and nothing else is read as a checkpoint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.checkpoint import dump, load

DONE = st.dictionaries(st.binary(min_size=16, max_size=16), st.integers(0, 2**32 - 1))


@given(DONE)
def test_load_returns_what_was_dumped(done: dict[bytes, int]) -> None:
    assert load(dump(done)) == done


@given(DONE)
def test_the_same_content_makes_the_same_bytes(done: dict[bytes, int]) -> None:
    assert dump(dict(reversed(done.items()))) == dump(done)


def test_each_unique_id_takes_twenty_bytes() -> None:
    assert len(dump({b"a" * 16: 1, b"b" * 16: 2})) - len(dump({})) == 40


@pytest.mark.parametrize("data", [b"", b"mailhaul seen 2\n", dump({b"a" * 16: 1})[:-1], dump({}) + b"x", b"\0" * 100])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a checkpoint"):
        load(data)
