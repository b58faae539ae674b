"""Runs the protocol core on a connection: sends commands and reads answers, each within its deadline."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ingest.errors import MaildropConnectError, MaildropTimeoutError, PipeliningStalledError
from ingest.pop3 import commands
from ingest.pop3.deadlines import Deadline, Pace
from ingest.pop3.events import Challenge, Data, End, Farewell, Greeting, Reply, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.domain.mailbox import Deadlines
    from ingest.pop3.commands import Command
    from ingest.pop3.connection import Connection
    from ingest.pop3.events import Event
    from ingest.pop3.protocol import Pop3Protocol

# A server that has answered this many pipelined commands does support pipelining; if it falls silent now, the
# connection is dead.
_PROVEN = 100
# How long a server may take to greet before it is asked whether it expects TLS from the start.
_SILENT_SECONDS = 5.0
# How long a server may take to close a connection after it has answered QUIT.
_CLOSING_SECONDS = 1.0


class Dialogue:
    """The command/response exchange of one session. After an error only `close` may be called.

    Args:
        connection: an open connection.
        protocol: a new protocol core.
        deadlines: the mailbox's deadlines.
        clock: monotonic, in seconds; the same as the connection's.
        pace: the minimum rate of answers.
        end: the deadline of the whole session.
        stalled: called when the server does not get along with pipelined commands, before the error is raised.
    """

    def __init__(
        self,
        connection: Connection,
        protocol: Pop3Protocol,
        deadlines: Deadlines,
        clock: Callable[[], float],
        *,
        pace: Pace,
        end: Deadline,
        stalled: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._protocol = protocol
        self._deadlines = deadlines
        self._clock = clock
        self._pace = pace
        self._end = end
        self._stalled = stalled
        self._answered = 0  # commands, since nothing was outstanding

    @property
    def idle(self) -> bool:
        """Whether every answer has been read to its end."""
        return not self._protocol.outstanding

    @property
    def in_step(self) -> bool:
        """Whether nothing but answers has arrived; see `Pop3Protocol.in_step`."""
        if self.idle:
            self._protocol.receive(self._connection.arrived())
        return self._protocol.in_step

    def greeting(self, silent: Callable[[], None] = lambda: None) -> Greeting:
        """Return the server's greeting.

        `silent` is called once if the server has sent nothing within a few seconds; its error ends the wait.
        """
        words = (
            "The server did not greet within {:g} s. "
            "If this is a port for TLS from the start (mostly 995), set `tls: implicit`."
        )
        first = min(_SILENT_SECONDS, self._deadlines.reply)
        try:
            event = self._event(first, words.replace("{:g}", f"{self._deadlines.reply:g}"))
        except MaildropTimeoutError:
            if first == self._deadlines.reply or self._clock() >= self._end.at:
                raise
            if not self._protocol.begun:
                silent()
            event = self._event(self._deadlines.reply - first, words.replace("{:g}", f"{self._deadlines.reply:g}"))
        assert isinstance(event, Greeting)
        return event

    def send(self, *batch: Command) -> None:
        """Send commands in one go, without waiting for their answers.

        Raises:
            MaildropConnectError: the server has ended the session meanwhile; its -ERR is not read as an answer.
        """
        if self.idle:
            self._answered = 0
            self._protocol.receive(self._connection.arrived())
            self._heard(self._protocol.next_event())
        self._connection.send(b"".join([self._protocol.send(command) for command in batch]))

    def respond(self, response: bytes) -> None:
        """Send the response to a challenge."""
        self._connection.send(self._protocol.respond(response))

    def reply(self) -> Reply:
        """Return the status line that answers the oldest outstanding command.

        Raises:
            MaildropTimeoutError: it was not complete in time.
            PipeliningStalledError: not even its beginning arrived in time, and the command was pipelined.
        """
        event = self._answer()
        assert isinstance(event, Reply)
        return event

    def verdict(self) -> Reply | Challenge:
        """Return the server's answer to AUTH, or to the response to a challenge."""
        event = self._answer()
        assert isinstance(event, (Reply, Challenge))
        return event

    def body(self) -> Iterator[bytes]:
        """Yield the bytes of the message that the last reply announced."""
        while not isinstance(event := self._protocol.next_event() or self._more(), End):
            assert isinstance(event, Data)
            yield event.data

    def rows(self) -> list[bytes]:
        """Return the rows of the listing that the last reply announced."""
        rows: list[bytes] = []
        while not isinstance(event := self._protocol.next_event() or self._more(), End):
            assert isinstance(event, Rows)
            rows += event.rows
        return rows

    def ask(self, command: Command) -> Reply:
        """Send one command and wait for its status line."""
        self.send(command)
        return self.reply()

    def begin_tls(self) -> None:
        """Continue after +OK to STLS; see `Pop3Protocol.begin_tls`."""
        self._protocol.begin_tls()

    def quit(self) -> bool:
        """Send QUIT and return whether the server answered +OK."""
        self.send(commands.QUIT)
        event = self._event(self._deadlines.quit, "The server did not answer QUIT within {:g} s.")
        assert isinstance(event, Reply)
        return event.ok

    def wait_until_closed(self) -> None:
        """Wait after QUIT until the server has closed too: only then has it released the maildrop.

        A server that stays silent is not waited for any longer than a second; what it sends meanwhile is ignored.
        """
        deadline = Deadline(self._clock() + min(_CLOSING_SECONDS, self._deadlines.quit), "")
        with suppress(MaildropConnectError, MaildropTimeoutError):
            while self._connection.receive(deadline):
                pass

    def leave(self) -> None:
        """Send QUIT and close without waiting for the answer, for a session that marked nothing.

        Everything that arrived has been read, so closing sends FIN behind QUIT, not a reset, and the server reads
        both. Its +OK is lost, but QUIT has taken effect by then.
        """
        self.send(commands.QUIT)
        self.close()

    def close(self) -> None:
        """Close the connection without QUIT."""
        self._connection.close()

    def no_pipelining(self, reason: str) -> PipeliningStalledError:
        """Return the error that ends this session, and remember that the server is to get one command at a time."""
        self._stalled()
        return PipeliningStalledError(f"{reason} From now on it gets one command at a time.")

    def _answer(self) -> Event:
        try:
            event = self._event(self._deadlines.reply, "The server did not answer within {:g} s.")
        except MaildropTimeoutError as error:
            if not 0 < self._answered < _PROVEN or self._protocol.begun or self._clock() >= self._end.at:
                raise
            raise self.no_pipelining(
                "The server announces PIPELINING, but fell silent when commands were pipelined."
            ) from error
        self._answered += isinstance(event, Reply)
        return event

    def _more(self) -> Event:
        """Wait for the next event of an answer, of which nothing has arrived that was not handled."""
        return self._event(self._deadlines.idle, "The server fell silent for {:g} s inside an answer.", self._pace)

    def _event(self, seconds: float, words: str, pace: Pace | None = None) -> Event:
        """Return the next event, within some seconds and before the end of the whole session.

        Args:
            seconds: counted from when the wait begins.
            words: the error's text, with a placeholder for the seconds.
            pace: the minimum rate of bytes meanwhile.
        """
        event = self._protocol.next_event()
        if event is None:
            deadline = Deadline(self._clock() + seconds, words.format(seconds)).or_sooner(self._end)
            event = self._awaited(deadline, pace)
        if isinstance(event, Farewell):
            self._heard(event)
        return event

    def _awaited(self, deadline: Deadline, pace: Pace | None) -> Event:
        while True:
            began = self._clock()
            data = self._connection.receive(deadline)
            if not data:
                self._protocol.end_of_stream()
            if pace is not None and not pace.waited(self._clock() - began, len(data)):
                raise MaildropTimeoutError(
                    f"The server sends less than {pace.rate:g} bytes a second. "
                    "If the network really is that slow, lower `limits.minimum_rate`."
                )
            self._protocol.receive(data)
            event = self._protocol.next_event()
            if event is not None:
                return event

    def _heard(self, event: Event | None) -> None:
        if isinstance(event, Farewell):
            raise MaildropConnectError(f"The server ended the session: {event.status.text}")
