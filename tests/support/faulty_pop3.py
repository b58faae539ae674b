"""A POP3 server whose maildrops misbehave in the ways that tests ask for, with state that lasts over sessions."""

from __future__ import annotations

import itertools
import socketserver
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class FaultyDrop:
    """A maildrop.

    Attributes:
        messages: raw mail by unique-id, in order.
        numbered: UIDL returns message numbers.
        changing: UIDL returns other ids in each session.
        dots: doubles dots at the beginning of lines, as the protocol requires.
        keeps_deleted: confirms deletions, and keeps the messages.
        loses_quit: deletes at QUIT, and ends the connection without an answer.
        shown: ids that UIDL returns in place of the real ones.
        without_id: unique-ids of messages that UIDL leaves out.
        without_size: unique-ids of messages that LIST leaves out.
        sends_instead: unique-ids of messages that RETR sends in place of others, by unique-id; each once.
        shifts_tops: TOP answers with the header of the next message, behind the last one with that of the first.
        fetched: the unique-ids of messages that were fetched, in order.
        deleted: the messages that were deleted, in order.
    """

    messages: dict[bytes, bytes] = field(default_factory=dict)
    numbered: bool = False
    changing: bool = False
    dots: bool = True
    keeps_deleted: bool = False
    loses_quit: bool = False
    shown: dict[bytes, bytes] = field(default_factory=dict)
    without_id: set[bytes] = field(default_factory=set)
    without_size: set[bytes] = field(default_factory=set)
    sends_instead: dict[bytes, bytes] = field(default_factory=dict)
    shifts_tops: bool = False
    fetched: list[bytes] = field(default_factory=list)
    deleted: list[bytes] = field(default_factory=list)


class FaultyServer(socketserver.ThreadingTCPServer):
    """Serves `drops`, by user, with any password."""

    daemon_threads = True

    def __init__(self, drops: dict[str, FaultyDrop]) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.drops = drops
        self.sessions = itertools.count()

    @property
    def port(self) -> int:
        """The port to connect to."""
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    server: FaultyServer

    def handle(self) -> None:
        self._number = next(self.server.sessions)
        self._marked: set[int] = set()
        self.wfile.write(b"+OK\r\n")
        for line in self.rfile:
            verb, _, argument = line.strip().partition(b" ")
            answer = self._answer(verb.upper(), argument)
            if verb.upper() != b"QUIT":
                self.wfile.write(answer)
                continue
            if not self._drop.loses_quit:
                self.wfile.write(answer)
            return

    def _answer(self, verb: bytes, argument: bytes) -> bytes:
        answer = getattr(self, f"_{verb.decode().lower()}", None)
        if verb == b"STAT":
            return b"+OK %d %d\r\n" % (len(self._rows), sum(len(raw) for _, raw in self._rows))
        return b"+OK\r\n" + (answer(argument) if answer is not None else b"")

    def _capa(self, _: bytes) -> bytes:
        return b"USER\r\nUIDL\r\nTOP\r\n.\r\n"

    def _user(self, argument: bytes) -> bytes:
        self._drop = self.server.drops[argument.decode()]
        self._rows = list(self._drop.messages.items())
        return b""

    def _list(self, _: bytes) -> bytes:
        rows = {number: b"%d" % len(raw) for number, (_, raw) in enumerate(self._rows, 1)}
        return self._listing(rows, self._drop.without_size)

    def _uidl(self, _: bytes) -> bytes:
        rows = {number: self._shown(number) for number in range(1, len(self._rows) + 1)}
        return self._listing(rows, self._drop.without_id)

    def _listing(self, rows: dict[int, bytes], left_out: set[bytes]) -> bytes:
        listed = [b"%d %b\r\n" % row for row in rows.items() if self._rows[row[0] - 1][0] not in left_out]
        return b"".join(listed) + b".\r\n"

    def _retr(self, argument: bytes) -> bytes:
        unique_id, raw = self._rows[int(argument) - 1]
        self._drop.fetched.append(unique_id)
        instead = self._drop.sends_instead.pop(unique_id, unique_id)
        return self._dotted(raw if instead == unique_id else dict(self._rows)[instead])

    def _top(self, argument: bytes) -> bytes:
        number = int(argument.split()[0]) - (0 if self._drop.shifts_tops else 1)
        head, blank, _ = self._rows[number % len(self._rows)][1].partition(b"\r\n\r\n")
        return self._dotted(head + blank)

    def _dele(self, argument: bytes) -> bytes:
        self._marked.add(int(argument))
        return b""

    def _quit(self, _: bytes) -> bytes:
        for number in sorted(self._marked):
            unique_id, raw = self._rows[number - 1]
            self._drop.deleted.append(raw)
            if not self._drop.keeps_deleted:
                del self._drop.messages[unique_id]
        return b""

    def _shown(self, number: int) -> bytes:
        if self._drop.numbered:
            return b"%d" % number
        unique_id = self._rows[number - 1][0]
        if unique_id in self._drop.shown:
            return self._drop.shown[unique_id]
        return b"%d-%b" % (self._number, unique_id) if self._drop.changing else unique_id

    def _dotted(self, raw: bytes) -> bytes:
        lines = raw.removesuffix(b"\r\n").split(b"\r\n")
        if self._drop.dots:
            lines = [b"." + line if line.startswith(b".") else line for line in lines]
        return b"\r\n".join([*lines, b".", b""])


@contextmanager
def faulty_server(*users: str) -> Iterator[FaultyServer]:
    """Run one with an empty maildrop for each user."""
    with serving(FaultyServer({user: FaultyDrop() for user in users})) as server:
        yield server
