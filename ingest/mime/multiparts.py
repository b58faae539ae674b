"""The stack of open multiparts and their delimiter lines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Multipart:
    path: str
    subtype: str
    boundaries: tuple[bytes, ...]
    children: int = 0
    met: bool = False


class Multiparts:
    """The open multiparts, outermost first. Looking up a line takes constant time, however many are open.

    `count` is the number of open multiparts, `subtype` that of the innermost; empty if none is open.

    Args:
        root: path of the container that holds the message; None for the message itself.
    """

    __slots__ = ("_delimiters", "_root", "_stack", "count", "subtype")

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._stack: list[_Multipart] = []
        self._delimiters: dict[bytes, tuple[int, bool]] = {}
        self.count, self.subtype = 0, ""

    def open(self, media_type: str, boundaries: tuple[bytes, ...]) -> None:
        """Push a multipart. The outermost has no path of its own, so its children are 1, 2, 3."""
        path = self.next_path() if self._stack else (self._root or "")
        self._stack.append(_Multipart(path and f"{path}.", media_type.partition("/")[2], boundaries))
        self._register(self.count)
        self._update()

    def next_path(self) -> str:
        """Return the path of the next part."""
        if not self._stack:
            return f"{self._root}.1" if self._root else "1"
        innermost = self._stack[-1]
        innermost.children += 1
        return f"{innermost.path}{innermost.children}"

    def delimiter(self, line: bytes) -> tuple[int, bool] | None:
        """Which of them a line belongs to, by its level, and whether it closes it; None for any other line.

        Of several boundaries that a header names, the one that comes first is the boundary from then on.
        """
        line = line.rstrip()
        found = self._delimiters.get(line)
        if found is not None:
            multipart = self._stack[found[0]]
            if len(multipart.boundaries) > 1:
                multipart.boundaries = tuple(
                    boundary
                    for boundary in multipart.boundaries
                    if line in (b"--" + boundary, b"--" + boundary + b"--")
                )[:1]
                self._register_all()
            multipart.met = True
        return found

    @property
    def met(self) -> bool:
        """Whether the boundary of the innermost has come; those around it have been met, or it would not be there."""
        return self._stack[-1].met

    def close_to(self, level: int) -> None:
        """Pop all but the `level` outermost."""
        del self._stack[level:]
        self._register_all()
        self._update()

    def _update(self) -> None:
        self.count = len(self._stack)
        self.subtype = self._stack[-1].subtype if self._stack else ""

    def _register_all(self) -> None:
        self._delimiters = {}
        for level in range(len(self._stack)):
            self._register(level)

    def _register(self, level: int) -> None:
        """Register the delimiters of a multipart; with equal boundaries the innermost counts."""
        for boundary in self._stack[level].boundaries:
            self._delimiters[b"--" + boundary] = (level, False)
            self._delimiters[b"--" + boundary + b"--"] = (level, True)
