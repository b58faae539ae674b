"""One poll in progress: what it was given, and what it has found and done over all its sessions."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

from ingest.domain.keys import DIGEST_BYTES
from ingest.domain.seen import StoredAt
from ingest.ports.maildrop import Terms
from ingest.ports.troubled import Trouble
from ingest.usecases.poll.identity import IdentifiedRow
from ingest.usecases.poll.report import PollCounts, PollReport
from ingest.usecases.poll.troubled import TroubledAccount
from ingest.usecases.poll.undeleted import UndeletedMessages
from ingest.usecases.poll.values import DoneMessage, registered_among

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ingest.domain.events import Event
    from ingest.errors import MaildropError, MailhaulError, Row, StoreRefusedError
    from ingest.ports.maildrop import Listed, NotFetched
    from ingest.ports.seen import Registration
    from ingest.ports.tracing import Attributes
    from ingest.ports.troubled import TroubledMessage
    from ingest.usecases.poll.values import PollInput

# A server that refuses so many messages in a row, all in the same words, after it handed out others in this session,
# hands out no more of them in one session.
SAME_REFUSALS = 10
# If every expected unique-id is gone and the number of listed ones differs by at most this share, the ids were reset.
_RESET_TOLERANCE = 0.2


class PollProgress:
    """What a poll has found and done so far. The poller and the fetcher report to it; nothing else writes here."""

    def __init__(self, poll: PollInput) -> None:
        self._poll = poll
        self._seen = poll.seen
        self._counted = PollCounts().counts()
        self._terms = Terms()
        self._rows: dict[int, IdentifiedRow] = {}  # of the current session, by number
        self._recognised: list[DoneMessage] = []  # of this session: nothing identified them, their content was done
        self._content_digests: set[bytes] = set()  # of messages that nothing but their content identifies
        self._registered: set[bytes] = set()  # ids of rows
        self._sizes: frozenset[int | None] | None = None  # that this session lists, once they are needed
        self._doubtful: set[int] = set()  # numbers of messages of this session that may be others
        self.undeleted = UndeletedMessages(poll.deleted, poll.now)
        self._troubled = TroubledAccount(poll.troubled, poll.now)
        self._alone = False  # whether this session tries only messages that have ended others
        self._rest_done = False
        self.logged_in = False
        self._left_out = 0
        self._fetched = 0  # messages of this session
        self._same_refusals: tuple[str, int] = ("", 0)  # the last words, and how often they came in a row
        self._refused_by_store = 0
        self._refusal_of_store = ""
        self._registered_identified = False
        self._pipelining_stalled = False
        self._left_unfetched = False
        self._left_undeleted = False
        self._stopped = False

    # --- what happened -------------------------------------------------------------------------------------------

    def begin_session(self, rows: Iterable[IdentifiedRow], terms: Terms, left_out: int = 0) -> None:
        """Start over with a new session's listing."""
        self._rows = {row.listed.number: row for row in rows}
        self._recognised.clear()
        self._doubtful.clear()
        self._sizes = None
        self._fetched, self._same_refusals = 0, ("", 0)
        self._terms = terms
        self._left_out = left_out

    def begin_comparing(self) -> list[tuple[IdentifiedRow, StoredAt]]:
        """Return the listed messages that are to be compared with those that the server was asked to delete."""
        return self.undeleted.begin_session(self._rows.values())

    def begin_fetch(self) -> None:
        """Note how many new messages this session's listing has; a poll counts the most that one session had."""
        self._counted["new"] = max(self._counted["new"], len(self._new()))

    def end_fetch(self, left: int) -> None:
        """Note how many new messages were left on the server because of the limit of messages for one poll."""
        if not self._alone:
            self._left_unfetched = left > 0 or self.is_refused_the_rest

    def rest_done(self) -> bool:
        """Note that all is done but messages that ended sessions; returns whether some are to be tried now."""
        self._rest_done = True
        self._alone = not self._left_unfetched and bool(self._troubled.to_try_alone(self._new()))
        return self._alone

    def fetched(self, size: int) -> None:
        """Count a message that was downloaded completely; `size` is in bytes."""
        self._count(fetched_bytes=size)
        self._fetched += 1
        self._same_refusals = ("", 0)

    def registered(self, row: Listed, registration: Registration) -> str:
        """Count a registered message; returns its result, a label of `mailhaul_messages_total`."""
        identified = self._rows[row.number]
        self._registered.add(identified.id)
        if not registration.may_be_cut:
            self._troubled.resolved(identified)
        if identified.digest is not None:
            self._registered_identified = True
        else:
            self._content_digests.add(registration.digest)
            is_done = registration.message is None and registration.stored and not self.is_doubtful(row)
            if is_done and registration.stored_at is not None:
                self._recognised.append(DoneMessage(row, registration.digest, registration.stored_at))
        result = _result(registration)
        self._count(**{result: 1})
        return result

    def header_differs(self, row: Listed) -> None:
        """Note that a message does not begin with the header that identified it: only its content identifies it."""
        self._rows[row.number] = IdentifiedRow(row, None)

    def may_be_another(self, row: Listed) -> None:
        """Note that a message may be another one than the one that is listed under its number."""
        self._doubtful.add(row.number)

    def refused_by_server(self, refused: NotFetched) -> None:
        """Count a message that the server listed and refused to send."""
        self._count(failed=1)
        row = self.identified(refused.listed)
        if self._alone:
            self._troubled.tried_alone(row)
        self._troubled.note(row, Trouble.REFUSED, refused.reason, refused.words)
        words, times = self._same_refusals
        self._same_refusals = (refused.words, times + 1 if words == refused.words else 1)

    def refused_by_store(self, error: StoreRefusedError) -> None:
        """Count a message that was downloaded and that the store refused."""
        self._refused_by_store += 1
        self._refusal_of_store = str(error)
        self._count(failed=1)

    def too_large(self, row: Row, error: MaildropError) -> None:
        """Remember a message that exceeded the limit although the server had listed a smaller size."""
        self._troubled.note(self.identified(row), Trouble.LARGER_THAN_LISTED, error.code, str(error))
        self._left_unfetched = True

    def ended_session(self, row: Row, error: MaildropError) -> TroubledMessage:
        """Remember the message whose answer was due when the session ended; returns its entry."""
        identified = self.identified(row)
        if self._alone:
            self._troubled.tried_alone(identified)
        else:
            self._left_unfetched = True
        return self._troubled.note(identified, Trouble.ENDS_SESSION, error.code, str(error))

    def distrusted(self) -> None:
        """Note that a session ended because of a message that may be cut; those behind it are still to be fetched."""
        self._left_unfetched = True

    def pipelining_stalled(self) -> bool:
        """Note that the server stopped answering pipelined commands; returns whether it had done so before."""
        before, self._pipelining_stalled = self._pipelining_stalled, True
        return before

    def stopped(self) -> None:
        """Note that `stop` ended the poll early."""
        self._stopped = True

    def forgotten(self, digests: Collection[bytes]) -> None:
        """Note that the ledger forgot these messages: another session of this poll must not know them either."""
        gone = frozenset(digests)
        self._seen = {digest: record for digest, record in self._seen.items() if digest not in gone}

    def deleted(self, count: int) -> None:
        """Count messages that were deleted on the server."""
        self._count(deleted=count)

    def left_undeleted(self) -> None:
        """Note that messages that are due for deletion were left to the next poll."""
        self._left_undeleted = True

    def _count(self, **more: int) -> None:
        for name, count in more.items():
            self._counted[name] += count

    # --- what follows from it ------------------------------------------------------------------------------------

    @property
    def counts(self) -> PollCounts:
        """The counts so far."""
        return PollCounts(**self._counted)

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` ended the poll early."""
        return self._stopped

    @property
    def is_alone(self) -> bool:
        """Whether this session tries only messages that have ended others."""
        return self._alone

    @property
    def is_followed(self) -> bool:
        """Whether another session follows this one at once, in this poll or the next, if this one ends well."""
        return self.report().more or (not self._alone and bool(self._troubled.to_try_alone(self._new())))

    @property
    def has_new_trouble(self) -> bool:
        """Whether messages were left untried, or one ended a session that was not postponed before."""
        return not self._rest_done or self._troubled.has_news

    @property
    def may_commit(self) -> bool:
        """Whether this session may delete and QUIT.

        It may not after an early end, when answers may still be under way, nor when a message was fetched and not
        stored: some servers take RETR and QUIT for consent to delete.
        """
        return not self._stopped and not self._refused_by_store and not self.is_refused_the_rest

    @property
    def is_refused_the_rest(self) -> bool:
        """Whether the server hands out no more messages in this session; another session may get them."""
        return self._fetched > 0 and self._same_refusals[1] >= SAME_REFUSALS

    def store_refuses_all(self, refusals: int = 1) -> bool:
        """Whether the store has refused at least this many messages and taken none."""
        return self._refused_by_store >= refusals and not self.counts.registered

    def new_rows(self) -> list[Listed]:
        """Return the listed messages that were neither seen in earlier polls nor registered in this one."""
        return [row.listed for row in self._new()]

    def rows_to_fetch(self) -> list[Listed]:
        """Return the new messages that this session is to fetch, in their order."""
        if self._alone:
            return self._troubled.to_try_alone(self._new())
        return [row.listed for row in self._new() if not self._troubled.ends_sessions(row)]

    def _new(self) -> list[IdentifiedRow]:
        seen, registered, deleted = self._seen, self._registered, self.undeleted.records
        return [
            row
            for row in self._rows.values()
            if (id_ := row.id) not in seen and id_ not in registered and id_ not in deleted
        ]

    def identified(self, row: Row) -> IdentifiedRow:
        """Return a row of this session with what identifies its message."""
        return self._rows[row.number]

    def once_more(self, digest: bytes) -> bytes:
        """Return the digest under which a message that may be cut is registered.

        The first time it is a mark beside its own digest, so that the next poll fetches it again. The second time it
        is its own digest.
        """
        mark = cut_mark(digest)
        return digest if mark in self._seen else mark

    def is_doubtful(self, row: Listed) -> bool:
        """Return whether a message was noted as one that may be another."""
        return row.number in self._doubtful

    def has_size_of_another(self, row: Listed, size: int) -> bool:
        """Return whether a message has not its own listed size, but that of another one in this session.

        A server that numbers messages anew during a session sends the neighbour. Where listed sizes are estimates,
        this happens by chance.
        """
        if size == row.size:
            return False
        if self._sizes is None:
            self._sizes = frozenset(other.listed.size for other in self._rows.values())
        return size in self._sizes

    def is_oversize(self, row: Listed) -> bool:
        """Whether a message is too large to fetch, by its listed size or because it turned out to be."""
        limit = self._poll.mailbox.limits.message_bytes
        return (row.size or 0) > limit or self._troubled.is_larger_than_listed(self.identified(row))

    def done_messages(self, done: set[bytes]) -> list[DoneMessage]:
        """Return the listed messages that are stored whole and `done`: by digest, or by the content just fetched."""
        known = [
            DoneMessage(row.listed, row.digest, stored_at, record.is_restored)
            for row in self._rows.values()
            if row.digest is not None
            and row.digest in done
            and (record := self._seen.get(row.digest)) is not None
            and (stored_at := StoredAt.unpack(record.stored_at)) is not None
        ]
        undeleted = [
            DoneMessage(row.listed, row.id, stored_at, is_compared=True) for row, stored_at in self.undeleted.same()
        ]
        return [*known, *undeleted, *registered_among(self._recognised, self._seen, done)]

    def other_digests(self, deleted: Mapping[bytes, StoredAt]) -> set[bytes]:
        """Return the digests of deleted messages under which this session does not list them.

        A server may have listed a message under several unique-ids, or without one, from session to session. Another
        message may get any of these.
        """
        keys = {bytes.fromhex(stored_at.key) for stored_at in deleted.values()}
        known = {digest for digest, record in self._seen.items() if record.stored_at[:DIGEST_BYTES] in keys}
        return known - self._listed_digests()

    def to_delete(self, done: list[DoneMessage]) -> list[DoneMessage]:
        """Return the messages to delete now: one whose deletion ended a session only if there are no others."""
        rows = {message.listed.number: self.identified(message.listed) for message in done}
        others = [one for one in done if not self._troubled.ends_sessions(rows[one.listed.number])]
        if others:
            return others
        alone = self._troubled.to_try_alone(rows.values())[:1]
        for listed in alone:
            self._troubled.tried_alone(rows[listed.number])
        return [one for one in done if one.listed in alone]

    def events_to_republish(self, registration: Registration) -> list[Event]:
        """Return the events of a message that was done before and that the ledger did not know.

        Such a ledger may have lost the events too. If it would notice that, a rebuild republishes them; what the
        rebuild has just republished is not repeated.
        """
        if not self._poll.may_have_lost_events or registration.digest in self._seen:
            return []
        return [event for event in registration.events if event.id not in self._poll.republished]

    def unique_ids_were_reset(self, deletable: set[bytes]) -> bool:
        """Whether every unique-id that should be listed is gone while about as many others are there.

        Servers do that after a migration, or when UIDVALIDITY changes. Asked before anything was registered: once a
        message of the new listing is registered, the question has been answered.

        Args:
            deletable: digests whose messages we may have deleted ourselves.
        """
        expected = self._seen.keys() - deletable
        listed = self._listed_digests()
        if self._registered or not expected or not listed or not listed.isdisjoint(expected):
            return False
        return abs(len(listed) - len(expected)) <= _RESET_TOLERANCE * len(expected)

    def digests_to_keep(self) -> set[bytes]:
        """Return the digests to keep: of what is listed or was fetched, and of content fetched without unique-id."""
        listed = self._listed_digests() | self._registered
        return listed | self._content_digests | {cut_mark(digest) for digest in listed}

    @property
    def lists_all(self) -> bool:
        """Whether this session's listing had every message, as far as the server says."""
        return not self._left_out and not self._poll.mailbox.server.quirks.lists_window

    def _listed_digests(self) -> set[bytes]:
        return {row.digest for row in self._rows.values() if row.digest is not None}

    def attributes(self) -> Attributes:
        """Return the counts so far as attributes of a span."""
        return cast("Attributes", {"listed": len(self._rows), **self._counted})

    def troubled_to_remember(self) -> list[TroubledMessage] | None:
        """Return the troubled messages for later polls; None if they have not changed."""
        if self._rest_done and not self._poll.mailbox.server.quirks.lists_window:
            self._troubled.keep({row.id for row in self._rows.values()})
        return self._troubled.to_remember()

    def report(self, error: MailhaulError | None = None) -> PollReport:
        """Return the final report of a poll that succeeded, or that failed with this error."""
        backlog = self.new_rows()
        advanced = self._registered_identified or self._counted["deleted"] > 0
        window = self._poll.mailbox.server.quirks.lists_window and self._counted["stored"] > 0
        return PollReport(
            **self._counted,
            listed=len(self._rows),
            backlog_messages=len(backlog),
            backlog_bytes=sum(row.size or 0 for row in backlog),
            terms=self._terms,
            more=error is None
            and (self._stopped or (advanced and (self._left_unfetched or self._left_undeleted)) or window),
            advanced=self._registered_identified,
            left_out=self._left_out,
            undeleted=self.undeleted.listed,
            troubled=tuple(self._troubled.messages()),
            rest_done=self._rest_done,
            logged_in=self.logged_in,
            store_refused=self._refusal_of_store,
            error=error,
        )


def cut_mark(digest: bytes) -> bytes:
    """Return the digest that marks a message as fetched once, and possibly cut."""
    return hashlib.sha256(b"may be cut" + digest).digest()[:DIGEST_BYTES]


def _result(registration: Registration) -> str:
    if registration.message is None:
        return "duplicate"
    return "oversize" if registration.message.kind == "oversize" else "stored"
