"""A server that drips is left; one that is slow, or waits for us, is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.pop3.deadlines import Pace


def test_drip_is_too_slow_once_the_window_has_passed() -> None:
    pace = Pace(rate=100, window=10)
    assert [pace.waited(1, 1) for _ in range(10)] == [True] * 9 + [False]


def test_slow_line_at_the_minimum_rate_passes() -> None:
    pace = Pace(rate=100, window=10)
    assert all(pace.waited(5, 500) for _ in range(100))


def test_silence_followed_by_enough_passes() -> None:
    pace = Pace(rate=100, window=10)
    assert pace.waited(9, 0)
    assert pace.waited(2, 1100)


def test_each_window_counts_by_itself() -> None:
    """Who has sent much may not drip for hours on the strength of it."""
    pace = Pace(rate=100, window=10)
    assert pace.waited(10, 10**9)
    assert not pace.waited(10, 999)


@given(st.lists(st.integers(0, 10_000)))
def test_time_without_waiting_does_not_count(size: list[int]) -> None:
    """A slow store, not the server, may be why so little was read."""
    pace = Pace(rate=100, window=10)
    assert all(pace.waited(0, count) for count in size)
