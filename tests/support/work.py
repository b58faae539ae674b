"""How much work a function does, counted and not timed: lines run, bytes that they bring forth or look at.

The count is the same on every machine. It sees what Python code does: each line of the code under test counts one;
each string of bytes or text that appears in a local variable counts its length (a slice, a join, a translation);
each call of a method of one counts the length of it (a search); and each match of a pattern counts how far it went.
So a loop that looks at the rest of its input again and again cannot hide.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType, ModuleType

_BYTES = (bytes, bytearray, str)


class Work:
    """A count that grows; see the module."""

    def __init__(self, folder: str) -> None:
        self.done = 0
        self._folder = folder
        self._seen: dict[FrameType, dict[str, int]] = {}

    def trace(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        """For `sys.settrace`: lines of the code under test, and what they bring forth."""
        if not frame.f_code.co_filename.startswith(self._folder):
            return None
        self.done += 1
        seen = self._seen.setdefault(frame, {})
        for name, value in frame.f_locals.items():
            if isinstance(value, _BYTES) and seen.get(name) != id(value):
                seen[name] = id(value)
                self.done += len(value)
        if event == "return":
            del self._seen[frame]
        return self.trace

    def profile(self, frame: FrameType, event: str, argument: object) -> None:
        """For `sys.setprofile`: calls of methods of bytes and text."""
        if event == "c_call" and frame.f_code.co_filename.startswith(self._folder):
            owner = getattr(argument, "__self__", None)
            if isinstance(owner, _BYTES) and getattr(argument, "__name__", "") not in ("startswith", "endswith"):
                self.done += len(owner)


class _CountedPattern:
    """Stands in for a compiled pattern: what it went over is counted."""

    def __init__(self, pattern: re.Pattern[Any], work: Work) -> None:
        self._pattern, self._work = pattern, work

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._pattern, name)

        def counted(*arguments: Any) -> Any:
            string = arguments[1] if name in ("sub", "subn") else arguments[0]
            begin = arguments[1] if name in ("match", "search") and len(arguments) > 1 else 0
            result = method(*arguments)
            # A search that finds nothing went to the end; a match that fails is not seen, and goes no further than
            # its pattern is long: those used with `match` are bounded.
            if isinstance(result, re.Match):
                self._work.done += result.end() - begin
            elif name != "match":
                self._work.done += len(string) - begin
            return result

        return counted


@contextmanager
def counting_work(folder: str, modules: Iterable[ModuleType] = ()) -> Iterator[Work]:
    """Count the work of the code below a folder; the patterns of these modules of it are replaced meanwhile."""
    work = Work(folder)
    replaced = [
        (module, name, pattern)
        for module in modules
        for name, pattern in vars(module).items()
        if isinstance(pattern, re.Pattern)
    ]
    before = sys.gettrace(), sys.getprofile()
    for module, name, pattern in replaced:
        setattr(module, name, _CountedPattern(pattern, work))
    sys.settrace(work.trace)
    sys.setprofile(work.profile)
    try:
        yield work
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
        for module, name, pattern in replaced:
            setattr(module, name, pattern)
