"""The multiparts that are open, and the lines that part and end them."""

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
    """A stack, outermost first. A line is looked up as a whole, in the same time however many are open.

    `count` is how many are open, `subtype` that of the innermost, empty where there is none.

    Args:
        root: what the path of a part begins with that is in none of them: that of the message's own container.
    """

    __slots__ = ("_delimiters", "_root", "_stack", "count", "subtype")

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._stack: list[_Multipart] = []
        self._delimiters: dict[bytes, tuple[int, bool]] = {}
        self.count, self.subtype = 0, ""

    def open(self, media_type: str, boundaries: tuple[bytes, ...]) -> None:
        """Put one on top. At the root it lends its children its own place, so that they are 1, 2, 3."""
        path = self.next_path() if self._stack else (self._root or "")
        self._stack.append(_Multipart(path and f"{path}.", media_type.partition("/")[2], boundaries))
        self._note(self.count)
        self._look()

    def next_path(self) -> str:
        """The place of the next part."""
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
                self._note_all()
            multipart.met = True
        return found

    @property
    def met(self) -> bool:
        """Whether the boundary of the innermost has come; those around it have been met, or it would not be there."""
        return self._stack[-1].met

    def close_to(self, level: int) -> None:
        """Keep so many."""
        del self._stack[level:]
        self._note_all()
        self._look()

    def _look(self) -> None:
        self.count = len(self._stack)
        self.subtype = self._stack[-1].subtype if self._stack else ""

    def _note_all(self) -> None:
        self._delimiters = {}
        for level in range(len(self._stack)):
            self._note(level)

    def _note(self, level: int) -> None:
        """The innermost of those with the same boundary is the one that counts."""
        for boundary in self._stack[level].boundaries:
            self._delimiters[b"--" + boundary] = (level, False)
            self._delimiters[b"--" + boundary + b"--"] = (level, True)
