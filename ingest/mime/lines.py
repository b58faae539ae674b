"""Detection of the line ends of a message, and a view of its bytes in which lines end with LF."""

from __future__ import annotations

import re

_BARE_CR = re.compile(rb"\r(?!\n)")
_RUN = re.compile(rb"(\r++)(.)?", re.DOTALL)


class LineEnds:
    """CRLF and LF end lines, also mixed; a bare CR does too if the first line ends with one.

    Args:
        longest_run: a longer run of CR is not a line end.
    """

    __slots__ = ("_bare_cr", "_longest_run")

    def __init__(self, longest_run: int) -> None:
        self._longest_run = longest_run
        self._bare_cr: bool | None = None

    def view(self, data: bytes, *, final: bool) -> bytes | None:
        """Return the bytes with LF in place of each bare CR that ends a line; None if that is still undecided.

        The view has the same length, except that a CR at the very end is left out until the next byte is known.
        """
        if self._bare_cr is None and not self._detect(data) and not final:
            return None
        if not self._bare_cr:
            return data
        known = data if final else data.removesuffix(b"\r")
        return _BARE_CR.sub(b"\n", known) if b"\n" in known else known.replace(b"\r", b"\n")

    def _detect(self, data: bytes) -> bool:
        """Look at the first line end; False if it is incomplete. True also if there is none yet."""
        newline = data.find(b"\n")
        cr = data.find(b"\r", 0, newline if newline >= 0 else len(data))
        if cr < 0 or cr == newline - 1:
            self._bare_cr = False if newline >= 0 else None
            return True
        run = _RUN.match(data, cr)
        assert run is not None  # there is a CR at this position
        if len(run[1]) > self._longest_run:
            self._bare_cr = False
            return True
        self._bare_cr = None if run[2] is None else run[2] != b"\n"
        return run[2] is not None
