"""The steps of opening one session, in order: connect, start TLS, log in."""

from __future__ import annotations

import ssl
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain.mailbox import Tls
from ingest.errors import MaildropError, MaildropTlsError
from ingest.pop3 import capabilities, commands, refusals
from ingest.pop3.authentication import require_offered
from ingest.pop3.connection import Connection
from ingest.pop3.deadlines import Deadline, Pace
from ingest.pop3.dial import dial
from ingest.pop3.dialogue import Dialogue
from ingest.pop3.events import Reply
from ingest.pop3.protocol import Pop3Protocol, WireLimits
from ingest.pop3.tls_errors import is_no_tls, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.domain.mailbox import Credentials, Mailbox
    from ingest.pop3.authentication import Authentication
    from ingest.pop3.capabilities import Capabilities
    from ingest.pop3.hosts import HostMemory
    from ingest.pop3.tls import Contexts

# The commands pipelined behind a login. CAPA is always among them: it costs no extra round trip, LOGIN-DELAY and
# EXPIRE may change with the login (RFC 2449 section 5), and the remembered PIPELINING is corrected.
_FOLLOWING = (commands.CAPA, *commands.LISTING)
# Seconds for each of connecting and handshake, to find out whether a silent server expects TLS.
_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The result of a login.

    Attributes:
        capabilities: those valid after the login.
        pipelining: whether several commands may be sent at once.
        listing: whether `commands.LISTING` has been sent, so that its answers come next.
    """

    capabilities: Capabilities
    pipelining: bool
    listing: bool


class Opening:
    """Opens one session.

    Args:
        mailbox: the mailbox whose server is dialled.
        credentials: for the server, and for its proxy.
        observe: called with each completed phase and its seconds.
        acquire_slot: called before an address is dialled.
        clock: monotonic, in seconds.
        contexts: TLS contexts.
        hosts: what is remembered about servers.
        end: the deadline of the whole session.
    """

    dialogue: Dialogue
    _connection: Connection

    def __init__(
        self,
        mailbox: Mailbox,
        credentials: Credentials,
        *,
        observe: Callable[[str, float], None],
        acquire_slot: Callable[[str], None],
        clock: Callable[[], float],
        contexts: Contexts,
        hosts: HostMemory,
        end: Deadline,
    ) -> None:
        self._mailbox = mailbox
        self._credentials = credentials
        self._server = mailbox.server
        self._observe = observe
        self._acquire_slot = acquire_slot
        self._clock = clock
        self._contexts = contexts
        self._hosts = hosts
        self._end = end
        self._known = hosts.capabilities(mailbox.server)
        self._timestamp: bytes | None = None

    def connect(self) -> Connection:
        """Connect over TCP. The caller closes the connection if a later step fails.

        Raises:
            MaildropTlsError: the CA file or the client certificate cannot be used; nobody was dialled.
        """
        if self._server.tls is not Tls.NONE:
            self._contexts.context(self._server, self._credentials.certificate)
        seconds = self._mailbox.deadlines.connect
        words = (
            f"{self._server.label} did not accept a connection within {seconds:g} s: check `host`, `port`, firewall."
        )
        with self._timed("connect"):
            sock = dial(
                self._server,
                self._credentials.proxy,
                resolver=self._hosts.resolver,
                acquire_slot=self._acquire_slot,
                clock=self._clock,
                deadline=self._within(seconds, words),
            )
        self._connection = Connection(sock, self._clock)
        protocol = Pop3Protocol(WireLimits(listing_rows=self._mailbox.limits.listed_messages))
        deadlines, hosts, server = self._mailbox.deadlines, self._hosts, self._server
        self.dialogue = Dialogue(
            self._connection,
            protocol,
            deadlines,
            self._clock,
            pace=Pace(self._mailbox.limits.minimum_rate, deadlines.idle),
            end=self._end,
            stalled=lambda: hosts.stalled(server),
        )
        return self._connection

    def protect(self) -> float | None:
        """Start TLS as configured; return the expiry time of the server's certificate (seconds since 1970)."""
        if self._server.tls is Tls.NONE:
            return None
        with self._timed("tls"):
            if self._server.tls is Tls.STARTTLS:
                self._start_tls()
            return self._handshake()

    def log_in(self, method: Authentication) -> LoggedIn:
        """Log in, pipelining the commands that follow as far as the server allows.

        With remembered capabilities, everything is sent in one flight after the greeting.
        """
        with self._timed("auth"):
            if self._server.tls is not Tls.STARTTLS:
                self._greeting()
            # Capabilities announced before STLS are void (RFC 2595 section 4).
            before = self._known or self._capabilities()
            require_offered(method.mechanism, before, self._server)
            ahead = self._ahead(before)
            self._authenticate(method, ahead=ahead)
            after = self._announced_now(before, ahead=ahead)
        if not after.pipelining:
            before = before.without_pipelining()
        if before != self._known:
            self._hosts.remember(self._server, before)
        return LoggedIn(after, pipelining=self._ahead(after), listing=ahead)

    def _greeting(self) -> None:
        plain = self._server.tls is not Tls.IMPLICIT
        greeting = self.dialogue.greeting(self._require_no_tls) if plain else self.dialogue.greeting()
        if not greeting.status.ok:
            raise refusals.command_refused(greeting.status, "the connection")
        self._timestamp = greeting.timestamp

    def _require_no_tls(self) -> None:
        """Raise `MaildropTlsError` if a server that does not greet speaks TLS from the start.

        It waits for us then, as we wait for it. It is asked on a connection of its own: a slow server may greet yet.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent over it
        try:
            sock = dial(
                self._server,
                self._credentials.proxy,
                resolver=self._hosts.resolver,
                acquire_slot=self._acquire_slot,
                clock=self._clock,
                deadline=self._within(_PROBE_SECONDS, ""),
            )
            with closing(Connection(sock, self._clock)) as connection:
                connection.secure(context, self._server.host, self._within(_PROBE_SECONDS, ""))
        except MaildropError:
            return
        except ssl.SSLError as error:
            if is_no_tls(error):
                return
        raise MaildropTlsError(f"{self._server.label} expects TLS from the start on this port: set `tls: implicit`.")

    def _capabilities(self) -> Capabilities:
        self.dialogue.send(commands.CAPA)
        return self._read_capabilities() or capabilities.UNKNOWN

    def _read_capabilities(self) -> Capabilities | None:
        """Return the capabilities, or None if the server refuses CAPA, which is optional."""
        return capabilities.read(self.dialogue.rows()) if self.dialogue.reply().ok else None

    def _ahead(self, announced: Capabilities) -> bool:
        return announced.pipelining and not self._hosts.in_lockstep(self._server)

    def _authenticate(self, method: Authentication, *, ahead: bool) -> None:
        """Send the login's commands, one by one or pipelined with what follows.

        Answers are read in order, so a refused login is reported as such, whatever the answers to the commands behind
        it. Nothing may be sent behind AUTH, because the server may answer with a challenge.
        """
        login = method.commands(self._timestamp)
        together = ahead and method.mechanism is None
        if together:
            self.dialogue.send(*login, *_FOLLOWING)
        for command in login:
            if not together:
                self.dialogue.send(command)
            while not isinstance(verdict := self.dialogue.verdict(), Reply):
                self.dialogue.respond(method.respond(verdict.data))
            if not verdict.ok:
                raise refusals.login_refused(verdict.status, self._credentials.mechanism)
        method.accepted()
        if ahead and not together:
            self.dialogue.send(*_FOLLOWING)

    def _announced_now(self, before: Capabilities, *, ahead: bool) -> Capabilities:
        """Return the capabilities after the login. Without pipelining they are requested once an hour only."""
        server, mailbox = self._server, self._mailbox.id
        if not ahead:
            if not before.announced:
                return before
            if (known := self._hosts.capabilities_for_mailbox(server, mailbox)) is not None:
                return known
            self.dialogue.send(commands.CAPA)
        after = self._read_capabilities() or before
        self._hosts.remember_for_mailbox(server, mailbox, after)
        return after

    def _start_tls(self) -> None:
        self._greeting()
        if self._known is None and "STLS" not in self._capabilities().names:
            raise MaildropTlsError(
                f"{self._server.label} does not offer STARTTLS; no credentials were sent. "
                "Use its port for implicit TLS (usually 995) with `tls: implicit`."
            )
        reply = self.dialogue.ask(commands.STLS)
        if not reply.ok:
            raise MaildropTlsError(f"{self._server.label} refused STARTTLS: {reply.status.text}")
        self.dialogue.begin_tls()

    def _handshake(self) -> float | None:
        seconds = self._mailbox.deadlines.tls
        words = f"The TLS handshake took longer than {seconds:g} s: check that this port uses TLS."
        certificate = self._credentials.certificate
        context, own = self._contexts.context(self._server, certificate), certificate is not None
        deadline = self._within(seconds, words)
        try:
            tls = self._connection.secure(context, self._server.host, deadline, with_certificate=own)
        except ssl.SSLError as error:
            chain = self._connection.peer_chain()
            raise translated(error, self._server, chain, with_certificate=own) from error
        return self._hosts.certificates.check(tls, self._server)

    def _within(self, seconds: float, words: str) -> Deadline:
        return Deadline(self._clock() + seconds, words).or_sooner(self._end)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Report a phase to the observer if it succeeds."""
        began = self._clock()
        yield
        self._observe(phase, self._clock() - began)
