"""Messages that a server was asked to delete, and that it may list nevertheless.

Each is recorded before QUIT, and taken out of the seen set. If the process dies then, or the answer is lost, nobody
knows whether the server has deleted it. Other servers confirm deletions that they never make; without a record their
messages would be fetched, recognised and deleted once more in every other poll. The record identifies a message by
unique-id and size, as a listing does. That is not enough to delete by, because the server may have given the
unique-id to another message: so the header (TOP) has to be the stored one too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.domain.seen import SeenRecord, StoredAt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ingest.usecases.poll.identity import IdentifiedRow

# Seconds until a message that its server keeps is compared and deleted once more.
COMPARE_EVERY = 3_600
# Messages compared in one poll; each costs TOP, DELE and three requests to the store.
COMPARISONS_PER_POLL = 100
# In place of the second of a record: the server has confirmed the deletion, or nobody knows whether it has.
_CONFIRMED, _IN_DOUBT = 0, 1


class UndeletedMessages:
    """The deletions of a mailbox that were asked for, and which of these messages are listed nevertheless.

    The second of a record is that of its last comparison after the deletion was confirmed.
    """

    def __init__(self, recorded: Mapping[bytes, SeenRecord], now: float) -> None:
        self._recorded = dict(recorded)
        self._records = dict(recorded)
        self._now = int(now)
        self._same: dict[bytes, tuple[IdentifiedRow, StoredAt]] = {}

    @property
    def records(self) -> Mapping[bytes, SeenRecord]:
        """The deletions that later polls have to know, by digest."""
        return self._records

    @property
    def has_changed(self) -> bool:
        """Whether the records differ from those that the ledger has."""
        return self._records != self._recorded

    def recorded(self) -> None:
        """Note that the ledger has the records as they are now."""
        self._recorded = dict(self._records)

    @property
    def listed(self) -> int:
        """How many messages are known to be listed although their deletion was confirmed."""
        return sum(map(_is_kept, self._records.values()))

    @property
    def repeated(self) -> int:
        """How many of `same` are messages whose deletion was confirmed."""
        return sum(_is_kept(self._records[digest]) for digest in self._same)

    def begin_session(self, rows: Iterable[IdentifiedRow]) -> list[tuple[IdentifiedRow, StoredAt]]:
        """Forget the messages that are gone; return those that are to be compared now, with where they are stored."""
        by_digest = {row.digest: row for row in rows if row.digest is not None and row.digest in self._records}
        self._records = {digest: record for digest, record in self._records.items() if digest in by_digest}
        self._same.clear()
        due = [
            (record.second, by_digest[digest], stored_at)
            for digest, record in self._records.items()
            if self._now - record.second >= COMPARE_EVERY
            and (stored_at := StoredAt.unpack(record.stored_at)) is not None
        ]
        due.sort(key=lambda compared: compared[0])
        return [(row, stored_at) for _, row, stored_at in due[:COMPARISONS_PER_POLL]]

    def compared(self, row: IdentifiedRow, stored_at: StoredAt, *, same: bool) -> None:
        """Note whether a listed message has the header of the deleted one. If not, it is another one."""
        assert row.digest is not None  # it has a record
        if same:
            second = _IN_DOUBT if self._records[row.digest].second == _IN_DOUBT else self._now
            self._records[row.digest] = SeenRecord(second, stored_at.pack())
            self._same[row.digest] = row, stored_at
        else:
            del self._records[row.digest]

    def same(self) -> list[tuple[IdentifiedRow, StoredAt]]:
        """Return the messages of this session that have the stored header, to be deleted once more."""
        return list(self._same.values())

    def begun(self, deletions: Mapping[bytes, StoredAt]) -> set[bytes]:
        """Note messages that the server is about to delete, by digest; return those that had no record."""
        new = deletions.keys() - self._records.keys()
        self._records |= {digest: SeenRecord(_IN_DOUBT, deletions[digest].pack()) for digest in new}
        return new

    def confirmed(self, deletions: Collection[bytes]) -> None:
        """Note that the server has confirmed deletions that were begun."""
        for digest in deletions:
            if (record := self._records[digest]).second == _IN_DOUBT:
                self._records[digest] = record._replace(second=_CONFIRMED)

    def discard(self, digests: Collection[bytes]) -> None:
        """Drop the records of messages that the store does not hold: they are to be fetched again."""
        for digest in digests:
            self._records.pop(digest, None)


def _is_kept(record: SeenRecord) -> bool:
    return record.second not in {_CONFIRMED, _IN_DOUBT}
