"""Write to the catalog, and remember how far it has read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import TextClause, delete, insert, select, text, tuple_, update

from ingest.catalog.answers import put_answers
from ingest.catalog.database import open_database, translated
from ingest.catalog.tables import AMOUNTS, DELIVERIES, GONE, MESSAGES, STATE, TEXTS, WORDS, place_of
from ingest.ports.eventlog import order_of
from ingest.usecases.batches import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import URL, Connection, Engine

    from ingest.catalog.answers import AnswerRow
    from ingest.catalog.rows import Entry

# Positions of one sink that are kept: each is one look at which it had confirmed more than before. The oldest are
# removed each time that so many were added.
_KEPT_DELIVERIES, _PRUNED_EVERY = 100_000, 1_000
# Rows of one statement.
_AT_ONCE = 500
# PostgreSQL's advisory lock of whoever writes.
_WRITER_LOCK = 7_283_946
# For so many writes that removed something it is known what they removed: more than happen while a batch of manifests
# is on its way from the store to its rows.
_KEPT_REMOVALS = 10_000
REMOVALS = "removals"
# Pages of SQLite's index of words that are merged in one transaction, and the changes that a merge reports which had
# something to do (https://sqlite.org/fts5.html#the_merge_command).
_MERGED_PAGES, _NOTHING_MERGED = 1_000, 2


def _insert_words(columns: Sequence[str], values: Sequence[str]) -> TextClause:
    return text(f"INSERT INTO messages_words (rowid, {', '.join(columns)}) VALUES (:id, {', '.join(values)})")  # noqa: S608 - names of columns


# In PostgreSQL a weight says which column a word is of.
_WEIGHED = [
    f"setweight(to_tsvector('simple', :{name}), '{weight}')" for name, weight in zip(TEXTS, "ABCD", strict=True)
]
_INSERT_WORDS = {
    "sqlite": _insert_words(WORDS, [f":{name}" for name in WORDS]),
    "postgresql": _insert_words(
        ["words"], [" || ".join([*_WEIGHED, "array_to_tsvector(string_to_array(:filters, ' '))"])]
    ),
}
_ADD_TOTALS = text(
    "INSERT INTO totals (mailbox, messages) VALUES (:mailbox, :messages) "
    "ON CONFLICT (mailbox) DO UPDATE SET messages = totals.messages + excluded.messages"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step of reading found, written in one transaction.

    Attributes:
        entries: messages that are there.
        removals: `Catalog.removals` before they were read. What was removed since is not brought back.
        gone: keys of messages that are not.
        kept: keys of messages without a manifest that can be read, which the rebuild `run` leaves as they are.
        run: the number of that rebuild.
        state: how far the catalog has read, by name.
        answers: what consumers answered.
    """

    entries: Iterable[Entry] = ()
    removals: int = 0
    gone: Iterable[str] = ()
    kept: Sequence[str] = ()
    run: int = 0
    state: Mapping[str, str | int] | None = None
    answers: Sequence[AnswerRow] = ()


