"""The whole POP3 client on bytes alone: a connection that plays a server's side from a list, in any pieces."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.domain.mailbox import Credentials, Deadlines, Limits, Mailbox, Mechanism, Server, Tls
from ingest.pop3.authentication import authentication
from ingest.pop3.deadlines import Deadline, Pace
from ingest.pop3.dialogue import Dialogue
from ingest.pop3.hosts import HostMemory
from ingest.pop3.opening import Opening
from ingest.pop3.protocol import Pop3Protocol, WireLimits
from ingest.pop3.session import Pop3Session
from ingest.pop3.tls import Contexts
from ingest.ports.maildrop import Fetched, Listing, NotFetched, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ingest.pop3.events import Event

SERVER = Server("pop.example.org", 110, Tls.NONE)
LIMITS = Limits(message_bytes=50_000, listed_messages=100)
_DEADLINES = Deadlines()


def events_of(core: Pop3Protocol, *chunks: bytes) -> list[Event]:
    """Feed the chunks to the protocol core one by one; return all events."""
    found = []
    for chunk in chunks:
        core.receive(chunk)
        while (event := core.next_event()) is not None:
            found.append(event)
    return found


class ReplayedConnection:
    """A `Connection` without a socket. The end of `turns` is the end of the stream.

    Args:
        turns: what the server sends at once, and then after each command of the client.
        sizes: the sizes of the pieces in which it arrives, repeated.
    """

    def __init__(self, turns: Sequence[bytes], sizes: Sequence[int] = (65_536,)) -> None:
        self.sent: list[bytes] = []  # a write each
        self.closed = False
        self._waiting = turns[0]
        self._turns = list(reversed(turns[1:]))
        self._sizes = sizes
        self._pieces = 0

    def send(self, data: bytes) -> None:
        """The server's next turn."""
        self.sent.append(data)
        if self._turns:
            self._waiting += self._turns.pop()

    def receive(self, _: Deadline) -> memoryview:
        """The next piece."""
        size = self._sizes[self._pieces % len(self._sizes)]
        self._pieces += 1
        piece, self._waiting = self._waiting[:size], self._waiting[size:]
        return memoryview(piece)

    def arrived(self) -> memoryview:
        """Return no bytes: nothing arrives without a command."""
        return memoryview(b"")

    def close(self) -> None:
        """Record the close."""
        self.closed = True


@dataclass
class Outcome:
    """The result of a poll."""

    terms: Terms = field(default_factory=Terms)
    listing: Listing = field(default_factory=lambda: Listing([]))
    mails: list[bytes | str] = field(default_factory=list)
    head: bytes = b""
    deleted: int = 0
    committed: bool = False


def polled(
    connection: ReplayedConnection, hosts: HostMemory | None = None, mechanism: Mechanism = Mechanism.PASSWORD
) -> Outcome:
    """Log in, list, fetch everything, look at the first header, delete everything, quit.

    Raises:
        MaildropError: as the client does.
    """
    outcome = Outcome()
    drop = _opened(connection, hosts or HostMemory(lambda: 0.0), Credentials("joe", "secret", mechanism))
    outcome.terms = drop.terms
    outcome.listing = drop.listing()
    wanted = outcome.listing.rows
    outcome.mails = [_shown(one) for one in drop.fetch(wanted, lambda _: io.BytesIO())]
    if wanted:
        outcome.head = drop.top(wanted[0])
    outcome.deleted = len(drop.delete(wanted))
    outcome.committed = drop.quit()
    assert connection.closed
    return outcome


def _opened(connection: ReplayedConnection, hosts: HostMemory, credentials: Credentials) -> Pop3Session:
    mailbox = Mailbox("m", SERVER, limits=LIMITS)
    end = Deadline(float("inf"), "never")
    opening = Opening(
        mailbox,
        credentials,
        observe=lambda _phase, _seconds: None,
        acquire_slot=lambda _: None,
        clock=lambda: 0.0,
        contexts=Contexts(),
        hosts=hosts,
        end=end,
    )
    opening.dialogue = Dialogue(
        connection,  # type: ignore[arg-type] # the part of `Connection` that a dialogue uses
        Pop3Protocol(WireLimits(listing_rows=LIMITS.listed_messages)),
        _DEADLINES,
        lambda: 0.0,
        pace=Pace(LIMITS.minimum_rate, 60.0),
        end=end,
        stalled=lambda: None,
    )
    login = opening.log_in(authentication(credentials, SERVER))
    return Pop3Session(
        opening.dialogue,
        LIMITS,
        pipelining=login.pipelining,
        asked=login.listing,
        terms=Terms(None, login.capabilities.login_delay, login.capabilities.expires_after),
        observe=lambda _phase, _seconds: None,
        clock=lambda: 0.0,
    )


def _shown(one: Fetched[io.BytesIO] | NotFetched) -> bytes | str:
    return one.spool.getvalue() if isinstance(one, Fetched) else one.reason


def stuffed(body: bytes) -> bytes:
    """The answer to RETR, as a correct server sends it."""
    return b"+OK\r\n" + (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def multi_line(rows: Iterable[bytes]) -> bytes:
    """An answer of rows."""
    return b"+OK\r\n" + b"".join(row + b"\r\n" for row in rows) + b".\r\n"
