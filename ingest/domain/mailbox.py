"""A mailbox as the use cases and the POP3 client see it: plain values, no configuration syntax."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tls(StrEnum):
    """How the connection is protected."""

    IMPLICIT = "implicit"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Server:
    """Where a maildrop is, and how its server proves who it is.

    `ca_file` is the path of a PEM bundle to trust instead of the system's; `fingerprint` is the hex SHA-256 of the
    server's certificate, which is then the only one accepted.
    """

    host: str
    port: int
    tls: Tls = Tls.IMPLICIT
    ca_file: str | None = None
    fingerprint: str | None = None

    @property
    def label(self) -> str:
        """What metrics and logs call this server."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in. Never printed: `repr` hides both."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each phase of a session. No phase is without one; `poll` ends the whole session.

    A server may answer RETR slowly, never endlessly: `idle` bounds the silence between two reads.
    """

    connect: float = 15.0  # what TCP needs for three lost SYNs (1 + 2 + 4 s), doubled
    tls: float = 15.0
    reply: float = 60.0  # RFC 1939 lets servers be slow: a big maildrop is scanned at PASS
    idle: float = 60.0
    quit: float = 30.0  # servers unlink at QUIT, a thousand files take a while
    poll: float = 900.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a mailbox may cost. Each default has its reason beside it."""

    message_bytes: int = 150 * 2**20  # the largest limit of the large providers (Exchange Online: 150 MB)
    listed_messages: int = 100_000  # 10 MB of answers to UIDL and LIST; far above any maildrop that works
    messages_per_poll: int = 1_000  # so that one full mailbox cannot keep a poller to itself


@dataclass(frozen=True, slots=True)
class Deletion:
    """What happens on the server to messages that are done.

    `after` is None for `keep`, 0 for `delete` (in a later session), else seconds since we first stored it.
    """

    after: float | None = None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One POP3 maildrop with its server, schedule and policy. `id` never changes."""

    id: str
    server: Server
    interval: float = 60.0
    enabled: bool = True
    deletion: Deletion = Deletion()
    deadlines: Deadlines = Deadlines()
    limits: Limits = Limits()
    labels: Mapping[str, str] = field(default_factory=dict)
    prefix: str | None = None

    @property
    def folder(self) -> str:
        """The name that stands for the mailbox in object keys."""
        return self.prefix or self.id
