"""Write to the catalog, and remember how far it has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import TextClause, delete, insert, or_, select, text, update

from ingest.catalog.database import open_database, translated
from ingest.catalog.tables import DELIVERIES, DOCUMENTS, GONE, INVOICES, LABELS, MESSAGES, STATE, WORDS
from ingest.ports.eventlog import order_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import URL, Connection, Engine

    from ingest.catalog.rows import Entry

# Positions of one sink that are kept: each is one look at which it had confirmed more than before.
_KEPT_DELIVERIES = 100_000
_AT_ONCE = 500
# PostgreSQL's advisory lock of whoever writes.
_WRITER_LOCK = 7_283_946
# For how long it is known that a message is gone: longer than a manifest is on its way from the store to a row.
_GONE_SECONDS = 86_400.0
_OLD = text("DELETE FROM messages_words WHERE rowid = :id")
_PUT_WORDS = "INSERT INTO messages_words (rowid, {columns}) VALUES (:id, {values})"


def _insert_words(form: str) -> TextClause:
    """Return the statement that inserts the words of a message; `form` is how one column's value is written."""
    columns, values = ", ".join(WORDS), ", ".join(form.format(name) for name in WORDS)
    return text(_PUT_WORDS.format(columns=columns, values=values))


_INSERT_WORDS = {"sqlite": _insert_words(":{}"), "postgresql": _insert_words("to_tsvector('simple', :{})")}


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step of reading found, written in one transaction.

    Attributes:
        entries: messages that are there.
        gone: keys of messages that are not.
        gone_at: when that was seen (seconds since 1970).
        kept: keys of messages that have no manifest, which the rebuild `run` leaves as they are.
        run: the number of that rebuild.
        state: how far the catalog has read, by name.
    """

    entries: Iterable[Entry] = ()
    gone: Iterable[str] = ()
    gone_at: float = 0.0
    kept: Sequence[str] = ()
    run: int = 0
    state: Mapping[str, str | int] | None = None


class Catalog:
    """The catalog of one deployment; safe to use from several threads. Every method raises `CatalogError`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str | URL) -> Catalog:
        """Open a catalog; see `open_database`."""
        return cls(open_database(url))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def write(self, batch: Batch) -> None:
        """Write a batch. Writing it again changes nothing, and what was read earlier replaces nothing newer.

        Nor does it bring back a message that was purged after it was read: a rebuild reads beside the feed.
        """
        with translated(), self.engine.begin() as connection:
            self._begin_writing(connection)
            for entry in batch.entries:
                self._put(connection, entry)
            _mark_gone(connection, set(batch.gone), batch.gone_at)
            if batch.kept:
                stamped = update(MESSAGES).where(MESSAGES.c.key.in_(batch.kept))
                connection.execute(stamped, {"run": batch.run})
            for name, value in (batch.state or {}).items():
                _set_state(connection, name, str(value))

    def state(self, name: str) -> str:
        """Return what was recorded under a name, an empty string if there is nothing."""
        with translated(), self.engine.connect() as connection:
            return connection.scalar(select(STATE.c.value).where(STATE.c.name == name)) or ""

    def remove_older(self, run: int) -> int:
        """Remove the messages that a complete rebuild did not find; return how many.

        Args:
            run: the number of the rebuild.
        """
        gone = 0
        while True:
            with translated(), self.engine.begin() as connection:
                self._begin_writing(connection)
                found = connection.scalars(select(MESSAGES.c.key).where(MESSAGES.c.run < run).limit(_AT_ONCE)).all()
                for key in found:
                    _remove(connection, key)
            gone += len(found)
            if len(found) < _AT_ONCE:
                return gone

    def record_confirmed(self, positions: Mapping[str, str], now: float) -> None:
        """Record before which positions the sinks have confirmed everything, if that changed.

        Args:
            positions: by sink, from `EventStream.confirmed`.
            now: seconds since 1970.
        """
        with translated(), self.engine.begin() as connection:
            self._begin_writing(connection)
            for sink, position in positions.items():
                milliseconds, sequence = order_of(position)
                at = {"sink": sink, "milliseconds": milliseconds, "sequence": sequence}
                known = select(DELIVERIES.c.sink).filter_by(**at)
                if connection.scalar(known) is None:
                    connection.execute(insert(DELIVERIES), {**at, "seen_at": now})
                    _drop_oldest(connection, sink)

    def _begin_writing(self, connection: Connection) -> None:
        if self.engine.dialect.name == "sqlite":
            # A transaction that reads first could not become a writer after another one wrote meanwhile.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # One writer at a time here too: a purge and the row that it removes must see each other.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")

    def _put(self, connection: Connection, entry: Entry) -> None:
        values = dict(entry.message)
        gone_at = connection.scalar(select(GONE.c.seen_at).where(GONE.c.key == values["key"]))
        if gone_at is not None and gone_at >= values["seen_at"]:
            return
        known = connection.execute(
            select(MESSAGES.c.id, MESSAGES.c.seen_at, MESSAGES.c.position, MESSAGES.c.run).where(
                MESSAGES.c.key == values["key"]
            )
        ).first()
        if known is None:
            (id_,) = connection.execute(insert(MESSAGES).returning(MESSAGES.c.id), values).one()
        else:
            if known.seen_at > values["seen_at"]:
                return
            id_, values["position"] = known.id, values["position"] or known.position
            values["run"] = max(values["run"], known.run)  # the feed may have asked before a rebuild began
            connection.execute(update(MESSAGES).where(MESSAGES.c.id == id_), values)
            _remove_details(connection, id_)
        for table, rows in ((LABELS, entry.labels), (DOCUMENTS, entry.documents), (INVOICES, entry.invoices)):
            if rows:
                connection.execute(insert(table), [{"message": id_, **row} for row in rows])
        connection.execute(_INSERT_WORDS[self.engine.dialect.name], {"id": id_, **entry.words})


def _remove(connection: Connection, key: str) -> None:
    id_ = connection.scalar(select(MESSAGES.c.id).where(MESSAGES.c.key == key))
    if id_ is not None:
        _remove_details(connection, id_)
        connection.execute(delete(MESSAGES).where(MESSAGES.c.id == id_))


def _mark_gone(connection: Connection, keys: Collection[str], at: float) -> None:
    if not keys:
        return
    for key in keys:
        _remove(connection, key)
    connection.execute(delete(GONE).where(or_(GONE.c.key.in_(keys), GONE.c.seen_at < at - _GONE_SECONDS)))
    connection.execute(insert(GONE), [{"key": key, "seen_at": at} for key in keys])


def _remove_details(connection: Connection, id_: int) -> None:
    for table in (LABELS, DOCUMENTS, INVOICES):
        connection.execute(delete(table).where(table.c.message == id_))
    connection.execute(_OLD, {"id": id_})


def _set_state(connection: Connection, name: str, value: str) -> None:
    changed = connection.execute(update(STATE).where(STATE.c.name == name), {"value": value})
    if changed.rowcount == 0:
        connection.execute(insert(STATE), {"name": name, "value": value})


def _drop_oldest(connection: Connection, sink: str) -> None:
    of_sink = select(DELIVERIES.c.seen_at).where(DELIVERIES.c.sink == sink)
    limit: Any = of_sink.order_by(DELIVERIES.c.seen_at.desc()).offset(_KEPT_DELIVERIES).limit(1)
    oldest = connection.scalar(limit)
    if oldest is not None:
        connection.execute(delete(DELIVERIES).where(DELIVERIES.c.sink == sink, DELIVERIES.c.seen_at <= oldest))
