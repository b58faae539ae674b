"""A session in the TRANSACTION state: list, fetch, delete, quit. It is the `Maildrop` of `ingest.ports`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from ingest.errors import MaildropError, MaildropOutOfStepError, MessageTooLargeError
from ingest.pop3 import commands, refusals
from ingest.pop3.listing import combine_listing, parse_count
from ingest.pop3.window import LOCKSTEP, Depth, Window
from ingest.ports.maildrop import Fetched, Listed, Listing, Maildrop, NotFetched, Terms, Writable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from ingest.domain.mailbox import Limits
    from ingest.pop3.commands import Command
    from ingest.pop3.dialogue import Dialogue
    from ingest.pop3.events import Reply

SpoolT = TypeVar("SpoolT", bound=Writable)

# Listed sizes are slightly off (Dovecot: by 2 for a body without a final line end), and servers add headers.
_SLACK_BYTES = 64 * 1024
# The beginning of an answer, where a line of a message may begin too.
_ANSWER = b"\r\n+OK"
# Maximum header size kept by TOP; real headers stay below 100 KiB.
_HEADER_BYTES = 2**20
# What the answer to TOP is expected to have, for the bytes that may be under way.
_USUAL_HEADER_BYTES = 8 * 1024


class Pop3Session(Maildrop):
    """One session of one mailbox; not thread-safe.

    Args:
        dialogue: a dialogue that has logged in.
        limits: the mailbox's limits.
        pipelining: whether several commands may be sent at once (RFC 2449 section 6.6).
        asked: whether `commands.LISTING` was pipelined behind the login, so that its answers come next.
        terms: the server's rules as announced.
        observe: called with each phase and its seconds.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        limits: Limits,
        *,
        pipelining: bool,
        asked: bool,
        terms: Terms,
        observe: Callable[[str, float], None],
        clock: Callable[[], float],
    ) -> None:
        self.terms = terms
        self._dialogue = dialogue
        self._limits = limits
        self._depth = Depth() if pipelining else LOCKSTEP
        self._asked = asked
        self._marked = 0
        self._last: Listed | None = None  # the message read last, None once another was refused
        self._refused: Listed | None = None  # the message refused last, None once another was read
        self._observe = observe
        self._clock = clock

    @override
    def listing(self) -> Listing:
        """Combine STAT, UIDL and LIST; see `ingest.ports.maildrop.Maildrop.listing`."""
        began = self._clock()
        one_by_one = not self._asked and self._depth is LOCKSTEP
        if not self._asked and not one_by_one:
            self._dialogue.send(*commands.LISTING)
        self._asked = False
        listing = self._listed(one_by_one=one_by_one)
        self._observe("list", self._clock() - began)
        return listing

    @override
    def fetch(
        self, wanted: Sequence[Listed], spool: Callable[[Listed], SpoolT]
    ) -> Generator[Fetched[SpoolT] | NotFetched]:
        """RETR each, in the order given; see `ingest.ports.maildrop.Maildrop.fetch`.

        The window is refilled when the caller asks for the next message, so a slow caller slows the server down.
        """
        self._read_pending_listing()
        window = Window(wanted, self._depth, self._clock())
        while window:
            began = self._clock()
            batch = window.refill()
            head = window.head()
            try:
                if batch:
                    self._dialogue.send(*[commands.retr(listed.number) for listed in batch])
                outcome = self._retrieve(head, spool)
            except MaildropError as error:
                self._name_last(error)
                error.during = error.during or self._refused or head
                raise
            ended = self._clock()
            window.answered(ended, ok=isinstance(outcome, Fetched))
            self._observe("retr", ended - began)
            yield outcome

    @override
    def top(self, listed: Listed) -> bytes:
        """Return the header of a message (TOP n 0), unstuffed, cut at 1 MiB; empty if the server refuses TOP."""
        return next(self.tops([listed]))

    @override
    def tops(self, wanted: Sequence[Listed]) -> Iterator[bytes]:
        """Yield what `top` returns for each message, in the order given, with several commands under way."""
        self._read_pending_listing()
        window = Window([replace(row, size=_USUAL_HEADER_BYTES) for row in wanted], self._depth, self._clock())
        for row in wanted:
            with self._naming(row):
                if batch := window.refill():
                    self._dialogue.send(*[commands.top(one.number) for one in batch])
                header = self._header(row)
            window.answered(self._clock(), ok=header is not None)
            yield header or b""

    def _header(self, listed: Listed) -> bytes | None:
        """Read the answer to TOP; None if the server refuses it."""
        header = bytearray()

        def keep(data: bytes) -> int:
            header.extend(data[: _HEADER_BYTES - len(header)])
            return len(data)

        if not self._dialogue.reply().ok:
            self._refused = listed
            return None
        self._refused = None
        self._pour(listed, keep)
        return bytes(header)

    @override
    def delete(self, listed: Sequence[Listed]) -> list[Listed]:
        """Send DELE for each; return those that the server accepted. They are removed only by `quit`."""
        self._read_pending_listing()
        window = Window([Listed(row.number, row.unique_id, 0) for row in listed], self._depth, self._clock())
        accepted: list[Listed] = []
        waiting = iter(listed)
        self._refused = None
        while window:
            began = self._clock()
            row = next(waiting)
            with self._naming(row), self._naming_last():
                if batch := window.refill():
                    self._dialogue.send(*[commands.dele(row.number) for row in batch])
                ok = self._dialogue.reply().ok
            self._refused = None if ok else row
            if ok:
                accepted.append(row)
            ended = self._clock()
            window.answered(ended, ok=ok)
            self._observe("dele", ended - began)
        self._marked += len(accepted)
        return accepted

    @override
    def quit(self, *, wait: bool = False) -> bool:
        """Send QUIT, which commits deletions, and close. Return False if the answer was lost or not +OK (in doubt).

        If nothing was marked, the answer does not matter and is awaited only on request. A session abandoned in the
        middle of a fetch ends without QUIT and returns False: some servers (Gmail) delete or hide mail after RETR and
        QUIT.
        """
        began = self._clock()
        try:
            self._read_pending_listing()
            if not self._dialogue.idle:
                return False
            if self._marked or wait:
                committed = self._dialogue.quit()
                if wait:
                    self._dialogue.wait_until_closed()
                return committed
            self._dialogue.leave()
        except MaildropError:
            return False
        finally:
            self.close()
            self._observe("quit", self._clock() - began)
        return True

    @override
    def close(self) -> None:
        """Close the connection without QUIT, so that nothing is deleted."""
        self._dialogue.close()

    def _read_pending_listing(self) -> None:
        """Read the answers to the listing pipelined behind the login if nobody has asked for it."""
        if self._asked:
            self.listing()

    def _listed(self, *, one_by_one: bool) -> Listing:
        """Read, and first send if `one_by_one`, STAT, UIDL and LIST; STAT is enough for an empty maildrop."""
        stat = self._reply_to(commands.STAT, ask=one_by_one)
        count = parse_count(stat.status.data) if stat.ok else None
        if one_by_one and count == 0:
            return Listing([])
        ids = self._unique_ids(self._reply_to(commands.UIDL, ask=one_by_one))
        scan = self._reply_to(commands.LIST, ask=one_by_one)
        if not scan.ok and count != 0:
            raise refusals.command_refused(scan.status, "LIST")
        sizes = self._dialogue.rows() if scan.ok else []
        return combine_listing(count, ids if ids is not None or count != 0 else [], sizes)

    def _reply_to(self, command: Command, *, ask: bool) -> Reply:
        if ask:
            self._dialogue.send(command)
        return self._dialogue.reply()

    def _unique_ids(self, reply: Reply) -> list[bytes] | None:
        """Return the rows of UIDL, or None if the server has no UIDL; a refusal with a known reason is raised."""
        if reply.ok:
            return self._dialogue.rows()
        if refusals.has_known_reason(reply.status):
            raise refusals.command_refused(reply.status, "UIDL")
        return None

    def _retrieve(self, listed: Listed, spool: Callable[[Listed], SpoolT]) -> Fetched[SpoolT] | NotFetched:
        reply = self._dialogue.reply()
        if not reply.ok:
            self._last, self._refused = None, listed
            return NotFetched(listed, refusals.reason(reply.status), reply.status.text)
        self._refused = None
        target = spool(listed)
        try:
            data = self._pour(listed, target.write)
        except BaseException:
            target.close()
            raise
        self._last = listed
        return Fetched(listed, target, data, in_step=self._dialogue.in_step)

    @contextmanager
    def _naming(self, listed: Listed) -> Iterator[None]:
        """Add the message whose answer is due to an error that ends the session, or the one refused just before.

        A server that fails at a message may refuse it first, and then hang up.
        """
        try:
            yield
        except MaildropError as error:
            error.during = error.during or self._refused or listed
            raise

    @contextmanager
    def _naming_last(self) -> Iterator[None]:
        """Add the message read last to the error that says that what followed it is no answer."""
        try:
            yield
        except MaildropError as error:
            self._name_last(error)
            raise

    def _name_last(self, error: MaildropError) -> None:
        if isinstance(error, MaildropOutOfStepError):
            error.row = error.row or self._last
            error.during = error.during or self._refused  # a refusal in several lines

    def _pour(self, listed: Listed, write: Callable[[bytes], int]) -> int:
        """Write a message as it arrives; return its size in bytes."""
        most = max(self._limits.message_bytes, (listed.size or 0) + _SLACK_BYTES)
        total, answers = 0, False
        for data in self._dialogue.body():
            total += len(data)
            if total > most:
                self.close()
                raise MessageTooLargeError(f"A message exceeded {most} bytes.", listed)
            answers = answers or _ANSWER in data
            write(data)
        if answers and listed.size is not None and total > listed.size and not self._dialogue.idle:
            # Without its last line, a message swallows the answer to the next command. It may also quote a session:
            # one command at a time, both are read as they are.
            raise self._dialogue.no_pipelining("The server may not have ended a message before the next answer.")
        return total
