"""The passwords that are tried on the containers of one message, and how much work that may be."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST = 50  # passwords of one message, in all of their forms
LONGEST = 1024  # bytes of one; all of them fit into a pipe
_TRIES = 1000  # of one message; each costs up to two milliseconds, as key derivation is slow on purpose
_CODE_PAGES = ("cp1252", "cp850", "cp1250", "cp852", "cp1251", "cp866")
_WORK = 512 * 2**20  # bytes that are decrypted for one message, see `spend`


def _in_code_pages(text: str) -> Iterator[bytes]:
    """Yield the other forms of a password: archivers on Windows and older PDFs have it in a code page."""
    for code_page in () if text.isascii() else _CODE_PAGES:
        with suppress(UnicodeEncodeError):
            yield text.encode(code_page)


class Passwords:
    """Passwords, those that opened something first. They are in no error, log line or `repr`.

    Args:
        read: returns them; called when the first container needs one.
    """

    def __init__(self, read: Callable[[], Iterable[str]] = tuple) -> None:
        self._read = read
        self._tries, self._work = _TRIES, _WORK

    @cached_property
    def _found(self) -> list[bytes]:
        texts = list(self._read())
        usable = [text.encode("utf-8", "surrogateescape") for text in texts]
        usable += [form for text in texts for form in _in_code_pages(text)]
        return [each for each in dict.fromkeys(usable) if 0 < len(each) <= LONGEST and b"\0" not in each][:MOST]

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[bytes]:
        """Yield each password while tries are left."""
        for password in list(self._found):
            if self._tries <= 0:
                return
            self._tries -= 1
            yield password

    @property
    def is_exhausted(self) -> bool:
        """Whether the limit on tries was reached."""
        return self._tries <= 0

    def joined(self) -> bytes:
        """Return all of them with a NUL between two, for another process; counts as a try of each."""
        return b"\0".join(self)

    def prefer(self, password: bytes) -> None:
        """Try a password first from now on, because it opened something."""
        self._found.remove(password)
        self._found.insert(0, password)

    def spend(self, work: int) -> bool:
        """Count bytes that are to be decrypted; False if that is too much for one message."""
        self._work -= work
        return self._work >= 0
