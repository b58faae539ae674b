"""What every route needs: who asks, the desk, and the filters of a search."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from ingest.catalog.queries import Search
from ingest.catalog.rows import amount as amount_of
from ingest.console.access import Access, Identity
from ingest.console.desk import Desk
from ingest.console.errors import FilterError

# A header field with which the script of a page asks for its newer state, without anybody doing anything.
_REFRESH = "x-mailhaul-refresh"


def desk_of(request: Request) -> Desk:
    """Return the desk of this process."""
    found: Desk = request.app.state.desk
    return found


def access_of(request: Request) -> Access:
    """Return the access rules of this process."""
    found: Access = request.app.state.access
    return found


def who_asks(request: Request) -> Identity:
    """Return who sends a request; raises as `Access.identify` does."""
    who = access_of(request).identify(request, used=_REFRESH not in request.headers)
    request.state.session = who.session  # an answer that takes long ends with it
    return who


def who_listens(request: Request) -> Identity:
    """Return who opens a stream of changes, which is no use of a session; raises as `Access.identify` does."""
    return access_of(request).identify(request, used=False)


def known_parameters(request: Request) -> None:
    """Refuse a parameter that the path does not have: a filter with a typing error would find everything.

    Raises:
        FilterError: there is one.
    """
    if not request.query_params:
        return
    described = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    known = {one["name"] for one in described.get("parameters", ()) if one["in"] == "query"}
    if not set(request.query_params) <= known:
        raise FilterError(
            f"a parameter is not known here; there {'are ' + ', '.join(sorted(known)) if known else 'is none'}"
        )


AskedDesk = Annotated[Desk, Depends(desk_of)]
Listening = Annotated[Identity, Depends(who_listens)]
Who = Annotated[Identity, Depends(who_asks)]
Text = Annotated[str, Query(max_length=200)]
# As people write amounts: with either separator of decimals and thousands, and with a currency.
_CURRENCY = "[A-Za-z]{3}|[\N{EURO SIGN}$\N{POUND SIGN}]"
_GAPS = " '\N{NO-BREAK SPACE}\N{RIGHT SINGLE QUOTATION MARK}\N{NARROW NO-BREAK SPACE}"
_AMOUNT = rf"^ *((?:(?:{_CURRENCY}) *)?(-?[0-9][0-9.,{_GAPS}]*)(?:{_CURRENCY})? *)?$"
_AMOUNT_QUERY = Query(
    max_length=30,
    json_schema_extra={"pattern": _AMOUNT},
    description="Of an invoice: 119, 119.00, 119,00, 1.234,56 or 1,234.56 EUR",
)
Amount = Annotated[str, _AMOUNT_QUERY]
_TIME: dict[str, Any] = {"anyOf": [{"maxLength": 0}, {"format": "date"}, {"format": "date-time"}]}
_THOUSAND = 3  # digits


def search_of(
    q: Annotated[
        str,
        Query(max_length=200, description="Words in subject, sender, file names, or number and seller of invoices"),
    ] = "",
    sender: Text = "",
    subject: Text = "",
    filename: Text = "",
    invoice: Annotated[str, Query(max_length=200, description="Number or seller of an invoice")] = "",
    amount: Amount = "",
    amount_min: Amount = "",
    amount_max: Amount = "",
    mailbox: Text = "",
    label: Annotated[str, Query(max_length=200, description="Given by a rule, or name=value of the mailbox")] = "",
    status: Annotated[str, Query(max_length=20, description="complete, partial, oversize or failed")] = "",
    kind: Annotated[str, Query(max_length=20, description="Of a document, such as invoice")] = "",
    since: Annotated[
        str,
        Query(
            max_length=40, json_schema_extra=_TIME, description="Received then or later: a date, or a time (RFC 3339)"
        ),
    ] = "",
    until: Annotated[
        str,
        Query(max_length=40, json_schema_extra=_TIME, description="Received before; a date counts as a whole day"),
    ] = "",
) -> Search:
    """Return the search that the filters of a request describe.

    Raises:
        FilterError: an amount or a date cannot be read.
    """
    return Search(
        words=q,
        sender=sender,
        subject=subject,
        filename=filename,
        invoice=invoice,
        amount=_amount(amount),
        at_least=_amount(amount_min),
        at_most=_amount(amount_max),
        mailbox=mailbox,
        label=label,
        status=status,
        kind=kind,
        since=_time(since, timedelta()),
        until=_time(until, timedelta(days=1)),
    )


Asked = Annotated[Search, Depends(search_of)]


def is_amount(text: str) -> bool:
    """Whether words that somebody searched for may be an amount."""
    return bool(text.strip()) and re.match(_AMOUNT, text) is not None


def _amount(text: str) -> float | None:
    if not text.strip():
        return None
    found = re.match(_AMOUNT, text)
    if found is None:
        raise FilterError("write an amount as 119.00 or 119,00")
    return amount_of(_with_a_point(found[2].translate({ord(gap): None for gap in _GAPS})))


def _with_a_point(number: str) -> str:
    """Return a number with a point before its decimals, and without separators of thousands.

    The last separator is that of the decimals, unless it is there several times, or is the only one and three digits
    follow: no amount has three decimals.
    """
    last = max(number.rfind("."), number.rfind(","))
    whole, decimals = number[:last], number[last + 1 :]
    if last < 0 or number[last] in whole or (len(decimals) == _THOUSAND and whole.lstrip("-").isdecimal()):
        whole, decimals = number, ""
    return f"{whole.replace('.', '').replace(',', '')}.{decimals or 0}"


def _time(text: str, day: timedelta) -> float | None:
    """Return seconds since 1970; a date is the start of that day in UTC, moved on by `day`; times are UTC too."""
    text = text.strip()
    if not text:
        return None
    try:
        return (datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC) + day).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise FilterError("write a date as 2026-11-27, or a time as 2026-11-27T16:00:00Z") from None
