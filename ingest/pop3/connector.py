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

# What may come of a memory that is wrong; refused credentials, or a request for patience, do not.
_DOUBTFUL = (
    MaildropConnectError,
    MaildropProtocolError,
    MaildropRefusedError,
    MaildropTimeoutError,
    MaildropTlsError,
)


class Pop3Connector:
    """Opens sessions. One for a whole process: it keeps TLS contexts, and what it learns about servers.

    May be used by several threads.

    Args:
        clock: monotonic, in seconds; every deadline is counted on it.
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
        """Connect, protect, log in; see `ingest.ports.maildrop.MaildropFactory`.

        Refused credentials are renewed once, where they can be, and tried on a new connection.
        """
        seconds = mailbox.deadlines.poll
        end = Deadline(self._clock() + seconds, f"The poll as a whole took longer than {seconds:g} s.")
        attempt = _Attempt(mailbox, observe, acquire_slot, self._clock, self._contexts, self._hosts, end)
        try:
            return attempt.keeping_up(credentials)
        except MaildropAuthError:
            renewed = credentials if credentials.renew is None else credentials.renew()
            if renewed == credentials:
                raise
        return attempt.keeping_up(renewed)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """All that a session is opened with but the credentials."""

    mailbox: Mailbox
    observe: Callable[[str, float], None]
    acquire_slot: Callable[[str], None]
    clock: Callable[[], float]
    contexts: Contexts
    hosts: HostMemory
    end: Deadline

    def keeping_up(self, credentials: Credentials) -> Pop3Session:
        """Open; a server that fell silent at commands sent ahead is remembered, and gets one at a time."""
        try:
            return self._opened(credentials)
        except PipeliningStalledError:
            return self._opened(credentials)

    def _opened(self, credentials: Credentials) -> Pop3Session:
        way = authentication(credentials, self.mailbox.server)
        opening = Opening(
            self.mailbox,
            credentials.proxy,
            observe=self.observe,
            acquire_slot=self.acquire_slot,
            clock=self.clock,
            contexts=self.contexts,
            hosts=self.hosts,
            end=self.end,
        )
        with ExitStack() as stack:
            stack.callback(opening.connect().close)
            try:
                not_after = opening.protect()
                login = opening.log_in(way, credentials)
            except _DOUBTFUL:
                self.hosts.forget(self.mailbox.server)
                raise
            stack.pop_all()
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
