"""Convert HTML within limits: in this process where that cannot take long, else in a guarded one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ingest.containers import confined
from ingest.containers.guard import Confinement, Guarded, Outcome
from ingest.texts.reader import CONVERTERS, MODULE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.domain.manifest import DerivedKind

READ_BYTES = 2**20  # of one text: a table of that size takes two seconds; what follows is left out
_OUTPUT_BYTES = 8 * 2**20  # escapes make up to five bytes of one
_CONFINEMENT = Confinement(cpu_seconds=10, memory_bytes=512 * 2**20, seconds=60, output_bytes=_OUTPUT_BYTES + 2**20)
# Of one message, whose nested messages may be many: half a minute of the worst that is converted in this process, and
# the time of all guarded processes.
_ALL_BYTES, _ALL_SECONDS = 8 * 2**20, 60.0
_HERE_BYTES = 128 * 1024  # the worst that was found takes half a second
# Browsers open again, in each later element, all elements of these kinds that were not closed, with their attributes.
_REOPENED = re.compile(rb"(?i)<(?:a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\s/>]")
_REOPENED_ELEMENTS, _REOPENED_BYTES = 500_000, 128 * 2**20
# What a library may raise for odd HTML.
_BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    MemoryError,
)


class Converted(NamedTuple):
    """The other form of a text; None if there is none. `whole` is False if something is missing from it."""

    data: bytes | None
    whole: bool = True


@dataclass
class Conversions:
    """Converts the HTML of one message, within limits on all of it."""

    _bytes: int = field(default_factory=lambda: _ALL_BYTES)
    _seconds: float = field(default_factory=lambda: _ALL_SECONDS)

    def convert(self, kind: DerivedKind, markup: bytes, descriptor: Callable[[], int]) -> Converted:
        """Convert HTML.

        Args:
            kind: to what.
            markup: its first READ_BYTES, in UTF-8.
            descriptor: returns that of a regular file with all of it.

        Raises:
            GuardError: the guarded process cannot be started.
            SpoolError: from `descriptor`.
        """
        self._bytes -= len(markup)
        if self._bytes < 0 or self._seconds <= 0:
            return Converted(None, whole=False)
        return _here(kind, markup) if _is_simple(kind, markup) else self._guarded(kind, descriptor())

    def _guarded(self, kind: DerivedKind, file: int) -> Converted:
        data, whole = bytearray(), True
        confinement = replace(_CONFINEMENT, seconds=min(_CONFINEMENT.seconds, self._seconds))
        with Guarded(MODULE, file, confinement, (kind, str(READ_BYTES))) as child:
            for frame, payload in child:
                if frame == confined.BYTES:
                    data += payload
                else:
                    whole = False
        self._seconds -= child.waited
        if child.outcome is not Outcome.DONE or len(data) > _OUTPUT_BYTES:
            return Converted(None, whole=False)
        return Converted(bytes(data), whole)


def _here(kind: DerivedKind, markup: bytes) -> Converted:
    try:
        data, whole = CONVERTERS[kind](markup)
    except _BUGS:
        return Converted(None, whole=False)
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # of a library in Rust; no subclass of Exception
            return Converted(None, whole=False)
        raise
    return Converted(data, whole)


def _is_simple(kind: DerivedKind, markup: bytes) -> bool:
    """Whether converting takes little time and memory, however hostile it is."""
    if len(markup) > _HERE_BYTES:
        return False
    if kind == "plain":  # libxml2 opens nothing again, and limits the depth
        return True
    elements = markup.count(b"<")
    if elements * len(markup) > _REOPENED_BYTES:
        return False
    return elements**2 <= _REOPENED_ELEMENTS or elements * len(_REOPENED.findall(markup)) <= _REOPENED_ELEMENTS
