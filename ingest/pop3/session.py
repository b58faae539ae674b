"""A session in the TRANSACTION state: list, fetch, delete, quit. It is the `Maildrop` of `ingest.ports`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from ingest.errors import MaildropError, MessageTooLargeError
from ingest.pop3 import commands, refusals
from ingest.pop3.listing import counted, put_together
from ingest.pop3.window import LOCKSTEP, Depth, Window
from ingest.ports.maildrop import Fetched, Listed, Listing, Maildrop, NotFetched, Terms, Writable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from ingest.domain.mailbox import Limits
    from ingest.pop3.commands import Command
    from ingest.pop3.dialogue import Dialogue
    from ingest.pop3.events import Reply

SpoolT = TypeVar("SpoolT", bound=Writable)

# Listed sizes are off by a little (Dovecot: by 2 on a body without a final line end), headers added on the way out.
_SLACK_BYTES = 64 * 1024
# Of a header that is kept; real ones end below 100 KiB.
_HEADER_BYTES = 2**20


class Pop3Session(Maildrop):
    """One session of one mailbox; not for several threads at once.

    Args:
        dialogue: logged in.
        limits: the mailbox's.
        pipelining: whether several commands may be sent at once (RFC 2449 section 6.6).
        asked: whether `commands.LISTING` was sent behind the login, so that its answers are what comes next.
        terms: what the server has said of its rules.
        observe: told of each phase and its seconds.
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
        self._observe = observe
        self._clock = clock

    @override
    def listing(self) -> Listing:
        """STAT, UIDL and LIST put together; see `ingest.ports.maildrop.Maildrop.listing`."""
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
        self._hear_out()
        window = Window(wanted, self._depth)
        while window:
            began = self._clock()
            if batch := window.refill():
                self._dialogue.send(*[commands.retr(listed.number) for listed in batch])
            outcome = self._retrieve(window.head(), spool)
            window.answered()
            self._observe("retr", self._clock() - began)
            yield outcome

    @override
    def top(self, listed: Listed) -> bytes:
        """The header of a message (TOP n 0), unstuffed, cut at 1 MiB; empty where the server refuses TOP."""
        self._hear_out()
        self._dialogue.send(commands.top(listed.number))
        if not self._dialogue.reply().ok:
            return b""
        header = bytearray()

        def keep(data: bytes) -> int:
            header.extend(data[: _HEADER_BYTES - len(header)])
            return len(data)

        self._pour(listed, keep)
        return bytes(header)

    @override
    def delete(self, listed: Sequence[Listed]) -> int:
        """DELE each; returns how many the server accepted. They are gone only after `quit`."""
        self._hear_out()
        window = Window([Listed(row.number, row.unique_id, 0) for row in listed], self._depth)
        accepted = 0
        while window:
            began = self._clock()
            if batch := window.refill():
                self._dialogue.send(*[commands.dele(row.number) for row in batch])
            accepted += self._dialogue.reply().ok
            window.answered()
            self._observe("dele", self._clock() - began)
        self._marked += accepted
        return accepted

    @override
    def quit(self) -> bool:
        """QUIT, which commits deletions, then close. False when the answer was lost or not +OK: in doubt.

        Where nothing was marked, the answer would decide nothing and is not waited for. A session that was left in
        the middle of a fetch ends without QUIT, and False: some servers (Gmail) take RETR and QUIT for leave to
        delete.
        """
        began = self._clock()
        try:
            self._hear_out()
            if not self._dialogue.idle:
                return False
            if self._marked:
                return self._dialogue.quit()
            self._dialogue.leave()
        except MaildropError:
            return False
        finally:
            self.close()
            self._observe("quit", self._clock() - began)
        return True

    @override
    def close(self) -> None:
        """End the connection without QUIT, so that nothing is deleted."""
        self._dialogue.close()

    def _hear_out(self) -> None:
        """Take the answers to what was asked behind the login, where nobody wanted the listing."""
        if self._asked:
            self.listing()

    def _listed(self, *, one_by_one: bool) -> Listing:
        """Ask for, or only hear, STAT, UIDL and LIST; of an empty maildrop STAT says enough."""
        stat = self._reply_to(commands.STAT, ask=one_by_one)
        count = counted(stat.status.data) if stat.ok else None
        if one_by_one and count == 0:
            return Listing([])
        ids = self._unique_ids(self._reply_to(commands.UIDL, ask=one_by_one))
        scan = self._reply_to(commands.LIST, ask=one_by_one)
        if not scan.ok and count != 0:
            raise refusals.in_session(scan.status, "LIST")
        sizes = self._dialogue.rows() if scan.ok else []
        return put_together(count, ids if ids is not None or count != 0 else [], sizes)

    def _reply_to(self, command: Command, *, ask: bool) -> Reply:
        if ask:
            self._dialogue.send(command)
        return self._dialogue.reply()

    def _unique_ids(self, reply: Reply) -> list[bytes] | None:
        """None where the server does not know UIDL; one that says why it refuses does."""
        if reply.ok:
            return self._dialogue.rows()
        if refusals.says_why(reply.status):
            raise refusals.in_session(reply.status, "UIDL")
        return None

    def _retrieve(self, listed: Listed, spool: Callable[[Listed], SpoolT]) -> Fetched[SpoolT] | NotFetched:
        reply = self._dialogue.reply()
        if not reply.ok:
            return NotFetched(listed, refusals.reason(reply.status))
        target = spool(listed)
        try:
            data = self._pour(listed, target.write)
        except BaseException:
            target.close()
            raise
        return Fetched(listed, target, data)

    def _pour(self, listed: Listed, write: Callable[[bytes], int]) -> int:
        """Write a message as it arrives; returns its bytes."""
        most = max(self._limits.message_bytes, (listed.size or 0) + _SLACK_BYTES)
        total = 0
        for data in self._dialogue.body():
            total += len(data)
            if total > most:
                self.close()
                raise MessageTooLargeError(f"A message went on past {most} bytes.", listed)
            write(data)
        return total
