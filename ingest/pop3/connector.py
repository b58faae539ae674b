"""Opening a session: connect, protect, log in. `Pop3Connector` is the `MaildropFactory` of `ingest.ports`."""

from __future__ import annotations

import ssl
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ingest.domain.mailbox import Tls
from ingest.errors import MaildropTlsError
from ingest.pop3 import commands, refusals
from ingest.pop3.connection import Connection
from ingest.pop3.deadlines import Deadline
from ingest.pop3.dial import dial
from ingest.pop3.dialogue import Dialogue
from ingest.pop3.listing import capabilities
from ingest.pop3.protocol import Pop3Protocol, WireLimits
from ingest.pop3.session import Pop3Session
from ingest.pop3.tls import Contexts, check_certificate, translated
from ingest.ports.maildrop import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.pop3.commands import Command


class Pop3Connector:
    """Opens sessions. One for a whole process: it keeps the TLS contexts. May be used by several threads.

    Args:
        clock: monotonic, in seconds; every deadline is counted on it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._contexts = Contexts()

    def __call__(
        self,
        mailbox: Mailbox,
        credentials: Credentials,
        observe: Callable[[str, float], None],
        admit: Callable[[str], None],
    ) -> Pop3Session:
        """Connect, protect, log in; see `ingest.ports.maildrop.MaildropFactory`."""
        user, password = commands.login(credentials)
        seconds = mailbox.deadlines.poll
        end = Deadline(self._clock() + seconds, f"The poll as a whole took longer than {seconds:g} s.")
        opening = _Opening(mailbox, observe, admit, self._clock, self._contexts, end)
        with ExitStack() as stack:
            stack.callback(opening.connect().close)
            not_after = opening.protect()
            pipelining = opening.log_in(user, password)
            stack.pop_all()
        return Pop3Session(
            opening.dialogue,
            mailbox.limits,
            pipelining=pipelining,
            terms=Terms(certificate_not_after=not_after),
            observe=observe,
            clock=self._clock,
        )


class _Opening:
    """The steps of one opening, in the order of life."""

    dialogue: Dialogue
    _connection: Connection

    def __init__(
        self,
        mailbox: Mailbox,
        observe: Callable[[str, float], None],
        admit: Callable[[str], None],
        clock: Callable[[], float],
        contexts: Contexts,
        end: Deadline,
    ) -> None:
        self._mailbox = mailbox
        self._server = mailbox.server
        self._observe = observe
        self._admit = admit
        self._clock = clock
        self._contexts = contexts
        self._end = end

    def connect(self) -> Connection:
        """TCP. The caller closes the connection if anything fails from here on."""
        seconds = self._mailbox.deadlines.connect
        words = (
            f"{self._server.label} did not take the connection within {seconds:g} s: check `host`, `port`, firewall."
        )
        with self._timed("connect"):
            sock = dial(self._server, self._admit, self._clock, self._within(seconds, words))
        self._connection = Connection(sock, self._clock)
        protocol = Pop3Protocol(WireLimits(listing_rows=self._mailbox.limits.listed_messages))
        self.dialogue = Dialogue(self._connection, protocol, self._mailbox.deadlines, self._clock, self._end)
        return self._connection

    def protect(self) -> float | None:
        """TLS as configured; returns when the server's certificate ends."""
        if self._server.tls is Tls.NONE:
            return None
        with self._timed("tls"):
            if self._server.tls is Tls.STARTTLS:
                self._start_tls()
            return self._handshake()

    def log_in(self, user: Command, password: Command) -> bool:
        """USER and PASS; returns whether the server announces PIPELINING."""
        with self._timed("auth"):
            if self._server.tls is not Tls.STARTTLS:
                self._greeting()
            # After STLS the first answer to CAPA no longer counts (RFC 2595 section 4).
            announced = self._capabilities()
            for command in (user, password):
                reply = self.dialogue.ask(command)
                if not reply.ok:
                    raise refusals.at_login(reply.status)
        return "PIPELINING" in announced

    def _greeting(self) -> None:
        status = self.dialogue.greeting()
        if not status.ok:
            raise refusals.in_session(status, "the connection")

    def _capabilities(self) -> frozenset[str]:
        """CAPA is optional: a server that refuses it announces nothing."""
        return capabilities(self.dialogue.rows()) if self.dialogue.ask(commands.CAPA).ok else frozenset()

    def _start_tls(self) -> None:
        self._greeting()
        if "STLS" not in self._capabilities():
            raise MaildropTlsError(
                f"{self._server.label} does not offer STARTTLS; nothing secret was sent. "
                "Use its port for TLS from the start (mostly 995) with `tls: implicit`."
            )
        reply = self.dialogue.ask(commands.STLS)
        if not reply.ok:
            raise MaildropTlsError(f"{self._server.label} refused STARTTLS: {reply.status.text}")
        self.dialogue.begin_tls()

    def _handshake(self) -> float | None:
        seconds = self._mailbox.deadlines.tls
        words = f"The TLS handshake took longer than {seconds:g} s: is TLS spoken on this port?"
        context = self._contexts.context(self._server)
        try:
            sock = self._connection.secure(context, self._server.host, self._within(seconds, words))
        except ssl.SSLError as error:
            raise translated(error, self._server) from error
        return check_certificate(sock, self._server)

    def _within(self, seconds: float, words: str) -> Deadline:
        return Deadline(self._clock() + seconds, words).or_sooner(self._end)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Tell the observer of a phase that went well."""
        began = self._clock()
        yield
        self._observe(phase, self._clock() - began)
