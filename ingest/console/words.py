"""How pages write times, sizes, amounts and codes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_THOUSAND = 1000
_CODE = re.compile(r"`([^`]+)`")


def moment(at: float | datetime | None) -> str:
    """Return a time in UTC, to the minute."""
    if at is None:
        return "-"
    found = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def second(at: float | datetime | None) -> str:
    """Return a time in UTC, to the second."""
    if at is None:
        return "-"
    found = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso(at: float | datetime | None) -> str:
    """Return a time as programs read it."""
    if at is None:
        return ""
    found = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return found.astimezone(UTC).isoformat()


def ago(at: float | None, now: float) -> str:
    """Return how long something is past."""
    return "never" if at is None else f"{span(now - at)} ago"


def span(seconds: float) -> str:
    """Return a number of seconds, in its largest unit."""
    seconds = max(0.0, seconds)
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Return a number of bytes."""
    for unit in ("B", "kB", "MB"):
        if count < _THOUSAND:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"  # noqa: PLR2004
        count /= _THOUSAND
    return f"{count:.1f} GB"


def money(amount: float | str | None, currency: str | None = None) -> str:
    """Return an amount with two digits, and its currency."""
    if amount is None:
        return ""
    try:
        number = f"{float(amount):,.2f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    except ValueError:
        number = str(amount)
    return f"{number} {currency}" if currency else number


def plain(code: str) -> str:
    """Return a code as words."""
    return code.replace("_", " ").replace("-", " ")


def coded(text: str) -> Markup:
    """Return a text as HTML, what is in backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


FILTERS: dict[str, Callable[..., Any]] = {
    "moment": moment,
    "second": second,
    "iso": iso,
    "ago": ago,
    "span": span,
    "size": size,
    "money": money,
    "plain": plain,
    "coded": coded,
}
