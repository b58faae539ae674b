"""What rows mean, and how far ahead commands are sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.pop3.listing import combine_listing, parse_count
from ingest.pop3.window import LOCKSTEP, Depth, Window
from ingest.ports.maildrop import Listed, Listing


def test_only_rows_on_which_uidl_and_list_agree_are_listed() -> None:
    """The others are counted."""
    listing = combine_listing(3, [b"1 a", b"3 c"], [b"1 10", b"2 20", b"3 30"])
    assert listing == Listing([Listed(1, b"a", 10), Listed(3, b"c", 30)], left_out=1)
    assert combine_listing(2, [b"1 a", b"2 b"], [b"2 5"]) == Listing([Listed(2, b"b", 5)], left_out=1)


@pytest.mark.parametrize("row", [b"0 a", b"-1 a", b"x a", b" ", b"1", b"1 ", b"99999999999 a", b"1 a\tb", b"1 \0"])
def test_malformed_rows_are_left_out(row: bytes) -> None:
    scan = [b"0 1", b"-1 1", b"x 1", b"1 1", b"2 5", b"99999999999 1"]
    assert combine_listing(2, [row, b"2 b"], scan).rows == [Listed(2, b"b", 5)]


def test_malformed_row_in_both_lists_is_counted_once() -> None:
    assert combine_listing(1, [b"0 a", b"1 b"], [b"0 7", b"1 5"]).left_out == 1
    assert combine_listing(1, [b"x", b"1 b"], [b"y", b"1 5"]).left_out == 2


def test_numbers_above_stats_count_are_left_out() -> None:
    """There can be no such message."""
    assert combine_listing(1, [b"1 a", b"2 b"], [b"1 1", b"2 2"]) == Listing([Listed(1, b"a", 1)], left_out=1)


def test_message_counted_by_stat_only_is_left_out() -> None:
    assert combine_listing(3, [b"2 b"], [b"2 2"]) == Listing([Listed(2, b"b", 2)], left_out=2)
    assert combine_listing(10**9, [], []) == Listing([], left_out=10**9)


def test_malformed_count_bounds_nothing() -> None:
    assert combine_listing(None, [b"7 a"], [b"7 1"]) == Listing([Listed(7, b"a", 1)])


def test_repeated_number_is_never_fetched() -> None:
    """Nobody knows which of the two it is."""
    expected = Listing([Listed(2, b"d", 2)], left_out=1)
    assert combine_listing(2, [b"1 a", b"1 b", b"1 c", b"2 d"], [b"1 1", b"2 2"]) == expected
    assert combine_listing(2, [b"1 a", b"2 d"], [b"1 1", b"1 3", b"2 2"]) == expected
    assert combine_listing(2, [b"1 a", b"1 a", b"2 d"], [b"1 1", b"2 2"]) == expected


def test_repeated_unique_id_is_listed_twice() -> None:
    assert [row.number for row in combine_listing(2, [b"1 a", b"2 a"], [b"1 1", b"2 2"]).rows] == [1, 2]


def test_unique_ids_are_opaque() -> None:
    """Blanks, 8-bit, length."""
    long = b"u" * 255
    listing = combine_listing(3, [b"1 a b ", b"2 \xe4\xff", b"3 " + long], [b"1 1", b"2 2", b"3 3"])
    assert [row.unique_id for row in listing.rows] == [b"a b ", b"\xe4\xff", long]


def test_without_uidl_everything_that_list_shows_is_listed() -> None:
    listing = combine_listing(2, None, [b"1 5", b"2 x", b"3 9"])
    assert listing == Listing([Listed(1, None, 5), Listed(2, None, None)], unique_ids=False, left_out=1)


@pytest.mark.parametrize("size", [b"-5", b"x", b"", b"1e3", b"0x10", b"9" * 30, b"9" * 400, b"1_000"])
def test_malformed_size_is_unknown(size: bytes) -> None:
    assert combine_listing(1, [b"1 a"], [b"1 " + size]).rows == [Listed(1, b"a", None)]


def test_scan_listing_may_continue_after_the_size() -> None:
    """RFC 1939 section 5."""
    assert combine_listing(1, [b"1 a"], [b"1 120 bytes"]).rows == [Listed(1, b"a", 120)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b"3 120", 3),
        (b"0 0", 0),
        (b"3", 3),
        (b"3 120 bytes", 3),
        (b"", None),
        (b" ", None),
        (b"-3 1", None),
        (b"x", None),
        (b"9" * 11 + b" 1", None),
    ],
)
def test_stat_is_parsed_strictly(text: bytes, count: int | None) -> None:
    assert parse_count(text) == count


@given(
    st.one_of(st.none(), st.integers(0, 20)),
    st.one_of(st.none(), st.lists(st.one_of(st.binary(max_size=20), st.from_regex(rb"\d{1,2} \w", fullmatch=True)))),
    st.lists(st.one_of(st.binary(max_size=20), st.from_regex(rb"\d{1,2} \d", fullmatch=True))),
)
def test_arbitrary_listings_never_raise(count: int | None, uidl: list[bytes] | None, scan: list[bytes]) -> None:
    listing = combine_listing(count, uidl, scan)
    numbers = [row.number for row in listing.rows]
    assert numbers == sorted(set(numbers))
    assert 0 not in numbers
    assert count is None or max(numbers, default=0) <= count
    assert listing.left_out >= 0
    assert all((row.unique_id is None) == (uidl is None) for row in listing.rows)


def rows(*sizes: int | None) -> list[Listed]:
    return [Listed(number, b"", size) for number, size in enumerate(sizes, 1)]


def numbers(batch: list[Listed]) -> list[int]:
    return [row.number for row in batch]


def test_window_is_bounded_by_count_and_refilled_by_the_quarter() -> None:
    window = Window(rows(*[1] * 20), Depth(commands=8, most=8, max_bytes=1000), 0.0)
    assert len(window.refill()) == 8
    window.answered(0.0)
    assert window.refill() == []
    window.answered(0.0)
    assert numbers(window.refill()) == [9, 10]


def test_window_is_bounded_by_bytes() -> None:
    window = Window(rows(40, 40, 40, 40, 40), Depth(commands=100, max_bytes=100), 0.0)
    assert numbers(window.refill()) == [1, 2]
    window.answered(0.0)
    assert numbers(window.refill()) == [3]


def test_two_large_messages_are_always_outstanding() -> None:
    window = Window(rows(500, None, 500, 1), Depth(commands=100, max_bytes=100), 0.0)
    assert numbers(window.refill()) == [1, 2]
    window.answered(0.0)
    assert numbers(window.refill()) == [3]


def test_message_of_unknown_size_takes_up_the_whole_window() -> None:
    window = Window(rows(None, 1, 1, 1), Depth(commands=100, max_bytes=100), 0.0)
    assert numbers(window.refill()) == [1, 2]
    window.answered(0.0)
    assert numbers(window.refill()) == [3, 4]


def test_in_lockstep_one_command_is_outstanding() -> None:
    window = Window(rows(1, None, 1), LOCKSTEP, 0.0)
    for number in (1, 2, 3):
        assert numbers(window.refill()) == [number]
        assert window.refill() == []
        assert window.head().number == number
        window.answered(0.0)
    assert not window


def outstanding(window: Window, answers: int, *, now: float, ok: bool = True) -> int:
    """Answer so many commands, and return how many are outstanding after that."""
    for _ in range(answers):
        window.refill()
        window.answered(now, ok=ok)
    window.refill()
    return len(window._sent)


def test_window_grows_while_the_server_keeps_up() -> None:
    window = Window(rows(*[1] * 1000), Depth(commands=8, most=100, max_bytes=1000), 0.0)
    assert outstanding(window, 8, now=0.1) == 32
    assert outstanding(window, 32, now=0.2) == 100
    assert outstanding(window, 100, now=0.3) == 100


def test_window_does_not_grow_while_the_server_is_slow() -> None:
    window = Window(rows(*[1] * 1000), Depth(commands=8, most=100, max_bytes=1000), 0.0)
    assert outstanding(window, 8, now=5.0) == 8
    assert outstanding(window, 8, now=5.1) == 32


def test_window_shrinks_to_its_first_size_when_a_command_is_refused() -> None:
    window = Window(rows(*[1] * 1000), Depth(commands=8, most=100, max_bytes=1000), 0.0)
    assert outstanding(window, 8, now=0.0) == 32
    assert outstanding(window, 1, now=0.0, ok=False) == 31
    assert [outstanding(window, 1, now=float(second)) for second in range(25)][-1] == 8


def test_window_that_has_grown_is_still_bounded_by_bytes() -> None:
    window = Window(rows(*[1] * 8, *[50] * 100), Depth(commands=8, most=100, max_bytes=1000), 0.0)
    assert outstanding(window, 8, now=0.0) == 20


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=60),
    st.integers(1, 10),
    st.integers(1, 100),
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 1.0])), min_size=60, max_size=60),
)
def test_every_message_is_asked_for_once_and_in_order(
    sizes: list[int | None], depth: int, size: int, answers: list[tuple[bool, float]]
) -> None:
    most, now = 3 * depth, 0.0
    window = Window(rows(*sizes), Depth(depth, most, size), 0.0)
    asked: list[int] = []
    answered = 0
    while window:
        asked += numbers(window.refill())
        assert answered < len(asked) <= answered + most
        assert window.head().number == answered + 1
        ok, waited = answers[answered]
        now += waited
        window.answered(now, ok=ok)
        answered += 1
    assert asked == list(range(1, len(sizes) + 1))
