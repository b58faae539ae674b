"""What every route needs: who asks, the desk, and the filters of a search."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query, Request

from ingest.catalog.queries import Search
from ingest.catalog.rows import amount as amount_of
from ingest.console.access import Access, Identity
from ingest.console.desk import Desk
from ingest.console.errors import FilterError


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
    return access_of(request).identify(request)


AskedDesk = Annotated[Desk, Depends(desk_of)]
Who = Annotated[Identity, Depends(who_asks)]
Text = Annotated[str, Query(max_length=200)]


def search_of(
    q: Annotated[
        str,
        Query(max_length=200, description="Words in subject, sender, file names, or number and seller of invoices"),
    ] = "",
    sender: Text = "",
    subject: Text = "",
    filename: Text = "",
    invoice: Annotated[str, Query(max_length=200, description="Number or seller of an invoice")] = "",
    amount: Annotated[str, Query(max_length=30, description="Total of an invoice, such as 119.00")] = "",
    amount_min: Annotated[str, Query(max_length=30)] = "",
    amount_max: Annotated[str, Query(max_length=30)] = "",
    mailbox: Text = "",
    label: Annotated[str, Query(max_length=200, description="Given by a rule, or name=value of the mailbox")] = "",
    status: Annotated[str, Query(max_length=20, description="complete, partial, oversize or failed")] = "",
    kind: Annotated[str, Query(max_length=20, description="Of a document, such as invoice")] = "",
    since: Annotated[
        str, Query(max_length=40, description="Received then or later: a date, or a time (RFC 3339)")
    ] = "",
    until: Annotated[str, Query(max_length=40, description="Received before; a date counts as a whole day")] = "",
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


def _amount(text: str) -> float | None:
    if not text.strip():
        return None
    written = text.strip().replace(" ", "")
    if "," in written and "." not in written:
        written = written.replace(",", ".")
    found = amount_of(written.replace(",", ""))
    if found is None:
        raise FilterError("write an amount as 119.00 or 119,00")
    return found


def _time(text: str, day: timedelta) -> float | None:
    """Return seconds since 1970; a date is the start of that day in UTC, moved on by `day`."""
    text = text.strip()
    if not text:
        return None
    try:
        return (datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC) + day).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise FilterError("write a date as 2026-11-27, or a time as 2026-11-27T16:00:00Z") from None
