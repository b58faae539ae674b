"""Batches of a bounded size."""

from __future__ import annotations

from itertools import count, islice

from ingest.usecases.batches import batches


def test_batches_keep_order_and_end_with_the_rest() -> None:
    assert list(batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches(range(6), 3)) == [[0, 1, 2], [3, 4, 5]]
    assert list(batches([], 3)) == []


def test_batches_read_lazily() -> None:
    numbers = count()
    assert list(islice(batches(numbers, 2), 2)) == [[0, 1], [2, 3]]
    assert next(numbers) == 4
