"""What the sinks at Amazon's services, and at servers that speak their language, have in common."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

import boto3
from botocore.config import Config
from typing_extensions import override

from ingest.adapters.sinks.aws_errors import entry_outcome, translated
from ingest.adapters.sinks.batches import DELIVERED, Limits, SpoiltError, UnavailableError, hand_over
from ingest.errors import ConfigError, SinkUnavailableError
from ingest.ports.sink import Outcome, Sink, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from botocore.client import BaseClient

    from ingest.domain.events import Event

# All three services took 256 KiB in one request before some of them took more; servers that imitate them still do.
BATCH_COUNT, BATCH_BYTES = 10, 256 * 1024
# XML has no place for these two, which JSON may hold as they are or escaped.
_NOT_IN_XML = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}

C = TypeVar("C", bound="BaseClient")
C_contra = TypeVar("C_contra", bound="BaseClient", contravariant=True)


@dataclass(frozen=True, slots=True)
class Keys:
    """What requests are signed with."""

    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Access:
    """How a service is reached.

    Attributes:
        region: left out, where the AWS tools take it from.
        endpoint: URL of the service; left out, Amazon's.
        keys: asked for each batch, so that new ones are used at once; None leaves it to boto3's chain (environment,
            profile, web identity, role).
        connect_timeout: seconds.
        read_timeout: seconds without a byte while an answer is awaited.
        attempts: of each request, with pauses of a few seconds at most; longer patience is the relay's.
    """

    region: str | None = None
    endpoint: str | None = None
    keys: Callable[[], Keys | None] = lambda: None
    connect_timeout: float = 5
    read_timeout: float = 15
    attempts: int = 3


class Service(Protocol[C_contra]):
    """One of the services, as `AwsSink` speaks with it. All methods let boto3's errors pass.

    Attributes:
        name: as boto3 calls it.
        limits: of one batch.
        actions: what has to be allowed, as policies name it.
    """

    name: str
    limits: Limits
    actions: str

    def weigh(self, event: Event) -> int:
        """The bytes of an event, with all that goes along with it."""
        ...

    def send(self, client: C_contra, events: Sequence[Event]) -> Sequence[Outcome]:
        """Send one batch, an outcome for each."""
        ...

    def probe(self, client: C_contra) -> None:
        """Raise what speaks against sending, or `UnavailableError`; send nothing."""
        ...


class AwsSink(Sink, Generic[C]):
    """A `Sink` at one of Amazon's services.

    Where an event goes along as text, two characters that XML does not know (U+FFFE, U+FFFF) are escaped, as JSON
    allows; otherwise it arrives byte for byte.

    Args:
        name: unique among the sinks.
        service: which one, and what there.
        access: how it is reached.
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

        return hand_over(events, send, self._service.weigh, self._service.limits)

    @override
    def check(self) -> None:
        """Asks about queue, topic or bus, which needs a permission of its own."""
        keys = self._keys()
        try:
            with translated(self._service.actions):
                self._service.probe(self._client(keys))
        except UnavailableError as error:
            raise SinkUnavailableError(f"{self.name}: {error}") from error
        except SpoiltError as error:
            words = f"{self.name}: refuses ({error.reason}): correct the name of the queue, topic or bus"
            raise SinkUnavailableError(words) from error

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
            raise SinkUnavailableError(f"{self.name}: {error}") from error

    def _client(self, keys: Keys | None) -> C:
        """The client with these keys. Making one costs 0.2 s."""
        with self._lock:
            if self._made is None or self._made[0] != keys:
                if self._made is not None:
                    self._made[1].close()
                    self._made = None
                try:
                    self._made = (keys, self._open(keys))
                except ValueError as error:  # so botocore says that an endpoint is no URL, or a region no name
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
        # The types know the names of all services; here one is passed in, with its client's type.
        make = cast("Callable[..., C]", session.client)
        return make(
            self._service.name,
            # A server of one's own mostly does not care, yet has to be told one.
            region_name=access.region or session.region_name or ("us-east-1" if access.endpoint else None),
            endpoint_url=access.endpoint,
            aws_access_key_id=keys.access_key if keys else None,
            aws_secret_access_key=keys.secret_key if keys else None,
            config=config,
        )


def text(event: Event) -> str:
    """An event as text that XML can carry."""
    return event.body.decode().translate(_NOT_IN_XML)


def attributes_of(event: Event) -> dict[str, str]:
    """What goes along with an event as text, by name."""
    return {"type": event.type, "mailbox": event.mailbox, **event.trace_headers}


def weigh_text(event: Event) -> int:
    """The bytes of an event as text, and those of its attributes, whose type counts too."""
    attributes = attributes_of(event).items()
    return len(text(event).encode()) + sum(len(name) + len("String") + len(value) for name, value in attributes)


def confirmed(batch: Sequence[Event], taken: Iterable[str], failed: Iterable[tuple[str, str, bool]]) -> list[Outcome]:
    """The outcome of each event of a batch whose entries are numbered from 0.

    Args:
        batch: as it was sent.
        taken: numbers of entries that the service has confirmed.
        failed: number, code, and whether the service lays it to the sender.
    """
    said = dict.fromkeys(taken, DELIVERED)
    said |= {number: entry_outcome(code, senders_fault=senders_fault) for number, code, senders_fault in failed}
    # What is neither confirmed nor refused is sent again.
    return [said.get(str(number), Outcome(Verdict.UNAVAILABLE, "unconfirmed")) for number in range(len(batch))]
