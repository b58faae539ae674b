"""The protocol core put on a connection: commands out, answers in, each within its deadline."""

from __future__ import annotations

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

# A server that has answered as many commands that were sent ahead is one that can; if it falls silent now, the
# connection has died.
_PROVEN = 100


class Dialogue:
    """One session's talk. After an error only `close` may be called.

    Args:
        connection: open.
        protocol: new.
        deadlines: the mailbox's.
        clock: monotonic, in seconds; the connection's.
        pace: at which bytes of answers have to come.
        end: when the whole session must be over.
        stalled: told when the server falls silent though commands were sent ahead, before the error is raised.
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

    def greeting(self) -> Greeting:
        """What the server says first."""
        words = (
            "The server did not greet within {:g} s. "
            "If this is a port for TLS from the start (mostly 995), set `tls: implicit`."
        )
        event = self._event(self._deadlines.reply, words)
        assert isinstance(event, Greeting)
        return event

    def send(self, *batch: Command) -> None:
        """Send commands in one go, without waiting for their answers.

        Raises:
            MaildropConnectError: the server has ended the session meanwhile; its -ERR is not taken for an answer.
        """
        if self.idle:
            self._answered = 0
            self._protocol.receive(self._connection.arrived())
            self._heard(self._protocol.next_event())
        self._connection.send(b"".join([self._protocol.send(command) for command in batch]))

    def respond(self, response: bytes) -> None:
        """Answer a challenge."""
        self._connection.send(self._protocol.respond(response))

    def reply(self) -> Reply:
        """The status line that answers the oldest outstanding command.

        Raises:
            MaildropTimeoutError: it was not complete in time.
            PipeliningStalledError: nor was it begun, though the command was sent ahead because the server allows it.
        """
        event = self._answer()
        assert isinstance(event, Reply)
        return event

    def verdict(self) -> Reply | Challenge:
        """What the server says to AUTH, or to the response to a challenge."""
        event = self._answer()
        assert isinstance(event, (Reply, Challenge))
        return event

    def body(self) -> Iterator[bytes]:
        """The bytes of the message that the last reply announced."""
        while not isinstance(event := self._more(), End):
            assert isinstance(event, Data)
            yield event.data

    def rows(self) -> list[bytes]:
        """The rows of the listing that the last reply announced."""
        rows: list[bytes] = []
        while not isinstance(event := self._more(), End):
            assert isinstance(event, Rows)
            rows += event.rows
        return rows

    def ask(self, command: Command) -> Reply:
        """Send one command and wait for its status line."""
        self.send(command)
        return self.reply()

    def begin_tls(self) -> None:
        """STLS was accepted; see `Pop3Protocol.begin_tls`."""
        self._protocol.begin_tls()

    def quit(self) -> bool:
        """QUIT; whether the server said +OK."""
        self.send(commands.QUIT)
        event = self._event(self._deadlines.quit, "The server did not answer QUIT within {:g} s.")
        assert isinstance(event, Reply)
        return event.ok

    def leave(self) -> None:
        """QUIT, for a session whose end decides nothing: what the server says to it is not waited for.

        Nothing that has arrived is unread, so closing sends the end of the stream behind QUIT, not a reset, and the
        server reads both. Its +OK meets a closed door, when QUIT has done its work.
        """
        self.send(commands.QUIT)
        self.close()

    def close(self) -> None:
        """End the connection as it is."""
        self._connection.close()

    def _answer(self) -> Event:
        try:
            event = self._event(self._deadlines.reply, "The server did not answer within {:g} s.")
        except MaildropTimeoutError as error:
            if not 0 < self._answered < _PROVEN or self._protocol.begun or self._clock() >= self._end.at:
                raise
            self._stalled()
            raise PipeliningStalledError(
                "The server announces PIPELINING, but fell silent when commands were sent ahead. "
                "From now on it gets one at a time."
            ) from error
        self._answered += isinstance(event, Reply)
        return event

    def _more(self) -> Event:
        return self._event(self._deadlines.idle, "The server fell silent for {:g} s inside an answer.", self._pace)

    def _event(self, seconds: float, words: str, pace: Pace | None = None) -> Event:
        """The next event, within so many seconds, but not after the end of the whole session.

        Args:
            seconds: from when there is need to wait.
            words: with a place for the seconds.
            pace: at which bytes have to come meanwhile.
        """
        event = self._protocol.next_event()
        if event is None:
            deadline = Deadline(self._clock() + seconds, words.format(seconds)).or_sooner(self._end)
            event = self._awaited(deadline, pace)
        if isinstance(event, Farewell):
            self._heard(event)
        return event

    def _awaited(self, deadline: Deadline, pace: Pace | None) -> Event:
        while (event := self._protocol.next_event()) is None:
            began = self._clock()
            data = self._connection.receive(deadline)
            if not data:
                self._protocol.end_of_stream()
            if pace is not None and not pace.waited(self._clock() - began, len(data)):
                raise MaildropTimeoutError(
                    f"The server sends less than {pace.rate:g} bytes a second: is the line that bad? "
                    "`limits.minimum_rate` says how little is enough."
                )
            self._protocol.receive(data)
        return event

    def _heard(self, event: Event | None) -> None:
        if isinstance(event, Farewell):
            raise MaildropConnectError(f"The server ended the session: {event.status.text}")
