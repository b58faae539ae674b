"""The common part of the sinks for AWS services and compatible servers."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

import boto3
from botocore.config import Config
from typing_extensions import override

from ingest.adapters.aws_deadline import limit_requests
from ingest.adapters.sinks.aws_errors import entry_outcome, translated
from ingest.adapters.sinks.batches import (
    DELIVERED,
    BatchLimits,
    BatchRefusedError,
    UnavailableError,
    deliver_in_batches,
)
from ingest.errors import ConfigError, SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from botocore.client import BaseClient

    from ingest.domain.events import Event

# The services' original limit of 256 KiB per request; some accept more today, compatible servers often do not.
BATCH_COUNT, BATCH_BYTES = 10, 256 * 1024
# XML cannot represent these two; JSON can hold them escaped.
_NOT_IN_XML = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}

C = TypeVar("C", bound="BaseClient")
C_contra = TypeVar("C_contra", bound="BaseClient", contravariant=True)


@dataclass(frozen=True, slots=True)
class Keys:
    """The access key that signs requests."""

    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a service.

    Attributes:
        region: if None, from the environment or the AWS profile.
        endpoint: URL of the service; if None, Amazon's.
        keys: called for each batch, so that new keys are used at once; None means boto3's chain (environment,
            profile, web identity, role).
        connect_timeout: seconds.
        read_timeout: seconds without a byte while an answer is awaited.
        attempts: per request, with pauses of a few seconds at most; longer retries are the deliver stage's.
    """

    region: str | None = None
    endpoint: str | None = None
    keys: Callable[[], Keys | None] = lambda: None
    connect_timeout: float = 5
    read_timeout: float = 15
    attempts: int = 3


class Service(Protocol[C_contra]):
    """One service, as `AwsSink` uses it. All methods let boto3's errors pass.

    Attributes:
        name: boto3's name for it.
        limits: limits of one batch.
        actions: the permissions needed, as policies name them.
    """

    name: str
    limits: BatchLimits
    actions: str

    def weigh(self, event: Event) -> int:
        """Return the size of an event in bytes, its attributes included."""
        ...

    def send(self, client: C_contra, events: Sequence[Event]) -> Sequence[Outcome]:
        """Send one batch; return an outcome for each event."""
        ...

    def probe(self, client: C_contra) -> None:
        """Raise an error if events could not be sent; send nothing."""
        ...


class AwsSink(Sink, Generic[C]):
    """A `Sink` for one of Amazon's services.

    Where an event is sent as text, two characters that XML does not allow (U+FFFE, U+FFFF) are escaped as in JSON;
    otherwise it arrives byte for byte.

    Args:
        name: unique among the sinks.
        service: the service and the destination there.
        access: how to reach it.
    """

    def __init__(self, name: str, service: Service[C], access: Access) -> None:
        self.name = name
        self._service = service
        self._access = access
        self._lock = threading.Lock()
        self._made: tuple[Keys | None, C] | None = None

    @override
    def deliver(self, events: Sequence[Event]) -> list[Outcome]:
        if not events:
            return []
        keys = self._keys()

        def send(batch: Sequence[Event]) -> Sequence[Outcome]:
            with translated(self._service.actions):
                return self._service.send(self._client(keys), batch)

        return deliver_in_batches(events, send, self._service.weigh, self._service.limits)

    @override
    def check(self) -> None:
        """Looks up the queue, topic or bus, which needs a permission of its own."""
        keys = self._keys()
        try:
            with translated(self._service.actions):
                self._service.probe(self._client(keys))
        except UnavailableError as error:
            raise SinkUnavailableError(f"{self.name}: {error}", error.reason) from error
        except BatchRefusedError as error:
            words = f"{self.name}: refuses ({error.reason}): correct the name of the queue, topic or bus"
            raise SinkUnavailableError(words, error.reason) from error

    @override
    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made[1].close()

    def _keys(self) -> Keys | None:
        try:
            return self._access.keys()
        except ConfigError as error:
            raise SinkUnavailableError(f"{self.name}: {error}", "secret_missing") from error

    def _client(self, keys: Keys | None) -> C:
        """Return a client with these keys. Making one takes 0.2 s."""
        with self._lock:
            if self._made is None or self._made[0] != keys:
                if self._made is not None:
                    self._made[1].close()
                    self._made = None
                try:
                    self._made = (keys, self._open(keys))
                except ValueError as error:  # botocore's error for an endpoint that is no URL, or an invalid region
                    words = "the endpoint or the region is not valid: correct it"
                    raise UnavailableError("invalid_address", words) from error
            return self._made[1]

    def _open(self, keys: Keys | None) -> C:
        session, access = boto3.session.Session(), self._access
        config = Config(
            connect_timeout=access.connect_timeout,
            read_timeout=access.read_timeout,
            retries={"mode": "standard", "total_max_attempts": access.attempts},
        )
        # The stubs are overloaded by literal service names; here the name is a variable.
        make = cast("Callable[..., C]", session.client)
        client = make(
            self._service.name,
            # Compatible servers mostly ignore the region, but boto3 needs one.
            region_name=access.region or session.region_name or ("us-east-1" if access.endpoint else None),
            endpoint_url=access.endpoint,
            aws_access_key_id=keys.access_key if keys else None,
            aws_secret_access_key=keys.secret_key if keys else None,
            config=config,
        )
        limit_requests(client, access.connect_timeout + access.read_timeout)
        return client


def text(event: Event) -> str:
    """Return an event as text that XML can carry."""
    return event.body.decode().translate(_NOT_IN_XML)


def attributes_of(event: Event) -> dict[str, str]:
    """Return an event's message attributes."""
    return {"type": event.type, "mailbox": event.mailbox, **event.trace_headers}


def weigh_text(event: Event) -> int:
    """Return the size of an event as text plus its attributes, whose type names count too."""
    attributes = attributes_of(event).items()
    return len(text(event).encode()) + sum(len(name) + len("String") + len(value) for name, value in attributes)


def confirmed(batch: Sequence[Event], taken: Iterable[str], failed: Iterable[tuple[str, str, bool]]) -> list[Outcome]:
    """Return the outcome of each event of a batch whose entries are numbered from 0.

    Args:
        batch: the events as sent.
        taken: numbers of entries that the service has confirmed.
        failed: number, code, and whether the service calls it the sender's fault.
    """
    said = dict.fromkeys(taken, DELIVERED)
    said |= {number: entry_outcome(code, senders_fault=senders_fault) for number, code, senders_fault in failed}
    # Entries neither confirmed nor refused are sent again.
    return [said.get(str(number), Outcome(Verdict.UNAVAILABLE, "unconfirmed")) for number in range(len(batch))]
