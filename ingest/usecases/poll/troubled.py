"""The account that a poll keeps of single messages with trouble, so that one message never delays the others.

A message that ended a session is tried last, in a session of its own. After some endings it is postponed: polls try
it with growing pauses. If a message turns out to be larger than listed, its header is fetched instead (TOP), at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.domain.retry import POSTPONED_AFTER, POSTPONED_BACKOFF
from ingest.ports.troubled import Trouble, TroubledMessage
from ingest.usecases.poll.archive import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ingest.ports.maildrop import Listed
    from ingest.usecases.poll.identity import IdentifiedRow

# How many messages are remembered per mailbox; if there are more, those that have failed most often.
REMEMBERED = 100
_UNIQUE_ID_CHARS, _WORDS_CHARS = 100, 300
# A due time further away than the longest pause was computed before the clock was set back.
_FURTHEST = POSTPONED_BACKOFF.cap * (1 + POSTPONED_BACKOFF.jitter)


class TroubledAccount:
    """The troubled messages of one mailbox during one poll, by the ids of their rows.

    Args:
        known: from earlier polls.
        now: when the poll began (seconds since 1970).
    """

    def __init__(self, known: Iterable[TroubledMessage], now: float) -> None:
        self._now = now
        self._messages = {bytes.fromhex(message.digest): message for message in known}
        self._known = dict(self._messages)
        self._unidentified: set[bytes] = set()  # ids that are valid in this poll only
        self._tried_alone: set[bytes] = set()

    def note(self, row: IdentifiedRow, trouble: Trouble, code: str, words: str) -> TroubledMessage:
        """Remember what happened to a message; returns its entry."""
        before = self._messages.get(row.id)
        if trouble is Trouble.REFUSED and self.ends_sessions(row):
            trouble = Trouble.ENDS_SESSION  # what follows the refusal ends sessions that fetch others behind it
        times = before.times + 1 if before is not None and before.trouble is trouble else 1
        postponed = trouble is Trouble.ENDS_SESSION and times >= POSTPONED_AFTER
        pause = POSTPONED_BACKOFF.pause(times - POSTPONED_AFTER + 1, 0.5) if postponed else 0.0
        if row.digest is None:
            self._unidentified.add(row.id)
        self._messages[row.id] = entry = TroubledMessage(
            digest=row.id.hex(),
            number=row.listed.number,
            unique_id=printable(row.listed.unique_id or b"")[:_UNIQUE_ID_CHARS],
            trouble=trouble,
            code=code,
            words=words[:_WORDS_CHARS],
            times=times,
            retry_at=self._now + pause if postponed else 0.0,
            postponed=postponed,
        )
        return entry

    def resolved(self, row: IdentifiedRow) -> None:
        """Forget a message that was registered."""
        self._messages.pop(row.id, None)

    def ends_sessions(self, row: IdentifiedRow) -> bool:
        """Whether a message has ended a session, so that it is not fetched along with others."""
        return bool(self._messages) and self._trouble(row) is Trouble.ENDS_SESSION

    def is_larger_than_listed(self, row: IdentifiedRow) -> bool:
        """Whether a message exceeded the limit although the server had listed a smaller size."""
        return bool(self._messages) and self._trouble(row) is Trouble.LARGER_THAN_LISTED

    def to_try_alone(self, rows: Iterable[IdentifiedRow]) -> list[Listed]:
        """Return those of the rows that are to be tried now, each at the risk of its session: least trouble first."""
        due = [row for row in rows if self.ends_sessions(row) and self._is_due(row)]
        return [row.listed for row in sorted(due, key=lambda row: (self._messages[row.id].times, row.listed.number))]

    def tried_alone(self, row: IdentifiedRow) -> None:
        """Note that a message had a session of its own, so that this poll does not try it again."""
        self._tried_alone.add(row.id)

    def keep(self, listed: Collection[bytes]) -> None:
        """Forget messages that are not listed any more; `listed` are ids of rows."""
        self._messages = {id_: message for id_, message in self._messages.items() if id_ in listed}

    @property
    def has_news(self) -> bool:
        """Whether a message ended a session of this poll, was not fetched since, and was not postponed before."""
        return any(
            message.trouble is Trouble.ENDS_SESSION
            and message != (before := self._known.get(id_))
            and not (before is not None and before.postponed)
            for id_, message in self._messages.items()
        )

    def messages(self) -> list[TroubledMessage]:
        """Return all of them, by number."""
        return sorted(self._messages.values(), key=lambda message: message.number)

    def to_remember(self) -> list[TroubledMessage] | None:
        """Return the messages for later polls; None if they have not changed."""
        identified = {id_: one for id_, one in self._messages.items() if id_ not in self._unidentified}
        if identified == self._known:
            return None
        return sorted(identified.values(), key=lambda message: -message.times)[:REMEMBERED]

    def _trouble(self, row: IdentifiedRow) -> Trouble | None:
        message = self._messages.get(row.id)
        return None if message is None else message.trouble

    def _is_due(self, row: IdentifiedRow) -> bool:
        wait = self._messages[row.id].retry_at - self._now
        return row.id not in self._tried_alone and not 0 < wait <= _FURTHEST
