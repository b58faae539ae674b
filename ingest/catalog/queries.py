"""Search the catalog. Every query takes the scope of who asks, so that nobody finds what he may not see."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, select, tuple_

from ingest.catalog.database import translated
from ingest.catalog.matching import WORDS_TABLE, matches, wanted_by
from ingest.catalog.rows import DOCUMENT_FIELDS, HAS_AMOUNT, INVOICE_FIELDS, writable
from ingest.catalog.tables import AMOUNTS, DELIVERIES, MESSAGES, TOTALS, first_id
from ingest.errors import Fault, MailhaulError
from ingest.ports.eventlog import order_of
from ingest.usecases.batches import batches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection, Engine

    from ingest.catalog.matching import Wanted
    from ingest.domain.manifest import Manifest
    from ingest.domain.marks import Duplicate

# Messages of one page.
PAGE, LARGEST_PAGE = 50, 200
# Messages with an amount that are looked up at once, and those in which words are looked for one by one.
_FEW, _FEW_ASKED = 2_000, 300
# Ids of messages are smaller, in both databases.
_ID_LIMIT = 2**63
# Seconds by which the id of a message may be later than its date, because places were taken.
_SPILLED = 3_600.0
_NO_PAGE = "this page does not exist; begin with the first one"


class CursorError(MailhaulError):
    """The position in a list is not one that a page gave."""

    fault = Fault.OPERATOR
    code = "cursor"


@dataclass(frozen=True, slots=True)
class Scope:
    """The mailboxes that somebody may see; None: all of them, also those that left the configuration."""

    mailboxes: frozenset[str] | None = None

    def allows(self, mailbox: str) -> bool:
        """Whether messages of this mailbox may be seen."""
        return self.mailboxes is None or mailbox in self.mailboxes


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; what is empty or None does not matter.

    Attributes:
        words: in subject, sender, file names, or number and seller of an invoice. Each is the beginning of a word.
        amount: the total of an invoice, and its limits `at_least` and `at_most`.
        kind: of a document.
        since: seconds since 1970.
        until: seconds since 1970; not included.
    """

    words: str = ""
    sender: str = ""
    subject: str = ""
    filename: str = ""
    invoice: str = ""
    amount: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    mailbox: str = ""
    label: str = ""
    status: str = ""
    kind: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(slots=True)
class Found:
    """One message of a page: its row, and the rows that go with it."""

    row: dict[str, Any]
    labels: list[str] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    invoices: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """Messages, the newest first, and the cursor of the next page; None on the last one."""

    messages: list[Found]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Queries:
    """Reads from the catalog. Every method raises `CatalogError` when it is unavailable."""

    engine: Engine

    def search(self, search: Search, scope: Scope, limit: int = PAGE, after: str = "") -> Page:
        """Return a page of the messages that fit.

        Args:
            search: what to look for.
            scope: of who asks.
            limit: messages, at most `LARGEST_PAGE`.
            after: the cursor of the page before; empty for the first page.

        Raises:
            CursorError: `after` is no cursor.
        """
        limit = max(1, min(limit, LARGEST_PAGE))
        before = _read_cursor(after) if after else None
        wanted = wanted_by(search, scope, mailboxes=self.engine.dialect.name == "sqlite")
        if wanted.impossible or scope.mailboxes == frozenset():
            return Page([])
        with translated(), self.engine.connect() as connection:
            amounts = _amount_conditions(connection, search, wanted)
            query = _listed(connection, wanted, *_range(search, before)).where(*amounts)
            query = _in_scope(query, scope).where(*_conditions(search))
            rows = [dict(row) for row in connection.execute(query.limit(limit + 1)).mappings()]
        more = len(rows) > limit
        return Page([_found(row) for row in rows[:limit]], _cursor(rows[limit - 1]) if more else None)

    def message(self, key: str, scope: Scope) -> Found | None:
        """Return one message; None if it is not there, or not to be seen."""
        with translated(), self.engine.connect() as connection:
            query = _in_scope(select(MESSAGES).where(MESSAGES.c.key == key), scope)
            row = connection.execute(query).mappings().first()
        return None if row is None else _found(dict(row))

    def known(self, keys: Iterable[str], scope: Scope) -> set[str]:
        """Return those of these message keys that are there and may be seen."""
        with translated(), self.engine.connect() as connection:
            batched = (select(MESSAGES.c.key).where(MESSAGES.c.key.in_(some)) for some in batches(keys, LARGEST_PAGE))
            return {key for query in batched for key in connection.scalars(_in_scope(query, scope))}

    def without_others(self, manifest: Manifest, scope: Scope) -> Manifest:
        """Return a manifest that names as earlier messages only those that may be seen."""
        marks = [manifest.duplicate_of, *(one.duplicate_of for one in manifest.documents)]
        earlier = {mark.message_key for mark in marks if mark is not None}
        if scope.mailboxes is None or not earlier:
            return manifest
        seen = self.known(earlier, scope)

        def hidden(mark: Duplicate | None) -> dict[str, Any]:
            return {} if mark is None or mark.message_key in seen else {"duplicate_of": None}

        documents = [one.model_copy(update=hidden(one.duplicate_of)) for one in manifest.documents]
        return manifest.model_copy(update={"documents": documents, **hidden(manifest.duplicate_of)})

    def totals(self, scope: Scope, since: float) -> dict[str, dict[str, int]]:
        """Return for each mailbox how many messages there are, and how many of them since a time."""
        all_of = select(TOTALS.c.mailbox, TOTALS.c.messages).where(TOTALS.c.messages > 0)
        if scope.mailboxes is not None:
            all_of = all_of.where(TOTALS.c.mailbox.in_(scope.mailboxes))
        late = select(MESSAGES.c.mailbox, func.count().label("messages")).group_by(MESSAGES.c.mailbox)
        late = late.where(MESSAGES.c.id >= first_id(since), MESSAGES.c.date >= since)
        with translated(), self.engine.connect() as connection:
            totals = {row.mailbox: row.messages for row in connection.execute(all_of)}
            recent = {row.mailbox: row.messages for row in connection.execute(_in_scope(late, scope))}
        return {box: {"messages": number, "recent": recent.get(box, 0)} for box, number in totals.items()}

    def confirmed_at(self, position: str) -> dict[str, float]:
        """Return when the catalog first saw that each sink had confirmed the event at a position of the stream."""
        columns = DELIVERIES.c
        behind = tuple_(columns.milliseconds, columns.sequence) > tuple_(*order_of(position))
        found: dict[str, float] = {}
        with translated(), self.engine.connect() as connection:
            sink = connection.scalar(select(func.min(columns.sink)))
            while sink is not None:
                first = select(columns.seen_at).where(columns.sink == sink, behind)
                at = connection.scalar(first.order_by(columns.milliseconds, columns.sequence).limit(1))
                if at is not None:
                    found[sink] = at
                sink = connection.scalar(select(func.min(columns.sink)).where(columns.sink > sink))
        return found


