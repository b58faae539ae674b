"""Work in steps of a bounded size."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """As many lists of `size` items as there are, and the rest; read as they are asked for.

    `itertools.batched` does the same from Python 3.12 on.
    """
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
