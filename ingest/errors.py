"""All errors, as one tree.

The class alone answers two questions: whose fault it is (`fault`), and whether trying again can help (`transient`).
`code` is short, stable and contains nothing private: log lines and metric labels carry it. The text of an error is
for the person at the terminal and may quote a server's answer, so it is never logged.

Foreign exceptions (socket, ssl, redis, botocore, urllib3, OSError) are translated where an adapter calls them and
never cross a port.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Protocol


class Fault(StrEnum):
    """Who has to act before another try can succeed."""

    OPERATOR = "operator"
    SERVER = "server"
    MESSAGE = "message"
    INFRASTRUCTURE = "infrastructure"
    CONSUMER = "consumer"


class MailhaulError(Exception):
    """The root of all errors that Mailhaul raises on purpose."""

    fault: ClassVar[Fault] = Fault.INFRASTRUCTURE
    transient: ClassVar[bool] = False
    code: ClassVar[str] = "error"


class ConfigError(MailhaulError):
    """The configuration cannot be used; each problem names file, path and remedy."""

    fault = Fault.OPERATOR
    code = "config"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StartError(MailhaulError):
    """A process could not be started; the text says what to do."""

    fault = Fault.OPERATOR
    code = "start"


# --- the POP3 server ---------------------------------------------------------------------------------------------


class Row(Protocol):
    """A message on the server: the part of `ingest.ports.maildrop.Listed` that errors need."""

    @property
    def number(self) -> int:
        """Its number in the session."""
        ...

    @property
    def unique_id(self) -> bytes | None:
        """As UIDL answered; None if the server has no UIDL."""
        ...


class MaildropError(MailhaulError):
    """A POP3 session failed. `result` is the label it gets in `mailhaul_polls_total`.

    `during` is the message whose answer was due or under way, None if the session failed elsewhere. That message may
    be the cause.
    """

    fault = Fault.SERVER
    transient = True
    code = "maildrop"
    result: ClassVar[str] = "protocol_error"
    during: Row | None = None


class MaildropConnectError(MaildropError):
    """The server could not be reached: unknown host, refused, unreachable, or gone in the middle."""

    code = "connect"
    result = "connect_error"


class MaildropTimeoutError(MaildropError):
    """A phase, or the whole poll, took longer than its deadline, or bytes came too slowly."""

    code = "timeout"
    result = "timeout"


class PipeliningStalledError(MaildropTimeoutError):
    """The server announces PIPELINING, answered the first of several commands, and then no more.

    The connector remembers it for the host: another session, opened at once, sends one command at a time.
    """

    code = "pipelining_stalled"


class MaildropTlsError(MaildropError):
    """No trusted TLS session: wrong name, expired or self-signed certificate, or STARTTLS refused."""

    fault = Fault.OPERATOR
    code = "tls"
    result = "tls_error"


class MaildropAuthError(MaildropError):
    """The server, or its token endpoint, refused the credentials."""

    fault = Fault.OPERATOR
    transient = False
    code = "auth"
    result = "auth_error"


class LoginRefusedError(MaildropAuthError):
    """The server refused the login, and sent no code that blames the credentials ([AUTH], RFC 3206)."""

    code = "login_refused"


class ProviderUnavailableError(MailhaulError):
    """The identity provider does not answer, or with something that cannot be used. The text is for the operator."""

    transient = True
    code = "provider_unavailable"


class SignOnRefusedError(MailhaulError):
    """The identity provider's answer to a login is invalid, or it refused the login."""

    fault = Fault.OPERATOR
    code = "sign_on_refused"


class TokenUnavailableError(MaildropError):
    """No OAuth2 token could be fetched: the token endpoint cannot be reached, or failed."""

    code = "token_unavailable"
    result = "temporary"


class MaildropInUseError(MaildropError):
    """The maildrop is held by another session (`[IN-USE]`)."""

    code = "in_use"
    result = "locked"


class MaildropThrottledError(MaildropError):
    """The server wants fewer connections or logins, or more time between them; the password may be right."""

    code = "throttled"
    result = "throttled"


class LoginDelayError(MaildropThrottledError):
    """The server wants more time between two logins to this maildrop (`[LOGIN-DELAY]`)."""

    code = "login_delay"


class MaildropTemporaryError(MaildropError):
    """The server reports a temporary failure (`[SYS/TEMP]`)."""

    code = "temporary"
    result = "temporary"


class MaildropRefusedError(MaildropError):
    """The server refuses permanently: `[SYS/PERM]`, or -ERR to a command that is required."""

    fault = Fault.OPERATOR
    transient = False
    code = "refused"
    result = "refused"


