"""The protocol core put on a connection: commands out, answers in, each within its deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.errors import MaildropConnectError
from ingest.pop3 import commands
from ingest.pop3.deadlines import Deadline
from ingest.pop3.events import Data, End, Farewell, Greeting, Reply, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.domain.mailbox import Deadlines
    from ingest.pop3.commands import Command
    from ingest.pop3.connection import Connection
    from ingest.pop3.events import Event, Status
    from ingest.pop3.protocol import Pop3Protocol


class Dialogue:
    """One session's talk. After an error only `close` may be called.

    Args:
        connection: open.
        protocol: new.
        deadlines: the mailbox's.
        clock: monotonic, in seconds; the connection's.
        end: when the whole session must be over.
    """

    def __init__(
        self,
        connection: Connection,
        protocol: Pop3Protocol,
        deadlines: Deadlines,
        clock: Callable[[], float],
        end: Deadline,
    ) -> None:
        self._connection = connection
        self._protocol = protocol
        self._deadlines = deadlines
        self._clock = clock
        self._end = end

    @property
    def idle(self) -> bool:
        """Whether every answer has been read to its end."""
        return not self._protocol.outstanding

    def deadline(self, seconds: float, words: str) -> Deadline:
        """So many seconds from now, but not after the end of the whole session."""
        return Deadline(self._clock() + seconds, words).or_sooner(self._end)

    def greeting(self) -> Status:
        """What the server says first."""
        seconds = self._deadlines.reply
        words = (
            f"The server did not greet within {seconds:g} s. "
            "If this is a port for TLS from the start (mostly 995), set `tls: implicit`."
        )
        event = self._event(self.deadline(seconds, words))
        assert isinstance(event, Greeting)
        return event.status

    def send(self, *batch: Command) -> None:
        """Send commands in one go, without waiting for their answers.

        Raises:
            MaildropConnectError: the server has ended the session meanwhile; its -ERR is not taken for an answer.
        """
        if self.idle:
            self._protocol.receive(self._connection.arrived())
            self._heard(self._protocol.next_event())
        if batch:
            self._connection.send(b"".join([self._protocol.send(command) for command in batch]))

    def reply(self) -> Reply:
        """The status line that answers the oldest outstanding command.

        Raises:
            MaildropTimeoutError: it was not complete in time.
        """
        seconds = self._deadlines.reply
        return self._reply(self.deadline(seconds, f"The server did not answer within {seconds:g} s."))

    def body(self) -> Iterator[bytes]:
        """The octets of the message that the last reply announced."""
        while not isinstance(event := self._more(), End):
            assert isinstance(event, Data)
            yield event.octets

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
        seconds = self._deadlines.quit
        self.send(commands.QUIT)
        return self._reply(self.deadline(seconds, f"The server did not answer QUIT within {seconds:g} s.")).ok

    def close(self) -> None:
        """End the connection as it is."""
        self._connection.close()

    def _reply(self, deadline: Deadline) -> Reply:
        event = self._event(deadline)
        assert isinstance(event, Reply)
        return event

    def _more(self) -> Event:
        seconds = self._deadlines.idle
        return self._event(self.deadline(seconds, f"The server fell silent for {seconds:g} s inside an answer."))

    def _event(self, deadline: Deadline) -> Event:
        while (event := self._protocol.next_event()) is None:
            data = self._connection.receive(deadline)
            if data:
                self._protocol.receive(data)
            else:
                self._protocol.end_of_stream()
        self._heard(event)
        return event

    def _heard(self, event: Event | None) -> None:
        if isinstance(event, Farewell):
            raise MaildropConnectError(f"The server ended the session: {event.status.text}")
