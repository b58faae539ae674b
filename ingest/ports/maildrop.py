"""The port to a POP3 server: one session, from login to QUIT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from typing_extensions import Buffer

    from ingest.domain.mailbox import Credentials, Mailbox


class Writable(Protocol):
    """A spool for one message."""

    def write(self, data: Buffer, /) -> int:
        """Append all of these bytes."""
        ...

    def close(self) -> None:
        """Discard what was written."""
        ...


SpoolT = TypeVar("SpoolT", bound=Writable)


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of the listing.

    Attributes:
        number: of the message in this session.
        unique_id: None if the server has no UIDL.
        size: bytes, as listed; None if the server reported no valid size.
    """

    number: int
    unique_id: bytes | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The content of the maildrop.

    Attributes:
        rows: those on which STAT, LIST and UIDL agree, by number.
        unique_ids: False if the server has no UIDL; then no row has a unique-id.
        left_out: rows in only one of the answers, or invalid; they are never fetched.
    """

    rows: list[Listed]
    unique_ids: bool = True
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """The server's certificate, and the rules that it announces.

    Attributes:
        certificate_not_after: when its certificate expires (seconds since 1970); None without TLS.
        login_delay: minimum seconds between two logins (RFC 2449 section 6.5); 0 if none is announced.
        expires_after: seconds after which the server deletes mail (RFC 2449 section 6.7, EXPIRE, in whole days; 0:
            once it was fetched); None for NEVER, or if none is announced.
    """

    certificate_not_after: float | None = None
    login_delay: float = 0.0
    expires_after: float | None = None


# Difference between listed and real size that may be an estimate's error in a small message.
_ESTIMATE_BYTES = 512


@dataclass(frozen=True, slots=True)
class Fetched(Generic[SpoolT]):
    """One complete message.

    A message for which `in_step` is False or `short` is True may have been cut: a server that does not double the
    leading dots of lines ends a message for us at a line that is a lone dot. It is not to be deleted on the server.

    Attributes:
        size: how many unstuffed bytes were written to `spool`.
        in_step: False if something that is no answer followed the message.
    """

    listed: Listed
    spool: SpoolT
    size: int
    in_step: bool = True

    @property
    def may_be_cut(self) -> bool:
        """Whether the message may be incomplete, although the server ended it."""
        return not self.in_step or self.short

    @property
    def short(self) -> bool:
        """Whether far fewer bytes came than LIST promised. Listed sizes are often estimates, seldom off by half."""
        listed = self.listed.size or 0
        return self.size < listed / 2 and listed - self.size > _ESTIMATE_BYTES


@dataclass(frozen=True, slots=True)
class NotFetched:
    """The server answered -ERR for this message; the session continues.

    Attributes:
        reason: a word that is fit for logs.
        words: the server's own, for people only.
    """

    listed: Listed
    reason: str
    words: str = ""


class Maildrop(Protocol):
    """A session in the TRANSACTION state.

    Every method raises a subclass of `MaildropError`; after that, only `close` may be called. If the session failed
    while the answer for a message was due, the error's `during` is that message.
    Leaving a session without `quit` never deletes anything (RFC 1939, section 6).

    Attributes:
        terms: the server's rules; complete once `listing` has returned.
    """

    terms: Terms

    def listing(self) -> Listing:
        """Combine the answers to STAT, UIDL and LIST into the rows on which they agree.

        Raises:
            MaildropProtocolError: there are more rows than the mailbox's limit, or the answers are invalid.
            MaildropRefusedError: the server refuses LIST.
        """
        ...

    def fetch(
        self, wanted: Sequence[Listed], spool: Callable[[Listed], SpoolT]
    ) -> Generator[Fetched[SpoolT] | NotFetched, None, None]:
        """RETR each, in the order given, reading at most a bounded window ahead of the caller.

        `spool` creates an empty spool for one message; whoever receives it in `Fetched` closes it. An incomplete
        message is never yielded, and its spool is closed. Memory does not grow with the size of a message. If the
        generator is closed early, answers may be outstanding, so only `close` may follow.

        Raises:
            MessageTooLargeError: the message `listed` exceeds the mailbox's limit.
            MaildropConnectError: the connection ended inside a message.
            MaildropOutOfStepError: what followed the message `row` is no answer, so that message may have been cut
                although it was yielded with `in_step`.
        """
        ...

    def top(self, listed: Listed) -> bytes:
        """The header of a message (TOP n 0), unstuffed; empty if the server refuses TOP."""
        ...

    def tops(self, wanted: Sequence[Listed]) -> Iterator[bytes]:
        """Yield what `top` returns for each message, in the order given.

        Answers may be outstanding until the last one was taken.
        """
        return map(self.top, wanted)

    def delete(self, listed: Sequence[Listed]) -> list[Listed]:
        """DELE each; return those that the server accepted. They are deleted only by `quit`."""
        ...

    def quit(self, *, wait: bool = False) -> bool:
        """Send QUIT, which commits deletions, then close; return False if the answer was lost or not +OK.

        If no message was marked for deletion, the answer does not matter. It is awaited only with `wait`: for when
        another session of the same maildrop is to follow, which this one must not lock out.
        """
        ...

    def close(self) -> None:
        """Close the connection without QUIT, so that nothing is deleted. May be called at any time, and again."""
        ...


class MaildropFactory(Protocol):
    """Opens sessions; one factory per process, which shares what is expensive, such as the TLS context."""

    def __call__(
        self,
        mailbox: Mailbox,
        credentials: Credentials,
        observe: Callable[[str, float], None],
        acquire_slot: Callable[[str], None],
    ) -> Maildrop:
        """Connect, establish TLS, and log in.

        Args:
            mailbox: the server, with its deadlines and limits.
            credentials: renewed once if the server refuses them and they are renewable.
            observe: called with the name and the seconds of each phase that ended.
            acquire_slot: called with a network address (that of the proxy, if there is one) before it is dialled;
                raises `MaildropDeferredError` if there are too many connections to it.

        Raises:
            MaildropDeferredError: from `acquire_slot`.
            MaildropConnectError: unknown host, connection refused, unreachable, or closed.
            MaildropTimeoutError: a phase exceeded its deadline.
            MaildropTlsError: there is no trusted TLS; no credentials were sent.
            MaildropAuthError: the credentials were refused.
            MaildropInUseError: another session holds the maildrop.
            MaildropThrottledError, MaildropTemporaryError: the server asks to try again later.
            MaildropRefusedError: the server refuses permanently.
            MaildropProtocolError: the answers are not POP3.
            TokenUnavailableError: no access token could be obtained (from `credentials.renew`).
        """
        ...
