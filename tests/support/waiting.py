"""Wait for a condition instead of sleeping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds. Only a broken test waits this long; a busy machine must never be the reason for a failure.
PATIENCE = 300.0
_T = TypeVar("_T")
_PAUSE = 0.05


def eventually(
    condition: Callable[[], _T], describe: Callable[[], object] | str | None = None, *, timeout: float = PATIENCE
) -> _T:
    """Call `condition` until it returns something true, and return that.

    Args:
        condition: is called at least once; its exceptions are not caught.
        describe: the error message, or a function that makes it; the last value returned if None.
        timeout: seconds; only for tests of the waiting itself.

    Raises:
        AssertionError: the condition is still false after `timeout`.
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
