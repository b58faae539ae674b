"""The in-memory twin of `Pop3Connector`, and of the server behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from ingest.errors import (
    MaildropConnectError,
    MaildropError,
    MaildropInUseError,
    MaildropOutOfStepError,
    MessageTooLargeError,
    PipeliningStalledError,
)
from ingest.ports.maildrop import Fetched, Listed, Listing, Maildrop, MaildropFactory, NotFetched, Terms, Writable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from ingest.domain.mailbox import Credentials, Mailbox

SpoolT = TypeVar("SpoolT", bound=Writable)


@dataclass
class MemoryMaildrop:
    """A maildrop, and how its server behaves.

    Attributes:
        messages: raw bytes by unique-id, in order. Sessions delete from here at QUIT.
        sizes: sizes that LIST reports instead of the real ones, by unique-id.
        refused: unique-ids for which RETR is answered by -ERR.
        alias: unique-ids that UIDL reports instead of the real ones.
        cut: how many bytes of a message arrive, by unique-id: the server does not double the dot of a line that is a
            lone dot, so that the rest of the message follows as something that is no answer.
        breaks_after: unique-ids of messages behind which the session breaks with `MaildropOutOfStepError`.
        ends: the error that ends a session when it fetches a message, by unique-id.
        session_ends_after: how many messages a session hands out; the next one ends it. None for all.
        advance: called with `session_seconds` when a message ends a session.
        sends_instead: unique-ids of messages that RETR sends in place of others, by unique-id; each once.
        window: lists only this many messages that were not fetched before, as Gmail does; None lists all.
        stalls: this many of the next sessions raise `PipeliningStalledError` when they fetch.
        error: raised instead of opening a session.
        keeps_deleted: whether it confirms deletions and lists the messages nevertheless.
        loses_quit: whether it deletes at QUIT, and its answer is lost.
        unique_ids: whether the server has UIDL.
        numbered: UIDL answers message numbers.
        left_out: how many further messages STAT counts, which UIDL and LIST do not list consistently.
        tops: whether the server has TOP.
        shifts_tops: TOP answers with the header of the next message, behind the last one with that of the first.
        exclusive: a session locks the maildrop, as RFC 1939 demands; another one gets `MaildropInUseError`.
        terms: the rules that it announces.
        quits: how many sessions ended with QUIT.
        awaited: how many of these waited for the answer because another session was to follow.
        sessions: how many sessions were opened.
        retrieved: the unique-ids of all messages that were fetched, in order.
        session: the one that was opened last, if it has not ended.
    """

    messages: dict[bytes, bytes] = field(default_factory=dict)
    sizes: dict[bytes, int] = field(default_factory=dict)
    refused: set[bytes] = field(default_factory=set)
    alias: dict[bytes, bytes] = field(default_factory=dict)
    cut: dict[bytes, int] = field(default_factory=dict)
    breaks_after: set[bytes] = field(default_factory=set)
    ends: dict[bytes, type[MaildropError]] = field(default_factory=dict)
    session_ends_after: int | None = None
    session_seconds: float = 0.0
    advance: Callable[[float], None] = lambda _: None
    sends_instead: dict[bytes, bytes] = field(default_factory=dict)
    window: int | None = None
    stalls: int = 0
    error: MaildropError | None = None
    unique_ids: bool = True
    numbered: bool = False
    left_out: int = 0
    tops: bool = True
    shifts_tops: bool = False
    keeps_deleted: bool = False
    loses_quit: bool = False
    exclusive: bool = False
    terms: Terms = field(default_factory=Terms)
    quits: int = 0
    awaited: int = 0
    sessions: int = 0
    retrieved: list[bytes] = field(default_factory=list)
    session: MemorySession | None = None

    def drop_session(self) -> None:
        """End the open session, as a server does after some idle minutes; nothing is deleted."""
        if self.session is not None:
            self.session.drop()
        self.session = None


@dataclass
class MemoryConnector(MaildropFactory):
    """A `MaildropFactory` over these maildrops, by mailbox id."""

    maildrops: dict[str, MemoryMaildrop]

    @override
    def __call__(
        self,
        mailbox: Mailbox,
        credentials: Credentials,
        observe: Callable[[str, float], None],
        acquire_slot: Callable[[str], None],
    ) -> MemorySession:
        del credentials
        acquire_slot(mailbox.server.host)
        maildrop = self.maildrops[mailbox.id]
        if maildrop.error is not None:
            raise maildrop.error
        if maildrop.exclusive and maildrop.session is not None:
            raise MaildropInUseError("another session holds the maildrop")
        maildrop.sessions += 1
        observe("connect", 0.0)
        maildrop.session = session = MemorySession(maildrop, mailbox.limits.message_bytes)
        return session


class MemorySession(Maildrop):
    """A `Maildrop` over a `MemoryMaildrop`.

    Attributes:
        marked: the unique-ids of the messages that QUIT will delete.
    """

    def __init__(self, maildrop: MemoryMaildrop, message_bytes: int) -> None:
        self.terms = maildrop.terms
        self._maildrop = maildrop
        self._most = message_bytes
        self._by_number: dict[int, bytes] = {}
        self.marked: set[bytes] = set()
        self._closed = False
        self._dropped = False
        self._handed_out = 0

    def drop(self) -> None:
        """Let the server end this session."""
        self._dropped = True

    @override
    def listing(self) -> Listing:
        self._raise_if_dropped()
        drop = self._maildrop
        shown = list(drop.messages)
        if drop.window is not None:
            shown = [unique_id for unique_id in shown if unique_id not in drop.retrieved][: drop.window]
        self._by_number = dict(enumerate(shown, 1))
        rows = [self._row(*item) for item in self._by_number.items()]
        return Listing(rows, unique_ids=drop.unique_ids, left_out=drop.left_out)

    @override
    def fetch(
        self, wanted: Sequence[Listed], spool: Callable[[Listed], SpoolT]
    ) -> Generator[Fetched[SpoolT] | NotFetched]:
        if self._maildrop.stalls:
            self._maildrop.stalls -= 1
            raise PipeliningStalledError("no answer to the second command")
        for listed in wanted:
            assert not self._closed
            self._raise_if_dropped()
            unique_id = self._by_number[listed.number]
            self._end_if_asked(listed, unique_id)
            if unique_id in self._maildrop.refused:
                yield NotFetched(listed, "refused", "not this one")
                continue
            sent = self._maildrop.sends_instead.pop(unique_id, unique_id)
            if sent not in self._maildrop.messages:
                sent = unique_id
            whole = self._maildrop.messages[sent]
            raw = whole[: self._maildrop.cut.get(sent, len(whole))]
            if len(raw) > self._most:
                self._closed = True
                raise MessageTooLargeError("larger than listed", listed)
            self._maildrop.retrieved.append(unique_id)
            target = spool(listed)
            try:
                target.write(raw)
            except BaseException:
                target.close()
                raise
            yield Fetched(listed, target, len(raw), in_step=len(raw) == len(whole))
            if unique_id in self._maildrop.breaks_after:
                self._closed = True
                raise MaildropOutOfStepError("no answer", listed)

    @override
    def top(self, listed: Listed) -> bytes:
        self._raise_if_dropped()
        if not self._maildrop.tops:
            return b""
        number = listed.number % len(self._by_number) + 1 if self._maildrop.shifts_tops else listed.number
        head, blank, _ = self._maildrop.messages[self._by_number[number]].partition(b"\r\n\r\n")
        return head + blank

    @override
    def delete(self, listed: Sequence[Listed]) -> list[Listed]:
        self._raise_if_dropped()
        self.marked.update(self._by_number[row.number] for row in listed)
        return list(listed)

    def _end_if_asked(self, listed: Listed, unique_id: bytes) -> None:
        """End the session as the test asked."""
        kind = self._maildrop.ends.get(unique_id)
        if kind is None and self._handed_out == self._maildrop.session_ends_after:
            kind = MaildropConnectError
        self._handed_out += 1
        if kind is not None:
            self._closed = True
            self._maildrop.advance(self._maildrop.session_seconds)
            error = kind("the server's words")
            error.during = listed
            raise error

    def _row(self, number: int, unique_id: bytes) -> Listed:
        drop = self._maildrop
        shown = b"%d" % number if drop.numbered else drop.alias.get(unique_id, unique_id)
        return Listed(
            number, shown if drop.unique_ids else None, drop.sizes.get(unique_id, len(drop.messages[unique_id]))
        )

    @override
    def quit(self, *, wait: bool = False) -> bool:
        assert not self._closed
        self._raise_if_dropped()
        self._maildrop.quits += 1
        self._maildrop.awaited += wait
        if not self._maildrop.keeps_deleted:
            for unique_id in self.marked:
                del self._maildrop.messages[unique_id]
        self.close()
        return not self._maildrop.loses_quit

    @override
    def close(self) -> None:
        self._closed = True
        if self._maildrop.session is self:
            self._maildrop.session = None

    def _raise_if_dropped(self) -> None:
        if self._dropped:
            raise MaildropConnectError("the server has ended the session")
