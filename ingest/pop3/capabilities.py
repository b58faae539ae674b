"""What a server announces in answer to CAPA (RFC 2449)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Other capabilities are dropped, however long the list.
_NAMES = frozenset({"PIPELINING", "SASL", "STLS", "USER"})
_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")
_MECHANISMS = 64
_DAY = 86_400.0
# Thirty years in seconds; a longer number is an overflow or invented.
_NUMBER_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One answer to CAPA.

    Attributes:
        announced: whether the server supports CAPA; one that does not may still support anything.
        names: the capabilities we use.
        mechanisms: SASL mechanisms in upper case (RFC 4422 section 3.1).
        login_delay: seconds between two logins (section 6.5); 0 if not announced.
        expires_after: seconds after which the server deletes mail by itself (section 6.7); None for NEVER or if not
            announced.
    """

    announced: bool = False
    names: frozenset[str] = frozenset()
    mechanisms: frozenset[str] = frozenset()
    login_delay: float = 0.0
    expires_after: float | None = None

    @property
    def pipelining(self) -> bool:
        """Whether several commands may be sent at once (section 6.6)."""
        return "PIPELINING" in self.names

    def without_pipelining(self) -> Capabilities:
        """Return a copy without PIPELINING."""
        return replace(self, names=self.names - {"PIPELINING"})


# For a server that refuses CAPA.
UNKNOWN = Capabilities()


def read(rows: Iterable[bytes]) -> Capabilities:
    """Parse the rows of an answer; malformed rows are ignored.

    Before the login, LOGIN-DELAY and EXPIRE may be followed by `USER`; the number is then only a bound, and each
    user's own value is announced after the login.
    """
    words = [row.decode("ascii", "replace").upper().split() for row in rows]
    arguments: dict[str, list[str]] = {}
    for name, *rest in filter(None, words):
        arguments.setdefault(name, []).extend(rest)
    delay, days = _number(arguments, "LOGIN-DELAY"), _number(arguments, "EXPIRE")
    return Capabilities(
        announced=True,
        names=_NAMES & arguments.keys(),
        mechanisms=frozenset(islice(filter(_MECHANISM.fullmatch, arguments.get("SASL", ())), _MECHANISMS)),
        login_delay=float(delay or 0),
        expires_after=None if days is None else days * _DAY,
    )


def _number(arguments: dict[str, list[str]], name: str) -> int | None:
    digits = next(iter(arguments.get(name, ())), "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _NUMBER_DIGITS else None
