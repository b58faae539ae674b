"""Steps of a bounded size."""

from __future__ import annotations

from itertools import count, islice

from ingest.usecases.batches import batches


def test_everything_comes_once_in_order_and_the_rest_at_the_end() -> None:
    assert list(batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches(range(6), 3)) == [[0, 1, 2], [3, 4, 5]]
    assert list(batches([], 3)) == []


def test_no_more_is_read_than_was_asked_for() -> None:
    numbers = count()
    assert list(islice(batches(numbers, 2), 2)) == [[0, 1], [2, 3]]
    assert next(numbers) == 4
