"""Search the catalog. Every query takes the scope of who asks, so that nobody finds what he may not see."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, column, false, func, or_, select, tuple_
from sqlalchemy import table as table_of

from ingest.catalog.database import translated
from ingest.catalog.rows import words_of, writable
from ingest.catalog.tables import DELIVERIES, DOCUMENTS, INVOICES, LABELS, MESSAGES, WORDS
from ingest.errors import Fault, MailhaulError
from ingest.ports.eventlog import order_of
from ingest.usecases.batches import batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine

    from ingest.domain.manifest import Manifest
    from ingest.domain.marks import Duplicate

# Messages of one page.
PAGE, LARGEST_PAGE = 50, 200
# Words of a query that are looked for.
_MOST_WORDS = 16
# Messages that are sorted at once.
_FEW = 2_000
# Ids of messages are smaller, in both databases.
_ID_LIMIT = 2**63
# Half of the last digit that is kept of amounts.
_SAME_AMOUNT = 0.00005
_NO_PAGE = "this page does not exist; begin with the first one"
_WORDS_TABLE = table_of("messages_words", column("rowid"), *map(column, WORDS))


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
        query = _in_scope(select(MESSAGES), scope).where(*_conditions(search))
        if after:
            query = query.where(tuple_(MESSAGES.c.date, MESSAGES.c.id) < tuple_(*_read_cursor(after)))
        query = query.order_by(MESSAGES.c.date.desc(), MESSAGES.c.id.desc()).limit(limit + 1)
        with translated(), self.engine.connect() as connection:
            query = query.where(*(_is_in(connection, ids) for ids in self._sets(search)))
            rows = [dict(row) for row in connection.execute(query).mappings()]
            found = _with_details(connection, rows[:limit])
        more = len(rows) > limit
        return Page(found, _cursor(rows[limit - 1]) if more else None)

    def message(self, key: str, scope: Scope) -> Found | None:
        """Return one message; None if it is not there, or not to be seen."""
        with translated(), self.engine.connect() as connection:
            query = _in_scope(select(MESSAGES).where(MESSAGES.c.key == key), scope)
            rows = [dict(row) for row in connection.execute(query).mappings()]
            return next(iter(_with_details(connection, rows)), None)

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
        counts = select(MESSAGES.c.mailbox, func.count().label("messages")).group_by(MESSAGES.c.mailbox)
        late = counts.where(MESSAGES.c.date >= since)
        with translated(), self.engine.connect() as connection:
            all_of = connection.execute(_in_scope(counts, scope)).all()
            recent = {row.mailbox: row.messages for row in connection.execute(_in_scope(late, scope))}
        return {row.mailbox: {"messages": row.messages, "recent": recent.get(row.mailbox, 0)} for row in all_of}

    def confirmed_at(self, position: str) -> dict[str, float]:
        """Return when the catalog first saw that each sink had confirmed the event at a position of the stream."""
        milliseconds, sequence = order_of(position)
        behind = tuple_(DELIVERIES.c.milliseconds, DELIVERIES.c.sequence) > tuple_(milliseconds, sequence)
        query = select(DELIVERIES.c.sink, func.min(DELIVERIES.c.seen_at).label("at")).where(behind)
        with translated(), self.engine.connect() as connection:
            return {row.sink: row.at for row in connection.execute(query.group_by(DELIVERIES.c.sink))}

    def _sets(self, search: Search) -> list[Select[tuple[int]]]:
        """Return queries for the ids of messages, each of which has to contain a message that is found."""
        found = []
        if search.label:
            found.append(select(LABELS.c.message).where(LABELS.c.label == writable(search.label)))
        if search.kind:
            found.append(select(DOCUMENTS.c.message).where(DOCUMENTS.c.kind == writable(search.kind)))
        if amounts := _amounts(search):
            found.append(select(INVOICES.c.message).where(*amounts))
        texts = (("", search.words), ("subject", search.subject), ("sender", search.sender))
        for name, words in (*texts, ("filenames", search.filename), ("invoices", search.invoice)):
            if words.strip():
                found.append(select(_WORDS_TABLE.c.rowid).where(self._contains(name, words)))
        return found

    def _contains(self, name: str, words: str) -> ColumnElement[bool]:
        """Return the condition that a column, or any of them if no name is given, has all these words."""
        chosen = [found for word in words.split()[:_MOST_WORDS] if (found := words_of(word))]
        if not chosen:
            return false()
        if self.engine.dialect.name == "sqlite":
            only = f"{name} : " if name else ""
            asked = " AND ".join(f'{only}"{" ".join(word)}"*' for word in chosen)
            return column("messages_words").op("MATCH")(asked)
        names = [name] if name else list(WORDS)
        return and_(*(or_(*(_begins(_WORDS_TABLE.c[one], word) for one in names)) for word in chosen))


def _conditions(search: Search) -> list[ColumnElement[bool]]:
    columns = MESSAGES.c
    equal = ((columns.mailbox, search.mailbox), (columns.status, search.status))
    found = [known == writable(value) for known, value in equal if value]
    if search.since is not None:
        found.append(columns.date >= search.since)
    if search.until is not None:
        found.append(columns.date < search.until)
    return found


def _is_in(connection: Connection, ids: Select[tuple[int]]) -> ColumnElement[bool]:
    """Return the condition that a message is in a set.

    The messages of a small set are sorted by date. For a large one, messages are read in the order of dates and
    looked up in the set, which finds a page's worth soon; sorting a million for the first fifty would take seconds.
    """
    many = connection.scalar(select(func.count()).select_from(ids.limit(_FEW + 1).subquery())) or 0
    if many <= _FEW:
        return MESSAGES.c.id.in_(ids)
    (member,) = ids.selected_columns
    if member.table is _WORDS_TABLE:
        # The words of a beginning are collected anew each time that they are asked for, so only once: the sum keeps
        # SQLite from looking up, and sorting, the messages of the set instead.
        return (MESSAGES.c.id + 0).in_(ids)
    return ids.where(member == MESSAGES.c.id).correlate(MESSAGES).exists()


def _begins(vector: ColumnElement[Any], word: list[str]) -> ColumnElement[bool]:
    """Whether a tsvector has these words one after another, the last one as the beginning of a word."""
    query = " <-> ".join([f"'{part}'" for part in word[:-1]] + [f"'{word[-1]}':*"])
    return vector.op("@@")(func.to_tsquery("simple", query))


def _amounts(search: Search) -> list[ColumnElement[bool]]:
    low, high = search.at_least, search.at_most
    if search.amount is not None:
        low, high = search.amount - _SAME_AMOUNT, search.amount + _SAME_AMOUNT
    found = []
    if low is not None:
        found.append(INVOICES.c.gross >= low)
    if high is not None:
        found.append(INVOICES.c.gross <= high)
    return found


def _in_scope(query: Select[Any], scope: Scope) -> Select[Any]:
    return query if scope.mailboxes is None else query.where(MESSAGES.c.mailbox.in_(scope.mailboxes))


def _with_details(connection: Any, rows: Sequence[dict[str, Any]]) -> list[Found]:
    found = {row["id"]: Found(row) for row in rows}
    if not found:
        return []
    for table, name in ((LABELS, "labels"), (DOCUMENTS, "documents"), (INVOICES, "invoices")):
        for detail in connection.execute(select(table).where(table.c.message.in_(found))).mappings():
            values = {key: value for key, value in detail.items() if key != "message"}
            getattr(found[detail["message"]], name).append(values["label"] if table is LABELS else values)
    return list(found.values())


def _cursor(row: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{row['date']!r} {row['id']}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[float, int]:
    try:
        date, _, id_ = base64.b64decode(cursor, b"-_", validate=True).decode().partition(" ")
        place = float(date), int(id_)
    except ValueError:
        raise CursorError(_NO_PAGE) from None
    if not math.isfinite(place[0]) or not 0 <= place[1] < _ID_LIMIT:
        raise CursorError(_NO_PAGE)
    return place
