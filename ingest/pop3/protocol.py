"""The protocol core: commands become bytes, bytes become events. No I/O and no clock.

Pass everything that arrives to `receive`, in any pieces, and call `next_event` until it returns None. A command
enters a queue when it is sent and leaves it with its answer, so any number may be outstanding.
"""

from __future__ import annotations

import base64
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from ingest.errors import (
    MaildropConnectError,
    MaildropOutOfStepError,
    MaildropProtocolError,
    MaildropTlsError,
)
from ingest.pop3.events import Challenge, Data, End, Event, Farewell, Greeting, Reply, Rows, parse_status, shown
from ingest.pop3.framing import DotFraming, RowSplitter
from ingest.pop3.states import ALONE, FINAL, TRANSITIONS, State, Verb, after

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ingest.pop3.commands import Command

_LOOK_AHEAD = 64
_ANSWERS = (b"+OK", b"-ERR")
# Where lines between answers are not skipped.
_NOTHING_SKIPPED = FINAL | {State.GREETING, State.SECURING}
_ENDS = {unstuffed: End(unstuffed) for unstuffed in (False, True)}
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")  # alert and handshake, TLS 1.x


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Limits on what a server may send. The lines and the length of a message are not limited here."""

    status_bytes: int = 4096  # RFC 2449 allows 512; servers quote web addresses and whole policies
    row_bytes: int = 512  # RFC 2449's limit; holds the unique-ids of 255 bytes that qmail makes
    capability_rows: int = 256  # Dovecot sends a dozen
    listing_rows: int = 100_000
    stray_lines: int = 16  # blank lines, and further lines of an -ERR, between two answers


class Pop3Protocol:
    """The client's side of one session.

    Attributes:
        state: as confirmed by the server's answers.
    """

    def __init__(self, limits: WireLimits | None = None) -> None:
        self.state = State.GREETING
        self._ahead = State.GREETING
        self._limits = limits or WireLimits()
        self._outstanding: deque[Command] = deque()
        self._buffer = b""
        self._at = 0
        self._framing: DotFraming | None = None
        self._rows: RowSplitter | None = None
        self._challenged = False
        self._refused = False
        self._strays = 0

    @property
    def in_step(self) -> bool:
        """Whether what has arrived behind the last answer may be another answer; True if nothing has.

        After a message this tells a server that does not double leading dots: the rest of its message follows.
        """
        if self._outstanding and self._buffer.startswith(_ANSWERS, self._at):
            return True
        begin = self._buffer[self._at : self._at + _LOOK_AHEAD].lstrip(b"\r\n")
        expected = _ANSWERS if self._outstanding else (b"-ERR",)
        return any(answer.startswith(begin[: len(answer)]) for answer in expected)

    @property
    def outstanding(self) -> int:
        """Number of commands whose answer is not complete."""
        return len(self._outstanding) + (self._framing is not None)

    @property
    def begun(self) -> bool:
        """Whether bytes have arrived that do not yet form an event."""
        return self._at != len(self._buffer)

    def send(self, command: Command) -> bytes:
        """Register a command as outstanding and return the bytes to write.

        Raises:
            RuntimeError: the command is not allowed in this state; a bug in the caller.
        """
        if (self._ahead, command.verb) not in TRANSITIONS:
            raise RuntimeError(f"{command.verb} is not allowed in the state {self._ahead}")
        if self._outstanding and self._outstanding[-1].verb in ALONE:
            raise RuntimeError(f"nothing may be sent behind {self._outstanding[-1].verb}")
        self._ahead = after(self._ahead, command.verb, ok=True)
        self._outstanding.append(command)
        return command.encode()

    def respond(self, response: bytes) -> bytes:
        """Return the bytes to write in answer to a challenge.

        Raises:
            RuntimeError: there is no challenge to answer; a bug in the caller.
        """
        if not self._challenged:
            raise RuntimeError("there is no challenge to respond to")
        self._challenged = False
        return base64.b64encode(response) + b"\r\n"

    def receive(self, data: Buffer) -> None:
        """Append received bytes to the buffer; they are copied."""
        rest = self._buffer[self._at :]
        self._buffer, self._at = b"".join((rest, data)), 0

    def next_event(self) -> Event | None:
        """Return the next event, or None until more bytes arrive.

        Raises:
            MaildropProtocolError: the server broke the protocol or exceeded a limit; close the connection.
            MaildropTlsError: the greeting is a TLS record.
        """
        if self._framing is not None:
            return self._next_of_answer(self._framing)
        self._skip_stray_lines()
        if self.state is State.SECURING or self.state in FINAL or self._at == len(self._buffer):
            return None
        if not self._outstanding and self.state is not State.GREETING:
            return self._unsolicited()
        if self.state is State.GREETING and self._buffer.startswith(_TLS_RECORDS, self._at):
            raise MaildropTlsError("The server expects TLS from the start on this port: set `tls: implicit`.")
        line = self._line()
        return None if line is None else self._status(line)

    def begin_tls(self) -> None:
        """Continue as after a greeting. To be called after +OK to STLS and before the handshake.

        Raises:
            MaildropTlsError: plain text followed the answer. An attacker on the line may have injected it, to be read
                as if it had come over TLS (RFC 2595 section 4, CVE-2011-0411).
        """
        if self.state is not State.SECURING:
            raise RuntimeError(f"TLS cannot begin in the state {self.state}")
        if self._at != len(self._buffer):
            raise MaildropTlsError("Plain text followed the answer to STLS: someone may be tampering with the line.")
        self.state = self._ahead = State.AUTHORIZATION

    def end_of_stream(self) -> NoReturn:
        """Handle the end of the stream: the server has closed its side.

        Raises:
            MaildropConnectError: always, because it is the client that ends a session.
        """
        if self._framing is not None:
            raise MaildropConnectError("The server closed the connection in the middle of an answer.")
        if self.state is State.GREETING:
            raise MaildropConnectError("The server closed the connection before it greeted.")
        raise MaildropConnectError("The server closed the connection.")

    def _fits(self) -> bool:
        return len(self._buffer) - self._at <= self._limits.status_bytes

    def _skip_stray_lines(self) -> None:
        """Skip blank lines between answers (Exchange Online), and further lines of a refusal.

        Neither can be mistaken for an answer. The lines are limited, and complete lines only are skipped.
        """
        if self.state in _NOTHING_SKIPPED:
            return
        while (end := self._buffer.find(b"\r\n", self._at)) >= 0:
            line = self._buffer[self._at : end]
            if line and (
                not self._refused or line.startswith((b"+", b"-ERR")) or len(line) > self._limits.status_bytes
            ):
                return
            self._strays += 1
            if self._strays > self._limits.stray_lines:
                raise MaildropOutOfStepError("The server sent too many lines that answer no command.")
            self._at = end + len(b"\r\n")

    def _line(self) -> bytes | None:
        """Consume the next status line, but not its CRLF, which begins a multi-line answer."""
        end = self._buffer.find(b"\n", self._at)
        length = (len(self._buffer) if end < 0 else end) - self._at - len(b"\r")
        if length > self._limits.status_bytes:
            raise MaildropProtocolError(f"The server sent a status line of over {self._limits.status_bytes} bytes.")
        if end < 0:
            return None
        if length < 0 or self._buffer[end - 1] != ord("\r"):
            raise MaildropProtocolError("The server ends its lines with LF alone; POP3 requires CRLF.")
        line = self._buffer[self._at : end - 1]
        self._at = end - 1
        return line

    def _status(self, line: bytes) -> Event:
        if self.state is State.GREETING:
            return self._greeting(line)
        if self._outstanding[0].verb is Verb.AUTH and (line == b"+" or line.startswith(b"+ ")):
            return self._challenge(line)
        self._challenged = False
        status = parse_status(line)
        self._refused, self._strays = not status.ok, 0
        command = self._outstanding.popleft()
        self.state = after(self.state, command.verb, ok=status.ok)
        if not self._outstanding:
            self._ahead = self.state
        if status.ok and (command.body or command.listing):
            self._framing = DotFraming()
            self._rows = self._splitter(command) if command.listing else None
        else:
            self._at += len(b"\r\n")
        return Reply(command, status)

    def _greeting(self, line: bytes) -> Greeting:
        status = parse_status(line)
        self._at += len(b"\r\n")
        self.state = self._ahead = State.AUTHORIZATION if status.ok else State.CLOSED
        return Greeting(status)

    def _challenge(self, line: bytes) -> Challenge:
        """Parse a challenge; a lone `+` is an empty one, because some servers omit the blank."""
        if self._challenged:
            raise MaildropProtocolError("The server sent a second challenge before the first was answered.")
        self._challenged = True
        self._at += len(b"\r\n")
        return Challenge(line[len(b"+ ") :])

    def _splitter(self, command: Command) -> RowSplitter:
        capabilities = command.verb is Verb.CAPA
        rows = self._limits.capability_rows if capabilities else self._limits.listing_rows
        return RowSplitter(rows, self._limits.row_bytes)

    def _next_of_answer(self, framing: DotFraming) -> Event | None:
        while not framing.ended and self._at < len(self._buffer):
            data, self._at = framing.take(self._buffer, self._at)
            if not data:
                break
            if self._rows is None:
                return Data(data)
            if rows := self._rows.feed(data):
                return Rows(rows)
        if not framing.ended:
            return None
        self._framing = self._rows = None
        return _ENDS[framing.unstuffed]

    def _unsolicited(self) -> Event | None:
        """Read a farewell: -ERR may come at any time before a server closes. Anything else is out of step."""
        begin = self._buffer[self._at : self._at + len(b"-ERR")]
        if begin == b"\r" or (self._refused and b"\r\n" not in self._buffer[self._at :] and self._fits()):
            return None  # the rest of a stray line is yet to come
        if not b"-ERR".startswith(begin):
            raise MaildropOutOfStepError(f"The server sent an answer to no command: {shown(begin)!r}")
        line = self._line()
        if line is None:
            return None
        self.state = self._ahead = State.CLOSED
        return Farewell(parse_status(line))
