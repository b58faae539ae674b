"""Split work into batches of a bounded size."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, and a last one with the rest; items are read lazily.

    From Python 3.12 on, `itertools.batched` does the same.
    """
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
