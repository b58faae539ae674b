"""Waiting for something to become true, instead of sleeping and hoping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
_PAUSE = 0.05


def eventually(condition: Callable[[], _T], timeout: float, describe: Callable[[], object] | str | None = None) -> _T:
    """Ask again and again until the answer is true, and return it.

    Args:
        condition: asked at least once; what it raises is not caught.
        timeout: seconds.
        describe: what to say when it never became true, or a function that says it then; None for the last answer.

    Raises:
        AssertionError: the time is up.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            seen = (
                describe() if callable(describe) else describe if describe is not None else f"last seen: {answer!r}"
            )
            raise AssertionError(f"not within {timeout:g} s: {seen}")
        time.sleep(_PAUSE)
