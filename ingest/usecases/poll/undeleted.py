"""Messages that a server lists again although it has confirmed their deletion.

Such a server never deletes. Without a record its messages would be fetched, recognised and deleted once more in
every other poll. The record of a confirmed deletion identifies the message by unique-id and size, as a listing does.
That is not enough to delete by, because the server may have given the unique-id to another message: so the header
(TOP) has to be the stored one too.
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


class UndeletedMessages:
    """The confirmed deletions of a mailbox, and which of these messages are listed nevertheless.

    The second of a record is that of its last comparison, 0 before the first.
    """

    def __init__(self, confirmed: Mapping[bytes, SeenRecord], now: float) -> None:
        self._before = dict(confirmed)
        self._records = dict(confirmed)
        self._now = int(now)
        self._same: dict[bytes, tuple[IdentifiedRow, StoredAt]] = {}

    @property
    def records(self) -> Mapping[bytes, SeenRecord]:
        """The confirmed deletions that later polls have to know, by digest."""
        return self._records

    @property
    def has_changed(self) -> bool:
        """Whether the records differ from those that the ledger has."""
        return self._records != self._before

    @property
    def listed(self) -> int:
        """How many messages are known to be listed although their deletion was confirmed."""
        return sum(record.second > 0 for record in self._records.values())

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
            self._records[row.digest] = SeenRecord(self._now, stored_at.pack())
            self._same[row.digest] = row, stored_at
        else:
            del self._records[row.digest]

    def same(self) -> list[tuple[IdentifiedRow, StoredAt]]:
        """Return the messages of this session that have the stored header, to be deleted once more."""
        return list(self._same.values())

    def confirmed(self, deleted: Mapping[bytes, StoredAt]) -> None:
        """Note deletions that the server has confirmed, by digest."""
        for digest, stored_at in deleted.items():
            self._records.setdefault(digest, SeenRecord(0, stored_at.pack()))

    def discard(self, digests: Collection[bytes]) -> None:
        """Drop the records of messages that the store does not hold: they are to be fetched again."""
        for digest in digests:
            self._records.pop(digest, None)
