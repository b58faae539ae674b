"""The seam to a POP3 server: one session, from login to QUIT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from typing_extensions import Buffer

    from ingest.domain.mailbox import Credentials, Mailbox


class Writable(Protocol):
    """What a message is written to as it arrives."""

    def write(self, data: Buffer, /) -> int:
        """Append bytes, all of them."""
        ...

    def close(self) -> None:
        """Throw away what was written."""
        ...


SpoolT = TypeVar("SpoolT", bound=Writable)


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of the listing: number in this session, unique-id, bytes.

    `unique_id` is None where the server has no UIDL, `size` where it said nonsense.
    """

    number: int
    unique_id: bytes | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in the maildrop.

    Attributes:
        rows: those on which STAT, LIST and UIDL agree, by number.
        unique_ids: False where the server has no UIDL; then no row has a unique-id.
        left_out: rows that only one of them showed, or that made no sense; they are never fetched.
    """

    rows: list[Listed]
    unique_ids: bool = True
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a server says of itself and of its rules.

    Attributes:
        certificate_not_after: when its certificate ends (seconds since 1970); None without TLS.
        login_delay: seconds that must lie between two logins (RFC 2449 section 6.5); 0 where it names none.
        expires_after: seconds after which it deletes mail by itself (RFC 2449 section 6.7, EXPIRE, in whole days; 0:
            once it was fetched); None where it says NEVER or nothing.
    """

    certificate_not_after: float | None = None
    login_delay: float = 0.0
    expires_after: float | None = None


@dataclass(frozen=True, slots=True)
class Fetched(Generic[SpoolT]):
    """One message, complete. `bytes` counts the unstuffed bytes that were written to `spool`."""

    listed: Listed
    spool: SpoolT
    size: int


@dataclass(frozen=True, slots=True)
class NotFetched:
    """The server answered -ERR for this message; the session goes on."""

    listed: Listed
    reason: str


class Maildrop(Protocol):
    """A session in the TRANSACTION state.

    Every method raises `MaildropError` (a subclass that says why); after one, only `close` may be called.
    Leaving a session without `quit` never deletes anything (RFC 1939, section 6).

    Attributes:
        terms: the server's rules; complete once `listing` has returned.
    """

    terms: Terms

    def listing(self) -> Listing:
        """STAT, UIDL and LIST put together: only rows on which they agree.

        Raises:
            MaildropProtocolError: more rows than the mailbox's limit, or nonsense.
            MaildropRefusedError: the server refuses LIST.
        """
        ...

    def fetch(
        self, wanted: Sequence[Listed], spool: Callable[[Listed], SpoolT]
    ) -> Generator[Fetched[SpoolT] | NotFetched, None, None]:
        """RETR each, in the order given. Nothing is read ahead of what the caller takes, beyond a bounded window.

        `spool` makes the empty spool for one message; whoever receives it in `Fetched` closes it. A message that
        breaks off is never yielded, and its spool is closed. Memory does not grow with the size of a message.
        After closing the generator early, answers may still be under way: only `close` may follow.

        Raises:
            MessageTooLargeError: a message went past the mailbox's limit; `listed` says which.
            MaildropConnectError: the connection ended inside a message.
        """
        ...

    def top(self, listed: Listed) -> bytes:
        """The header of a message (TOP n 0), unstuffed; empty where the server refuses TOP."""
        ...

    def delete(self, listed: Sequence[Listed]) -> int:
        """DELE each; returns how many the server accepted. They are gone only after `quit`."""
        ...

    def quit(self) -> bool:
        """QUIT, which commits deletions, then close. False when the answer was lost or not +OK: in doubt.

        Where nothing was marked, the answer would decide nothing and is not waited for.
        """
        ...

    def close(self) -> None:
        """End the connection without QUIT, so that nothing is deleted. May be called at any time, and again."""
        ...


class MaildropFactory(Protocol):
    """Opens sessions; one factory per process, so that costly things (the TLS context) are shared."""

    def __call__(
        self,
        mailbox: Mailbox,
        credentials: Credentials,
        observe: Callable[[str, float], None],
        acquire_slot: Callable[[str], None],
    ) -> Maildrop:
        """Connect, protect, log in.

        Args:
            mailbox: where, and within which deadlines and limits.
            credentials: who; renewed once when the server refuses them and they can be.
            observe: told of each phase that ended and its seconds.
            acquire_slot: asked before a network address (as text; that of the proxy where there is one) is dialled; raises
                `MaildropDeferredError` where there are too many connections already.

        Raises:
            MaildropDeferredError: from `acquire_slot`.
            MaildropConnectError: unknown host, refused, unreachable, gone.
            MaildropTimeoutError: a phase went past its deadline.
            MaildropTlsError: no TLS that can be trusted; no credentials were sent.
            MaildropAuthError: the credentials were refused.
            MaildropInUseError: another session holds the maildrop.
            MaildropThrottledError, MaildropTemporaryError: the server asks for patience.
            MaildropRefusedError: it refuses for good.
            MaildropProtocolError: this is no POP3 server, or a broken one.
            TokenUnavailableError: no token for it could be had (from `credentials.renew`).
        """
        ...
