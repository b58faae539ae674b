"""`Pop3Connector` opens sessions; it is the `MaildropFactory` of `ingest.ports`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.errors import (
    MaildropAuthError,
    MaildropConnectError,
    MaildropProtocolError,
    MaildropRefusedError,
    MaildropTimeoutError,
    MaildropTlsError,
    PipeliningStalledError,
)
from ingest.pop3.authentication import authentication
from ingest.pop3.deadlines import Deadline
from ingest.pop3.hosts import HostMemory
from ingest.pop3.opening import Opening
from ingest.pop3.session import Pop3Session
from ingest.pop3.tls import Contexts
from ingest.ports.maildrop import Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.pop3.authentication import Authentication
    from ingest.pop3.opening import LoggedIn

# Errors that an outdated memory of the server may cause; refused credentials and throttling are not among them.
_DOUBTFUL = (
    MaildropConnectError,
    MaildropProtocolError,
    MaildropRefusedError,
    MaildropTimeoutError,
    MaildropTlsError,
)


class Pop3Connector:
    """Opens sessions. One per process: it keeps TLS contexts and what it learns about servers. Thread-safe.

    Args:
        clock: monotonic, in seconds; used for every deadline.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._contexts = Contexts()
        self._hosts = HostMemory(clock)

    def __call__(
        self,
        mailbox: Mailbox,
        credentials: Credentials,
        observe: Callable[[str, float], None],
        acquire_slot: Callable[[str], None],
    ) -> Pop3Session:
        """Connect, start TLS, log in; see `ingest.ports.maildrop.MaildropFactory`.

        Refused credentials are renewed once, if possible, and tried on a new connection.
        """
        seconds = mailbox.deadlines.poll
        end = Deadline(self._clock() + seconds, f"The poll as a whole took longer than {seconds:g} s.")
        attempt = _Attempt(mailbox, observe, acquire_slot, self._clock, self._contexts, self._hosts, end)
        try:
            return attempt.open_session(credentials)
        except MaildropAuthError:
            renewed = credentials if credentials.renew is None else credentials.renew()
            if renewed == credentials:
                raise
        return attempt.open_session(renewed)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Everything needed to open a session except the credentials."""

    mailbox: Mailbox
    observe: Callable[[str, float], None]
    acquire_slot: Callable[[str], None]
    clock: Callable[[], float]
    contexts: Contexts
    hosts: HostMemory
    end: Deadline

    def open_session(self, credentials: Credentials) -> Pop3Session:
        """Open a session; if the server stalls on pipelined commands, try again with one command at a time."""
        try:
            return self._opened(credentials)
        except PipeliningStalledError:
            return self._opened(credentials)

    def _opened(self, credentials: Credentials) -> Pop3Session:
        method = authentication(credentials, self.mailbox.server)
        opening = Opening(
            self.mailbox,
            credentials,
            observe=self.observe,
            acquire_slot=self.acquire_slot,
            clock=self.clock,
            contexts=self.contexts,
            hosts=self.hosts,
            end=self.end,
        )
        not_after, login = self._logged_in(opening, method)
        now = login.capabilities
        return Pop3Session(
            opening.dialogue,
            self.mailbox.limits,
            pipelining=login.pipelining,
            asked=login.listing,
            terms=Terms(not_after, now.login_delay, now.expires_after),
            observe=self.observe,
            clock=self.clock,
        )

    def _logged_in(self, opening: Opening, method: Authentication) -> tuple[float | None, LoggedIn]:
        """Connect and log in; return when the server's certificate expires (seconds since 1970), and the login."""
        with ExitStack() as stack:
            stack.callback(opening.connect().close)
            try:
                not_after = opening.protect()
                login = opening.log_in(method)
            except _DOUBTFUL:
                self.hosts.forget(self.mailbox.server)
                raise
            stack.pop_all()
        return not_after, login
