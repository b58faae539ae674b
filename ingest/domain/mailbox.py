"""A mailbox as the use cases and the POP3 client see it: plain values, no configuration syntax."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Tls(StrEnum):
    """How the connection is protected."""

    IMPLICIT = "implicit"
    STARTTLS = "starttls"
    NONE = "none"


class Mechanism(StrEnum):
    """How we log in."""

    PASSWORD = "password"  # noqa: S105 - USER and PASS, RFC 1939
    APOP = "apop"  # RFC 1939: MD5 over the greeting's timestamp and the password
    PLAIN = "sasl-plain"  # RFC 4616, through AUTH (RFC 5034), as are all below
    LOGIN = "sasl-login"  # no RFC, yet many servers know nothing else
    SCRAM_SHA_256 = "scram-sha-256"  # RFC 7677
    XOAUTH2 = "xoauth2"  # Google's and Microsoft's form of a bearer token
    OAUTHBEARER = "oauthbearer"  # RFC 7628


ProxyKind = Literal["socks5", "http"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """Through whom we connect: `kind` is the scheme, `socks5` or `http` (CONNECT). It also looks up the host."""

    kind: ProxyKind
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Quirks:
    """What a server is known to do otherwise.

    Attributes:
        two_step_auth: AUTH takes no initial response (Microsoft 365 wants two steps for XOAUTH2).
        lists_window: UIDL shows only the oldest part of what is there (Gmail: about 250 conversations), so that a
            poll which found something is followed by another at once.
        lockstep: PIPELINING is announced but cannot be relied on.
    """

    two_step_auth: bool = False
    lists_window: bool = False
    lockstep: bool = False


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
    proxy: Proxy | None = None
    quirks: Quirks = Quirks()

    @property
    def label(self) -> str:
        """What metrics and logs call this server."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in. Never printed: `repr` hides everything secret.

    Attributes:
        username: UTF-8.
        password: UTF-8; an access token where the mechanism takes one.
        mechanism: how.
        renew: makes new ones after the server refused these; None where asking again cannot help.
        proxy: user name and password for the proxy, where it wants them.
    """

    username: str = field(repr=False)
    password: str = field(repr=False)
    mechanism: Mechanism = Mechanism.PASSWORD
    renew: Callable[[], Credentials] | None = field(default=None, repr=False, compare=False)
    proxy: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each phase of a session. No phase is without one; `poll` ends the whole session.

    A server may answer RETR slowly, never endlessly: `idle` bounds the silence between two reads, and
    `Limits.minimum_rate` how little may come between silences.
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
    connections: int = 10  # at once to its server, and to its address; Dovecot's own default per user and address
    minimum_rate: int = 256  # bytes a second while an answer arrives; a modem of 1990 did better


@dataclass(frozen=True, slots=True)
class Deletion:
    """What happens on the server to messages that are done.

    `after` is None for `keep`, 0 for `delete` (in a later session), else seconds since we first stored it.
    """

    after: float | None = None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One POP3 maildrop with its server, schedule and policy. `id` never changes.

    `authserv_id` is the mail server whose Authentication-Results count; None where none does.
    """

    id: str
    server: Server
    interval: float = 60.0
    enabled: bool = True
    deletion: Deletion = Deletion()
    deadlines: Deadlines = Deadlines()
    limits: Limits = Limits()
    labels: Mapping[str, str] = field(default_factory=dict)
    prefix: str | None = None
    authserv_id: str | None = None

    @property
    def folder(self) -> str:
        """The name that stands for the mailbox in object keys."""
        return self.prefix or self.id
