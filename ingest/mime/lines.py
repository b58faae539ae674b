"""How the lines of a message end, and its bytes as seen by one who looks for lines."""

from __future__ import annotations

import re

_BARE_CR = re.compile(rb"\r(?!\n)")
_RUN = re.compile(rb"(\r++)(.)?", re.DOTALL)


class LineEnds:
    """CRLF and LF, mixed as they come; where the first line ends with a bare CR, that, too.

    Args:
        longest_run: of CR before anything else comes, above which they are no line ends.
    """

    __slots__ = ("_bare_cr", "_longest_run")

    def __init__(self, longest_run: int) -> None:
        self._longest_run = longest_run
        self._bare_cr: bool | None = None

    def view(self, data: bytes, *, final: bool) -> bytes | None:
        """The bytes with LF for each line end of one byte; None as long as it is not known what they are.

        It has the same length, save for a CR at the very end, of which nothing is known yet.
        """
        if self._bare_cr is None and not self._settle(data) and not final:
            return None
        if not self._bare_cr:
            return data
        known = data if final else data.removesuffix(b"\r")
        return _BARE_CR.sub(b"\n", known) if b"\n" in known else known.replace(b"\r", b"\n")

    def _settle(self, data: bytes) -> bool:
        """Look at the first line end; False where it is cut off. Before one comes, there is nothing to know."""
        newline = data.find(b"\n")
        cr = data.find(b"\r", 0, newline if newline >= 0 else len(data))
        if cr < 0 or cr == newline - 1:
            self._bare_cr = False if newline >= 0 else None
            return True
        run = _RUN.match(data, cr)
        assert run is not None  # a CR stands there
        if len(run[1]) > self._longest_run:
            self._bare_cr = False
            return True
        self._bare_cr = None if run[2] is None else run[2] != b"\n"
        return run[2] is not None
