"""What consumers answered to events, and when messages were listed on their servers: what only the ledger knows.

It is kept for as many steps as `_KEPT` says, and lost with the catalog.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, text

from ingest.catalog.database import translated
from ingest.catalog.tables import ANSWERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Engine

    from ingest.ports.eventlog import Answers, Entry

# Steps that are kept, some 150 bytes each.
_KEPT = 500_000
_CONFIRMED = frozenset({"delivered", "skipped"})
_PUT = text(
    "INSERT INTO answers (event, sink, verdict, answer, tries, at, failure) "
    "VALUES (:event, :sink, :verdict, :answer, :tries, :at, :failure) "
    "ON CONFLICT (event, sink) DO UPDATE SET verdict = excluded.verdict, answer = excluded.answer, "
    "tries = excluded.tries, at = excluded.at, "
    "failure = CASE WHEN excluded.failure = '' THEN answers.failure ELSE excluded.failure END "
    "WHERE excluded.at >= answers.at"
)


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """The last answer to an event.

    Attributes:
        event: its id.
        sink: which consumer answered; empty for when the message was listed on its server.
        verdict: as in `ingest.ports.eventlog.Answer`, or `listed`.
        answer: its code; empty if there is none.
        tries: which try it was.
        at: when (seconds since 1970).
        failure: the last answer that was a failure; empty if there was none.
    """

    event: str
    sink: str
    verdict: str
    answer: str
    tries: int
    at: float
    failure: str = ""

    @property
    def is_confirmed(self) -> bool:
        """Whether the consumer needs the event no more."""
        return self.verdict in _CONFIRMED


def rows_of(found: Answers) -> list[AnswerRow]:
    """Return the rows of what a consumer answered in one step."""
    return [
        AnswerRow(
            one.event,
            found.sink,
            one.verdict,
            one.reason,
            one.tries,
            found.at,
            "" if one.verdict in _CONFIRMED else one.reason,
        )
        for one in found.answers
    ]


def listings_of(entries: Iterable[Entry]) -> list[AnswerRow]:
    """Return when the messages of events were listed on their servers, as far as that is known."""
    return [
        AnswerRow(entry.event.id, "", "listed", "", 1, entry.first_seen)
        for entry in entries
        if entry.first_seen is not None
    ]


def put_answers(connection: Connection, rows: Sequence[AnswerRow]) -> None:
    """Write rows, and remove the oldest of those that are too many."""
    if rows:
        names = AnswerRow.__dataclass_fields__
        connection.execute(_PUT, [{name: getattr(row, name) for name in names} for row in rows])
        newest = connection.scalar(select(func.max(ANSWERS.c.id))) or 0
        connection.execute(delete(ANSWERS).where(ANSWERS.c.id <= newest - _KEPT))


def read_answers(engine: Engine, events: Sequence[str]) -> list[AnswerRow]:
    """Return the last answers to events, the oldest first.

    Raises:
        CatalogError: the catalog's database is unavailable.
    """
    names = AnswerRow.__dataclass_fields__
    found = select(*(ANSWERS.c[name] for name in names)).where(ANSWERS.c.event.in_(events)).order_by(ANSWERS.c.at)
    with translated(), engine.connect() as connection:
        return [AnswerRow(*row) for row in connection.execute(found)]
