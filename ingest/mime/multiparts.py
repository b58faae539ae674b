"""The stack of open multiparts and their delimiter lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ingest.mime.defects import Defect
from ingest.mime.lines import LONGEST_LINE, before_line_end, first_line_end, line_end

# RFC 2046 section 5.1.1: what a boundary is made of, without the blanks that may stand inside it.
_TOKEN: Final = re.compile(rb"--[0-9A-Za-z'()+_,\-./:=?]+")


# A delimiter line: the level of its multipart, whether it closes it, and what follows the boundary. A named tuple
# takes four times as long to create, and each multipart creates two.
Delimiter = tuple[int, bool, bytes]


@dataclass(slots=True)
class _Multipart:
    """An open multipart: `blanks` end its boundary, and `is_padded` once they occurred in a delimiter."""

    path: str
    subtype: str
    boundaries: tuple[bytes, ...]
    blanks: bytes
    children: int = 0
    is_padded: bool = False
    met: bool = False
    guessed: bool = False


class Multiparts:
    """The open multiparts, outermost first. Looking up a line takes constant time, however many are open.

    `count` is the number of open multiparts, `subtype` that of the innermost; empty if none is open. `after_cr` is
    the beginning of a delimiter of the innermost after a bare CR.

    Args:
        root: path of the container that holds the message; None for the message itself.
    """

    __slots__ = ("_delimiters", "_root", "_stack", "after_cr", "count", "subtype")

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._stack: list[_Multipart] = []
        self._delimiters: dict[bytes, Delimiter] = {}
        self.count, self.subtype, self.after_cr = 0, "", b"\r--"

    def open(self, media_type: str, boundaries: tuple[bytes, ...]) -> None:
        """Push a multipart. The outermost has no path of its own, so its children are 1, 2, 3."""
        path = self.next_path() if self._stack else (self._root or "")
        stripped: tuple[bytes, ...] = (boundaries[0].rstrip(),) if boundaries else ()
        if len(boundaries) > 1:
            stripped = tuple(dict.fromkeys([boundary.rstrip() for boundary in boundaries]))
        blanks = boundaries[0][len(stripped[0]) :] if len(stripped) == 1 else b""
        self._stack.append(_Multipart(path and f"{path}.", media_type.partition("/")[2], stripped, blanks))
        self._register(self.count)
        self._update()

    def next_path(self) -> str:
        """Return the path of the next part."""
        if not self._stack:
            return f"{self._root}.1" if self._root else "1"
        innermost = self._stack[-1]
        innermost.children += 1
        return f"{innermost.path}{innermost.children}"

    def delimiter(self, line: bytes, *, exact: bool = False) -> Delimiter | None:
        """Return which multipart a line delimits; None for any other line.

        Of several boundaries that a header names, the first that occurs is the boundary from then on. Blanks at the
        end of a boundary count if the first delimiter has them; gateways strip them.

        Args:
            line: one line with or without its line end.
            exact: ignore lines in which anything but blanks follows the boundary.
        """
        line, whole = line.rstrip(), line
        found = self._delimiters.get(line)
        if found is None:
            found = None if exact or not self._delimiters else self._with_junk(line)
            if found is None:
                return None
            line = line[: -len(found[2])].rstrip() if found[2] else line
        level, closing, _ = found
        multipart = self._stack[level]
        if multipart.blanks and not closing:
            padded = whole.startswith(b"--" + multipart.boundaries[0] + multipart.blanks)
            if multipart.is_padded and not padded:
                return None
            multipart.is_padded = padded
        if len(multipart.boundaries) > 1:
            alike = [boundary for boundary in multipart.boundaries if line.startswith(b"--" + boundary)]
            multipart.boundaries = (max(alike, key=len),)
            self._register_all()
            self._update()
        multipart.met = True
        return found

    def search(
        self,
        view: bytes,
        begin: int,
        defects: set[Defect],
        *,
        final: bool,
        whole_line: bool,
        room: int | None = None,
    ) -> tuple[Delimiter | None, int, int]:
        """Search for the next delimiter line.

        Args:
            view: the bytes.
            begin: where to begin.
            defects: grows.
            final: no more bytes follow.
            whole_line: whether a line begins at `begin`.
            room: how many bytes before a line are too many; None for any number.

        Returns:
            The delimiter, and where its line begins and ends. Without one, None and the line that stops the search,
            -1 if none does; its end if there are too many bytes before it, else 0, since its end is not known yet.
        """
        line = begin if whole_line and view.startswith(b"--", begin) else -1
        exact, at, size = False, begin, len(view)
        while True:
            if line < 0:
                # Attachments in base64 hold no hyphens, and one byte is found much faster than three.
                hyphen = view.find(b"-", at)
                if hyphen < 0:
                    return None, -1, 0
                at = max(at, hyphen - 1)
                newline = view.find(b"\n--", at)
                bare = view.find(self.after_cr, at, newline if newline >= 0 else size)
                exact = bare >= 0
                line = (bare if exact else newline) + 1
                if not line:
                    return None, -1, 0
            end = _end_after_cr(view, line, final=final) if exact else view.find(b"\n", line) + 1
            end = end or (0 if exact else line_end(view, line, final=final))
            if not end or (room is not None and before_line_end(view, begin, line) - begin > room):
                return None, line, end
            found, stop = self.find(view, line, end, defects, exact=exact)
            if found is not None:
                return found, line, stop
            at, line = line + 1, -1

    def find(
        self, view: bytes, line: int, stop: int, defects: set[Defect], *, exact: bool = False
    ) -> tuple[Delimiter | None, int]:
        """Look up the line from `line` to `stop`, or to a bare CR in it; return what it delimits and its end."""
        text = view[line : stop if stop - line <= LONGEST_LINE else line + LONGEST_LINE]
        whole = not exact and stop - line <= LONGEST_LINE
        if whole and (delimiter := self.delimiter(text, exact=True)) is not None:
            return delimiter, stop
        cr = text.find(b"\r")
        inside = cr >= 0 and bool(text[cr:].strip(b"\r\n"))
        if exact or inside:
            end = first_line_end(text)
            delimiter = self.delimiter(text[:end], exact=True)
            if delimiter is not None:
                defects.add(Defect.BARE_CR)
                return delimiter, line + end
            if exact:
                return None, line + end
        return (self.delimiter(text) if stop - line <= LONGEST_LINE else None), stop

    def _with_junk(self, line: bytes) -> Delimiter | None:
        """Find a delimiter with something behind it that cannot belong to a longer boundary.

        RFC 2046 section 5.1.1 asks for comparing the beginning of a line only, but `--ab` must not delimit `a`.
        """
        token = _TOKEN.match(line)
        if token is None:
            return None
        found, end = self._delimiters.get(token[0]), token.end()
        if found is None:
            end = line.rfind(b"--") + 2
            found = self._delimiters.get(line[:end])
            if found is None or not found[1] or line[end : end + 1] == b"-":
                return None
        junk = line[end:].strip()
        if junk == b"--":
            # A boundary that ends in blanks, which were cut off where it is declared.
            return found[0], True, b""
        return found[0], found[1], line[end:]

    @property
    def is_unmet(self) -> bool:
        """Whether no delimiter of the innermost has occurred, and none of its parts was read for another reason."""
        return not self._stack[-1].met and not self._stack[-1].children

    @property
    def is_empty(self) -> bool:
        """Whether the innermost has no part yet."""
        return not self._stack[-1].children

    @property
    def is_guessed(self) -> bool:
        """Whether the boundary of the innermost was guessed."""
        return self._stack[-1].guessed

    def guess(self, boundary: bytes) -> None:
        """Replace the boundaries of the innermost."""
        innermost = self._stack[-1]
        innermost.boundaries, innermost.guessed, innermost.met = (boundary,), True, False
        innermost.blanks = b""
        self._register_all()
        self._update()

    def close_to(self, level: int) -> None:
        """Pop all but the `level` outermost."""
        del self._stack[level:]
        self._register_all()
        self._update()

    def _update(self) -> None:
        self.count = len(self._stack)
        self.subtype, self.after_cr = "", b"\r--"
        if self._stack:
            innermost = self._stack[-1]
            self.subtype = innermost.subtype
            if len(innermost.boundaries) == 1:
                self.after_cr = b"\r--" + innermost.boundaries[0]

    def _register_all(self) -> None:
        self._delimiters = {}
        for level in range(len(self._stack)):
            self._register(level)

    def _register(self, level: int) -> None:
        """Register the delimiters of a multipart; with equal boundaries the innermost counts."""
        multipart, delimiters = self._stack[level], self._delimiters
        opening, closing = (level, False, b""), (level, True, b"")
        for boundary in multipart.boundaries:
            line = b"--" + boundary
            delimiters[line] = opening
            delimiters[line + b"--"] = closing
            if multipart.blanks:
                delimiters[line + multipart.blanks + b"--"] = closing


def _end_after_cr(view: bytes, line: int, *, final: bool) -> int:
    """Return up to where a line after a bare CR is looked at; 0 if its end is not known yet."""
    end = min(line + LONGEST_LINE, len(view))
    # A CR at the very end may be half of a line end.
    is_open = end - line < LONGEST_LINE and not final and line + first_line_end(view[line:end]) >= end
    return 0 if is_open else end