class Catalog:
    """The catalog of one deployment; safe to use from several threads. Every method raises `CatalogError`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._recorded = 0

    @classmethod
    def open(cls, url: str | URL) -> Catalog:
        """Open a catalog; see `open_database`."""
        return cls(open_database(url))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @property
    def removals(self) -> int:
        """The number of writes so far that removed messages. Only a purge counts, not a message that was replaced."""
        return int(self.state(REMOVALS) or 0)

    def write(self, batch: Batch) -> None:
        """Write a batch. Writing it again changes nothing, and what was read earlier replaces nothing newer.

        Nor does it bring back a message that was purged after it was read: a rebuild reads beside the feed.
        """
        with translated(), self.engine.begin() as connection:
            self._begin_writing(connection)
            _put(connection, batch)
            put_answers(connection, batch.answers)
            _mark_gone(connection, set(batch.gone))
            if batch.kept:
                stamped = update(MESSAGES).where(MESSAGES.c.key.in_(batch.kept))
                connection.execute(stamped, {"run": batch.run})
            for name, value in (batch.state or {}).items():
                _set_state(connection, name, str(value))

    def state(self, name: str) -> str:
        """Return what was recorded under a name, an empty string if there is nothing."""
        with translated(), self.engine.connect() as connection:
            return _state(connection, name)

    def states(self) -> dict[str, str]:
        """Return everything that was recorded, by name."""
        with translated(), self.engine.connect() as connection:
            return {row.name: row.value for row in connection.execute(select(STATE.c.name, STATE.c.value))}

    def change_state(self, expected: Mapping[str, str], changed: Mapping[str, str]) -> bool:
        """Record `changed` if everything in `expected` is what is recorded now; return whether it was."""
        with translated(), self.engine.begin() as connection:
            self._begin_writing(connection)
            if any(_state(connection, name) != value for name, value in expected.items()):
                return False
            for name, value in changed.items():
                _set_state(connection, name, value)
            return True

    def remove_older(self, run: int) -> int:
        """Remove the messages that a complete rebuild did not find; return how many.

        Args:
            run: the number of the rebuild.
        """
        gone, behind = 0, -1
        old = select(MESSAGES.c.id, MESSAGES.c.mailbox).where(MESSAGES.c.run < run).order_by(MESSAGES.c.id)
        while True:
            with translated(), self.engine.begin() as connection:
                self._begin_writing(connection)
                found = connection.execute(old.where(MESSAGES.c.id > behind).limit(_AT_ONCE)).all()
                _remove(connection, found)
            gone += len(found)
            if len(found) < _AT_ONCE:
                return gone
            behind = found[-1].id

    def tune(self, stop: Callable[[], bool]) -> None:
        """Bring the index of words into the form in which it is searched fastest, after many messages were written.

        SQLite merges its parts, step by step, so that others may write meanwhile; nothing is lost if `stop` ends it.
        PostgreSQL counts how often each word is used, which decides how it searches.
        """
        if self.engine.dialect.name != "sqlite":
            with translated(), self.engine.begin() as connection:
                connection.exec_driver_sql("ANALYZE messages, messages_words, amounts")
            return
        pages, changed = -_MERGED_PAGES, _NOTHING_MERGED
        while changed >= _NOTHING_MERGED and not stop():
            with translated(), self.engine.begin() as connection:
                self._begin_writing(connection)
                raw = connection.connection.driver_connection
                assert raw is not None
                before = raw.total_changes
                connection.exec_driver_sql(
                    f"INSERT INTO messages_words (messages_words, rank) VALUES ('merge', {pages})"  # noqa: S608 - a number
                )
                changed = raw.total_changes - before
            pages = _MERGED_PAGES

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
                    self._recorded += 1
            if self._recorded >= _PRUNED_EVERY:
                self._recorded = 0
                for sink in positions:
                    _drop_oldest(connection, sink)

    def _begin_writing(self, connection: Connection) -> None:
        if self.engine.dialect.name == "sqlite":
            # A transaction that reads first could not become a writer after another one wrote meanwhile.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # One writer at a time here too: a purge and the row that it removes must see each other.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")


def _put(connection: Connection, batch: Batch) -> None:
    newest: dict[str, Entry] = {}
    for entry in batch.entries:
        known = newest.get(entry.message["key"])
        if known is None or known.message["version"] <= entry.message["version"]:
            newest[entry.message["key"]] = entry
    if not newest:
        return
    gone = select(GONE.c.key).where(GONE.c.key.in_(newest), GONE.c.number > batch.removals)
    for key in connection.scalars(gone):
        del newest[key]
    columns = (MESSAGES.c[name] for name in ("id", "key", "mailbox", "version", "digest", "position", "run"))
    replaced, touched = [], []
    for row in connection.execute(select(*columns).where(MESSAGES.c.key.in_(newest))):
        message = newest[row.key].message
        if row.version > message["version"]:
            del newest[row.key]
            continue
        message["position"] = message["position"] or row.position
        message["run"] = max(message["run"], row.run)  # the feed may have asked before a rebuild began
        if row.digest == message["digest"]:
            touched.append({"id_": row.id, **{name: message[name] for name in ("position", "run", "seen_at")}})
            del newest[row.key]
        else:
            replaced.append(row)
    if touched:
        by_id = text("UPDATE messages SET position = :position, run = :run, seen_at = :seen_at WHERE id = :id_")
        connection.execute(by_id, touched)
    _remove(connection, replaced)
    _insert(connection, newest.values())


def _insert(connection: Connection, entries: Iterable[Entry]) -> None:
    placed = sorted(_placed(connection, entries).items())  # SQLite's index of words takes them fastest in this order
    if not placed:
        return
    connection.execute(insert(MESSAGES), [{"id": id_, **entry.message} for id_, entry in placed])
    connection.execute(_INSERT_WORDS[connection.dialect.name], [{"id": id_, **entry.words} for id_, entry in placed])
    amounts = [{"message": id_, "gross": gross} for id_, entry in placed for gross in entry.amounts]
    if amounts:
        connection.execute(insert(AMOUNTS), amounts)
    _add_totals(connection, Counter(entry.message["mailbox"] for _, entry in placed))


def _placed(connection: Connection, entries: Iterable[Entry]) -> dict[int, Entry]:
    """Return the entries by the ids that they get."""
    found: dict[int, Entry] = {}
    waiting = [(place_of(entry.message["date"], entry.message["key"]), entry) for entry in entries]
    step = 1
    while waiting:
        wanted = {place for place, _ in waiting}
        taken = set(connection.scalars(select(MESSAGES.c.id).where(MESSAGES.c.id.in_(wanted))))
        left = []
        for place, entry in waiting:
            if place in taken or place in found:
                left.append((place + step, entry))
            else:
                found[place] = entry
        waiting, step = left, step * 2
    return found


def _remove(connection: Connection, rows: Sequence[Any]) -> None:
    """Remove messages.

    Args:
        connection: in a transaction that writes.
        rows: with their id and mailbox.
    """
    for some in batches(rows, _AT_ONCE):
        ids = [row.id for row in some]
        words = ", ".join(map(str, ids))
        connection.exec_driver_sql(f"DELETE FROM messages_words WHERE rowid IN ({words})")  # noqa: S608 - numbers
        connection.execute(delete(AMOUNTS).where(AMOUNTS.c.message.in_(ids)))
        connection.execute(delete(MESSAGES).where(MESSAGES.c.id.in_(ids)))
        totals = Counter(row.mailbox for row in some)
        _add_totals(connection, {mailbox: -number for mailbox, number in totals.items()})


def _add_totals(connection: Connection, added: Mapping[str, int]) -> None:
    connection.execute(_ADD_TOTALS, [{"mailbox": name, "messages": number} for name, number in sorted(added.items())])


def _mark_gone(connection: Connection, keys: Collection[str]) -> None:
    if not keys:
        return
    _remove(
        connection,
        connection.execute(select(MESSAGES.c.id, MESSAGES.c.mailbox).where(MESSAGES.c.key.in_(keys))).all(),
    )
    number = int(_state(connection, REMOVALS) or 0) + 1
    _set_state(connection, REMOVALS, str(number))
    connection.execute(delete(GONE).where(GONE.c.key.in_(keys)))
    connection.execute(delete(GONE).where(GONE.c.number <= number - _KEPT_REMOVALS))
    connection.execute(insert(GONE), [{"key": key, "number": number} for key in keys])


def _state(connection: Connection, name: str) -> str:
    return connection.scalar(select(STATE.c.value).where(STATE.c.name == name)) or ""


def _set_state(connection: Connection, name: str, value: str) -> None:
    changed = connection.execute(update(STATE).where(STATE.c.name == name), {"value": value})
    if changed.rowcount == 0:
        connection.execute(insert(STATE), {"name": name, "value": value})


def _drop_oldest(connection: Connection, sink: str) -> None:
    """Remove all but the newest positions of a sink."""
    places = (DELIVERIES.c.milliseconds, DELIVERIES.c.sequence)
    newest = select(*places).where(DELIVERIES.c.sink == sink).order_by(*(one.desc() for one in places))
    oldest = connection.execute(newest.offset(_KEPT_DELIVERIES).limit(1)).first()
    if oldest is not None:
        behind = tuple_(*places) <= tuple_(*oldest)
        connection.execute(delete(DELIVERIES).where(DELIVERIES.c.sink == sink, behind))