class NoUniqueIdsError(MaildropRefusedError):
    """The server has no UIDL, and the mailbox's policy leaves mail there: all of it would be fetched every time."""

    code = "no_unique_ids"


class MaildropProtocolError(MaildropError):
    """The server violated the POP3 protocol, or exceeded a limit."""

    code = "protocol"


class MaildropOutOfStepError(MaildropProtocolError):
    """The server sent something other than the answer that was due: its answers no longer match our commands.

    `row` is the message that was read just before, if any. It may have been cut: a server that does not double the
    leading dots of lines ends a message for us at a line that is a lone dot.
    """

    code = "out_of_step"

    def __init__(self, text: str, row: Row | None = None) -> None:
        super().__init__(text)
        self.row = row


class MaildropDeferredError(MaildropError):
    """Our own limit of connections to this server or address is reached; nothing was sent."""

    fault = Fault.INFRASTRUCTURE
    code = "deferred"
    result = "deferred"


class MessageTooLargeError(MaildropError):
    """A message exceeded the mailbox's limit while it was downloaded; the session cannot be used any further.

    `listed` is the row of the message, None if unknown.
    """

    fault = Fault.MESSAGE
    code = "message_too_large"

    def __init__(self, text: str = "", listed: Row | None = None) -> None:
        super().__init__(text)
        self.listed = listed


# --- this machine -----------------------------------------------------------------------------------------------


class SpoolError(MailhaulError):
    """A temporary file cannot be written: the disk is full, or the folder is not writable. Nothing is lost."""

    fault = Fault.OPERATOR
    transient = True
    code = "spool"


class GuardError(MailhaulError):
    """A guarded process cannot be started; the text says what to do. Nothing is lost."""

    fault = Fault.OPERATOR
    transient = True
    code = "guard"


# --- the object store --------------------------------------------------------------------------------------------


class StoreError(MailhaulError):
    """An operation of the object store failed."""

    transient = True
    code = "store"


class StoreUnavailableError(StoreError):
    """The store cannot be reached, or is busy."""

    code = "store_unavailable"


class StoreRefusedError(StoreError):
    """The store refuses: no such bucket, no permission, no space. A person has to fix it; nothing is lost."""

    fault = Fault.OPERATOR
    code = "store_refused"


class StoreCorruptError(StoreRefusedError):
    """An object in the store does not have the bytes it should have. Nothing is deleted on its account."""

    code = "store_corrupt"


class ObjectMissingError(StoreError):
    """The requested object does not exist."""

    transient = False
    code = "object_missing"


class ObjectExistsError(StoreError):
    """`put(only_if_absent=True)` found the same bytes under the key already."""

    transient = False
    code = "object_exists"


# --- the ledger --------------------------------------------------------------------------------------------------


class LedgerError(MailhaulError):
    """An operation of the ledger failed."""

    transient = True
    code = "ledger"


class LedgerUnavailableError(LedgerError):
    """Redis or Valkey cannot be reached, is loading, or is out of memory."""

    code = "ledger_unavailable"


class BrokerUnavailableError(MailhaulError):
    """The broker of the wake-ups cannot be reached, or rejects commands."""

    transient = True
    code = "broker_unavailable"


class StaleClaimError(LedgerError):
    """The claim expired, and another worker may have the item: stop at once, commit nothing."""

    code = "stale_claim"


# --- sinks -------------------------------------------------------------------------------------------------------


class SinkError(MailhaulError):
    """A sink did not take events."""

    fault = Fault.CONSUMER
    transient = True
    code = "sink"


class SinkUnavailableError(SinkError):
    """The sink is unavailable or refuses all events; every event has to wait.

    `reason` is a short code such as `secret_invalid`, for logs, metrics and `mailhaul status`.
    """

    code = "sink_unavailable"

    def __init__(self, text: str, reason: str = code) -> None:
        super().__init__(text)
        self.reason = reason


# --- virus scanner and DNS ----------------------------------------------------------------------------------------


class ScannerUnavailableError(MailhaulError):
    """The virus scanner does not answer; the text says what to do."""

    transient = True
    code = "scanner_unavailable"


class DnsUnavailableError(MailhaulError):
    """The DNS gives neither a record nor a negative answer."""

    transient = True
    code = "dns_unavailable"


# --- messages ----------------------------------------------------------------------------------------------------


class MessageError(MailhaulError):
    """This one message cannot be processed; the others can."""

    fault = Fault.MESSAGE
    transient = True
    code = "message"


class WorkerDiedError(MessageError):
    """The process that worked on this message died, or exceeded its time or memory limit, more than once."""

    code = "worker_died"
