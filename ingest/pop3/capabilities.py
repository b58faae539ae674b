"""What a server announces in answer to CAPA (RFC 2449)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What else a server may say, at length, is not kept.
_NAMES = frozenset({"PIPELINING", "SASL", "STLS", "USER"})
_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")
_MECHANISMS = 64
_DAY = 86_400.0
# Thirty years of seconds; what is longer is an overflow or a lie.
_NUMBER_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One answer to CAPA.

    Attributes:
        announced: whether the server knows CAPA; one that does not may still be able to do anything.
        names: those that we have a use for.
        mechanisms: those of SASL, as RFC 4422 section 3.1 spells them, in upper case.
        login_delay: seconds between two logins (section 6.5); 0 where none are named.
        expires_after: seconds after which it deletes mail by itself (section 6.7); None for NEVER, or no word of it.
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
        """The same, but for that."""
        return replace(self, names=self.names - {"PIPELINING"})


# Of a server that refuses CAPA.
UNKNOWN = Capabilities()


def read(rows: Iterable[bytes]) -> Capabilities:
    """The rows of an answer. What makes no sense in them is passed over.

    LOGIN-DELAY and EXPIRE may say `USER` before the login, where the number is only a bound: what each user gets is
    announced after it.
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