def _listed(connection: Connection, wanted: Wanted, low: int, high: int) -> Select[Any]:
    """Return the query for messages whose words are wanted, with ids from `low` to below `high`, the newest first."""
    if not wanted.texts and not wanted.filters:
        ids: ColumnElement[int] = MESSAGES.c.id
        query = select(MESSAGES)
    else:
        ids = WORDS_TABLE.c.rowid
        joined = WORDS_TABLE.join(MESSAGES, MESSAGES.c.id == ids)
        query = select(MESSAGES).select_from(joined).where(matches(connection, wanted))
    if low > 0:
        query = query.where(ids >= low)
    if high < _ID_LIMIT:
        query = query.where(ids < high)
    return query.order_by(ids.desc())


def _range(search: Search, before: int | None) -> tuple[int, int]:
    """Return between which ids the messages of a search are: none is lower than the first."""
    low = 0 if search.since is None else first_id(search.since)
    # One that has the place of another one in its second may be a little later.
    high = _ID_LIMIT if search.until is None else min(first_id(search.until + _SPILLED), _ID_LIMIT)
    return low, high if before is None else min(high, before)


def _conditions(search: Search) -> list[ColumnElement[bool]]:
    columns = MESSAGES.c
    found = [columns.mailbox == writable(search.mailbox)] if search.mailbox else []
    if search.since is not None:
        found.append(columns.date >= search.since)
    if search.until is not None:
        found.append(columns.date < search.until)
    return found


def _amount_conditions(connection: Connection, search: Search, wanted: Wanted) -> list[ColumnElement[bool]]:
    """Return the conditions that a message has an amount within the limits of a search.

    Where few messages have, they are looked up, and other words are looked for in each of them (`wanted` is emptied).
    Where many have, messages are read in the order of the list, and a page is soon full.
    """
    limits = _amounts(search)
    if not limits or search.amount is not None:
        return []
    some = select(AMOUNTS.c.message).where(*limits)
    asked = bool(wanted.texts or wanted.filters)
    most = _FEW_ASKED if asked else _FEW
    many = connection.scalar(select(func.count()).select_from(some.limit(most + 1).subquery())) or 0
    if many > most:
        wanted.filters.append([HAS_AMOUNT])
        return [some.where(AMOUNTS.c.message == MESSAGES.c.id).correlate(MESSAGES).exists()]
    found: list[ColumnElement[bool]] = [MESSAGES.c.id.in_(some)]
    if asked:
        words = select(WORDS_TABLE.c.rowid).where(WORDS_TABLE.c.rowid == MESSAGES.c.id, matches(connection, wanted))
        found.append(words.correlate(MESSAGES).exists())
        wanted.texts.clear()
        wanted.filters.clear()
    return found


def _amounts(search: Search) -> list[ColumnElement[bool]]:
    low, high = search.at_least, search.at_most
    found = []
    if low is not None:
        found.append(AMOUNTS.c.gross >= low)
    if high is not None:
        found.append(AMOUNTS.c.gross <= high)
    return found


def _in_scope(query: Select[Any], scope: Scope) -> Select[Any]:
    return query if scope.mailboxes is None else query.where(MESSAGES.c.mailbox.in_(scope.mailboxes))


def _found(row: dict[str, Any]) -> Found:
    labels, documents, invoices = json.loads(row.pop("details"))
    return Found(
        row,
        labels,
        [dict(zip(DOCUMENT_FIELDS, one, strict=True)) for one in documents],
        [dict(zip(INVOICE_FIELDS, one, strict=True)) for one in invoices],
    )


def _cursor(row: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(str(row["id"]).encode()).decode()


def _read_cursor(cursor: str) -> int:
    try:
        place = int(base64.b64decode(cursor, b"-_", validate=True))
    except ValueError:
        raise CursorError(_NO_PAGE) from None
    if not 0 <= place < _ID_LIMIT:
        raise CursorError(_NO_PAGE)
    return place
