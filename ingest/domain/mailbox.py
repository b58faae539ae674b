"""A mailbox, as use cases and the POP3 client see it: values, independent of the configuration's syntax."""

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
    """How to log in."""

    PASSWORD = "password"  # noqa: S105 - USER and PASS, RFC 1939
    APOP = "apop"  # RFC 1939: MD5 over the greeting's timestamp and the password
    PLAIN = "sasl-plain"  # RFC 4616, through AUTH (RFC 5034), as are all below
    LOGIN = "sasl-login"  # no RFC, but the only mechanism of many servers
    SCRAM_SHA_256 = "scram-sha-256"  # RFC 7677
    XOAUTH2 = "xoauth2"  # Google's and Microsoft's form of a bearer token
    OAUTHBEARER = "oauthbearer"  # RFC 7628


ProxyKind = Literal["socks5", "http"]
# Without 1.1: whoever allows 1.0 gets the newest version that the server has.
TlsVersion = Literal["1.0", "1.2", "1.3"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to connect through: `kind` is the scheme, `socks5` or `http` (CONNECT). The proxy resolves the host."""

    kind: ProxyKind
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Quirks:
    """Known deviations of a server.

    Attributes:
        two_step_auth: AUTH accepts no initial response (Microsoft 365 requires two steps for XOAUTH2).
        lists_window: UIDL lists only the oldest messages (Gmail: about 250 conversations), so a poll that stored
            something is followed by another at once.
        lockstep: PIPELINING is announced but does not work reliably.
    """

    two_step_auth: bool = False
    lists_window: bool = False
    lockstep: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """The server of a maildrop, and how it is authenticated.

    Attributes:
        ca_file: path of a PEM bundle to trust instead of the system's.
        fingerprint: hex SHA-256 of the server's certificate, which is then the only one accepted.
        tls_minimum: the oldest TLS version to accept; None for 1.2.
        ciphers: cipher suites up to TLS 1.2, as OpenSSL writes them; None for Python's choice.
    """

    host: str
    port: int
    tls: Tls = Tls.IMPLICIT
    ca_file: str | None = None
    fingerprint: str | None = None
    proxy: Proxy | None = None
    quirks: Quirks = Quirks()
    tls_minimum: TlsVersion | None = None
    ciphers: str | None = None

    @property
    def label(self) -> str:
        """The server's name in metrics and logs."""
        return f"{self.host}:{self.port}"

    @property
    def weakened(self) -> str:
        """The option that allows weaker TLS than the default; empty if there is none."""
        if self.tls_minimum == "1.0":
            return "tls_minimum"
        return "ciphers" if self.ciphers is not None else ""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Our own certificate, for servers that ask for one.

    Attributes:
        chain: PEM: the certificate, and the intermediate ones behind it.
        key: PEM: its private key.
        password: of the key; empty if it is not encrypted.
    """

    chain: str = field(repr=False)
    key: str = field(repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login. `repr` hides everything secret.

    Attributes:
        username: UTF-8.
        password: UTF-8; an access token if the mechanism takes one.
        mechanism: how to log in.
        renew: returns new credentials after the server refused these; None if there can be no better ones.
        proxy: user name and password for the proxy, if it requires them.
        certificate: our own certificate for TLS, if the server asks for one.
    """

    username: str = field(repr=False)
    password: str = field(repr=False)
    mechanism: Mechanism = Mechanism.PASSWORD
    renew: Callable[[], Credentials] | None = field(default=None, repr=False, compare=False)
    proxy: tuple[str, str] | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each phase of a session; `poll` limits the whole session.

    A server may answer RETR slowly, but not forever: `idle` limits the silence between two reads, and
    `Limits.minimum_rate` how few bytes may arrive between silences.
    """

    connect: float = 15.0  # twice what TCP needs after three lost SYNs (1 + 2 + 4 s)
    tls: float = 15.0
    reply: float = 60.0  # servers are slow at PASS, when they scan a large maildrop
    idle: float = 60.0
    quit: float = 30.0  # servers delete files at QUIT; a thousand of them take a while
    poll: float = 900.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one mailbox. Each default has its reason beside it."""

    message_bytes: int = 150 * 2**20  # the largest limit of the large providers (Exchange Online: 150 MB)
    listed_messages: int = 100_000  # 10 MB of answers to UIDL and LIST; far more than any working maildrop has
    messages_per_poll: int = 1_000  # so that one full mailbox does not occupy a poller for long
    connections: int = 10  # at once to its server, and to its address; Dovecot's own default per user and address
    minimum_rate: int = 256  # bytes per second while an answer arrives; a modem of 1990 was faster


@dataclass(frozen=True, slots=True)
class Deletion:
    """What happens on the server to messages that are done.

    `after` is None for `keep`, 0 for `delete` (in a later session), else seconds since the message was registered.
    """

    after: float | None = None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One POP3 maildrop with its server, schedule and policy. `id` never changes.

    `authserv_id` is the mail server whose Authentication-Results are trusted; None if there is none.
    `trusted_hops` is how many Received fields from the top are; None for the default.
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
    trusted_hops: int | None = None

    @property
    def folder(self) -> str:
        """The mailbox's name in object keys."""
        return self.prefix or self.id
