# ruff: noqa: SLF001 - the names of librdkafka's own codes begin with an underscore
"""Translate librdkafka's errors.

Its codes are those of the Kafka protocol (https://kafka.apache.org/protocol#protocol_error_codes) and, with an
underscore, its own. All of them concern the sink as a whole, except those about a single record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

from ingest.adapters.sinks.batches import DELIVERED, TOO_LARGE, UnavailableError
from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

_LOGIN = (
    "login",
    "refuses the login: correct username and password, and check that it offers this mechanism on this port",
)
DENIED = ("denied", "the user may not write to the topic: let them Describe and Write it")
_NO_TOPIC = ("no_topic", "there is no such topic: create it, or correct its name")
_REPLICAS = ("replicas", "too few replicas of the topic are in sync; check which brokers are down")
_TLS = ("tls", "its certificate cannot be trusted, or is for another host: correct it, or set `ca`")
_UNKNOWN_HOST = ("connect", "the host is unknown: correct `brokers`")
_CONNECT = (
    "connect",
    "cannot be reached, or closed the connection; check that it is running and that `tls` fits the port",
)
_TIMEOUT = ("timeout", "did not answer in time; check that it is running and that `tls` fits the port")

_ANSWERS = {
    KafkaError._AUTHENTICATION: _LOGIN,
    KafkaError.SASL_AUTHENTICATION_FAILED: _LOGIN,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: DENIED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: DENIED,
    KafkaError.UNKNOWN_TOPIC_OR_PART: _NO_TOPIC,
    KafkaError.TOPIC_EXCEPTION: _NO_TOPIC,
    KafkaError._UNKNOWN_TOPIC: _NO_TOPIC,
    KafkaError._UNKNOWN_PARTITION: _NO_TOPIC,
    KafkaError.NOT_ENOUGH_REPLICAS: _REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: _REPLICAS,
    KafkaError._SSL: _TLS,
    KafkaError._RESOLVE: _UNKNOWN_HOST,
    KafkaError._TRANSPORT: _CONNECT,
    KafkaError._ALL_BROKERS_DOWN: _CONNECT,
    KafkaError._MSG_TIMED_OUT: _TIMEOUT,
    KafkaError._TIMED_OUT: _TIMEOUT,
    KafkaError.REQUEST_TIMED_OUT: _TIMEOUT,
}
# Codes that only mean that a time-out expired; the cause is known from the client's earlier reports.
_NO_CAUSE = frozenset(
    {
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._FATAL,
    }
)
TIMED_OUT = KafkaError(KafkaError._TIMED_OUT)
_REFUSED = {
    KafkaError.MSG_SIZE_TOO_LARGE: TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE: TOO_LARGE,
    KafkaError.INVALID_RECORD: Outcome(Verdict.REJECTED, "invalid_record"),
}


class Trouble:
    """Remembers librdkafka's reports about its connections (`error_cb`) until a record is delivered.

    librdkafka retries by itself; these reports only say why it has not succeeded yet, and are not repeated.

    Attributes:
        cause: the latest report that names a cause.
        all_down: no broker can be reached.
    """

    def __init__(self) -> None:
        self.cause: KafkaError | None = None
        self.all_down = False

    def __call__(self, error: KafkaError) -> None:
        """Record a report."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.cause = error
            return
        self.all_down = True
        self.cause = self.cause or error

    @property
    def final(self) -> bool:
        """Whether this client cannot recover: its login was refused, or it has a fatal error."""
        return self.cause is not None and (self.cause.fatal() or _ANSWERS.get(self.cause.code()) == _LOGIN)

    def listen(self, poll: Callable[[float], object], seconds: float) -> None:
        """Let a client report its errors; a fatal one is raised by `poll` instead."""
        try:
            poll(seconds)
        except KafkaException as error:
            self.cause = error.args[0]

    def forget(self) -> None:
        """Forget all reports after a record was delivered."""
        self.cause, self.all_down = None, False


def unavailable(error: KafkaError, trouble: Trouble) -> UnavailableError:
    """Translate an error; a time-out is translated by its cause, if that is known."""
    if error.code() in _NO_CAUSE and trouble.cause is not None:
        error = trouble.cause
    code = error.code()
    if code in _NO_CAUSE:
        return UnavailableError(*_TIMEOUT)
    return UnavailableError(*_ANSWERS.get(code, (f"kafka_{code}", f"refuses ({error.name()}); see the broker's log")))


def outcome(error: KafkaError | None, trouble: Trouble) -> Outcome:
    """Return the outcome for an event from its delivery report."""
    if error is None:
        return DELIVERED
    if error.code() in _REFUSED:
        return _REFUSED[error.code()]
    return Outcome(Verdict.UNAVAILABLE, unavailable(error, trouble).reason)
