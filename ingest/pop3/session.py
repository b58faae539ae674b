"""A session in the TRANSACTION state: list, fetch, delete, quit. It is the `Maildrop` of `ingest.ports`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

from ingest.errors import MaildropError, MessageTooLargeError
from ingest.pop3 import commands, refusals
from ingest.pop3.listing import put_together
from ingest.pop3.window import LOCKSTEP, Depth, Window
from ingest.ports.maildrop import Fetched, Listed, Listing, NotFetched, Terms, Writable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from ingest.domain.mailbox import Limits
    from ingest.pop3.commands import Command
    from ingest.pop3.dialogue import Dialogue

SpoolT = TypeVar("SpoolT", bound=Writable)

# Listed sizes are off by a little (Dovecot: by 2 on a body without a final line end), headers added on the way out.
_SLACK_OCTETS = 64 * 1024
# Of a header that is kept; real ones end below 100 KiB.
_HEADER_OCTETS = 2**20


class Pop3Session:
    """One session of one mailbox; not for several threads at once.

    Args:
        dialogue: logged in.
        limits: the mailbox's.
        pipelining: whether the server announced it (RFC 2449 section 6.6).
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
        terms: Terms,
        observe: Callable[[str, float], None],
        clock: Callable[[], float],
    ) -> None:
        self.terms = terms
        self._dialogue = dialogue
        self._limits = limits
        self._depth = Depth() if pipelining else LOCKSTEP
        self._observe = observe
        self._clock = clock

    def listing(self) -> Listing:
        """UIDL and LIST put together: only rows on which both agree, by number.

        Raises:
            MaildropProtocolError: more rows than the mailbox's limit, or an endless one.
            MaildropRefusedError: the server does not know UIDL or LIST.
        """
        began = self._clock()
        if self._depth is LOCKSTEP:
            rows = [self._rows_of(command) for command in (commands.UIDL, commands.LIST)]
        else:
            self._dialogue.send(commands.UIDL, commands.LIST)
            rows = [self._rows(), self._rows()]
        self._observe("list", self._clock() - began)
        return put_together(*rows)

    def fetch(
        self, wanted: Sequence[Listed], spool: Callable[[Listed], SpoolT]
    ) -> Generator[Fetched[SpoolT] | NotFetched]:
        """RETR each, in the order given; see `ingest.ports.maildrop.Maildrop.fetch`.

        The window is refilled when the caller asks for the next message, so a slow caller slows the server down.
        """
        window = Window(wanted, self._depth)
        while window:
            began = self._clock()
            self._dialogue.send(*(commands.retr(listed.number) for listed in window.refill()))
            outcome = self._retrieve(window.head(), spool)
            window.answered()
            self._observe("retr", self._clock() - began)
            yield outcome

    def top(self, listed: Listed) -> bytes:
        """The header of a message (TOP n 0), unstuffed, cut at 1 MiB; empty where the server refuses TOP."""
        self._dialogue.send(commands.top(listed.number))
        if not self._dialogue.reply().ok:
            return b""
        header = bytearray()

        def keep(octets: bytes) -> int:
            header.extend(octets[: _HEADER_OCTETS - len(header)])
            return len(octets)

        self._pour(listed, keep)
        return bytes(header)

    def delete(self, listed: Sequence[Listed]) -> int:
        """DELE each; returns how many the server accepted. They are gone only after `quit`."""
        window = Window([Listed(row.number, row.unique_id, 0) for row in listed], self._depth)
        accepted = 0
        while window:
            began = self._clock()
            self._dialogue.send(*(commands.dele(row.number) for row in window.refill()))
            accepted += self._dialogue.reply().ok
            window.answered()
            self._observe("dele", self._clock() - began)
        return accepted

    def quit(self) -> bool:
        """QUIT, which commits deletions, then close. False when the answer was lost or not +OK: in doubt.

        A session that was left in the middle of a fetch ends without QUIT, and False: some servers (Gmail) take RETR
        and QUIT for leave to delete.
        """
        began = self._clock()
        try:
            return self._dialogue.idle and self._dialogue.quit()
        except MaildropError:
            return False
        finally:
            self.close()
            self._observe("quit", self._clock() - began)

    def close(self) -> None:
        """End the connection without QUIT, so that nothing is deleted."""
        self._dialogue.close()

    def _rows_of(self, command: Command) -> list[bytes]:
        self._dialogue.send(command)
        return self._rows()

    def _rows(self) -> list[bytes]:
        reply = self._dialogue.reply()
        if not reply.ok:
            raise refusals.in_session(reply.status, reply.command.verb)
        return self._dialogue.rows()

    def _retrieve(self, listed: Listed, spool: Callable[[Listed], SpoolT]) -> Fetched[SpoolT] | NotFetched:
        reply = self._dialogue.reply()
        if not reply.ok:
            return NotFetched(listed, refusals.reason(reply.status))
        with ExitStack() as stack:
            target = spool(listed)
            stack.callback(target.close)
            octets = self._pour(listed, target.write)
            stack.pop_all()
        return Fetched(listed, target, octets)

    def _pour(self, listed: Listed, write: Callable[[bytes], int]) -> int:
        """Write a message as it arrives; returns its octets."""
        most = max(self._limits.message_bytes, (listed.size or 0) + _SLACK_OCTETS)
        total = 0
        for octets in self._dialogue.body():
            total += len(octets)
            if total > most:
                self.close()
                raise MessageTooLargeError(f"A message went on past {most} octets.", listed)
            write(octets)
        return total
