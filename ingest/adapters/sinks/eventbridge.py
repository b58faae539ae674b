"""Events on an EventBridge bus."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.sinks.aws import BATCH_BYTES, BATCH_COUNT, Access, AwsSink, Service
from ingest.adapters.sinks.aws_errors import entry_outcome
from ingest.adapters.sinks.batches import DELIVERED, BatchLimits
from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from types_boto3_events import EventBridgeClient
    from types_boto3_events.type_defs import PutEventsResultEntryTypeDef

    from ingest.domain.events import Event

# The `source` that rules match.
SOURCE = "dev.mailhaul"
# Seconds between checks that the bus exists.
_CHECK_SECONDS = 60.0


def eventbridge_sink(
    name: str, bus: str, access: Access, monotonic: Callable[[], float]
) -> AwsSink[EventBridgeClient]:
    """Return a sink for the bus with this name or ARN.

    Args:
        name: unique among the sinks.
        bus: `default`, or another; the region in an ARN overrides that of `access`.
        access: how to reach it.
        monotonic: monotonic clock, in seconds.
    """
    if bus.startswith("arn:"):
        access = replace(access, region=bus.split(":")[3])
    return AwsSink(name, EventBridge(bus, monotonic), access)


class EventBridge(Service["EventBridgeClient"]):
    """The `Service` for one bus, which keeps no order.

    `detail-type` is the event's type, `detail` the whole event, `source` always `dev.mailhaul`. EventBridge may
    accept events for a bus that does not exist and drop them, so the bus is looked up once a minute.
    """

    name = "events"
    actions = "events:PutEvents and events:DescribeEventBus"
    limits = BatchLimits(BATCH_COUNT, BATCH_BYTES, ordered=False)

    def __init__(self, bus: str, monotonic: Callable[[], float]) -> None:
        self._bus = bus
        self._monotonic = monotonic
        self._next_check: float | None = None

    @override
    def weigh(self, event: Event) -> int:
        """Return the size by Amazon's formula ("Calculating PutEvents event entry size")."""
        return len(SOURCE) + len(event.type) + len(event.body)

    @override
    def send(self, client: EventBridgeClient, events: Sequence[Event]) -> Sequence[Outcome]:
        if self._next_check is None or self._monotonic() >= self._next_check:
            self.probe(client)
            self._next_check = self._monotonic() + _CHECK_SECONDS
        answer = client.put_events(
            Entries=[
                {"EventBusName": self._bus, "Source": SOURCE, "DetailType": event.type, "Detail": event.body.decode()}
                for event in events
            ]
        )
        # In the order of the request, as the API promises; a missing entry is sent again.
        return [_outcome(entry) for entry, _ in zip_longest(answer.get("Entries", [])[: len(events)], events)]

    @override
    def probe(self, client: EventBridgeClient) -> None:
        client.describe_event_bus(Name=self._bus)


def _outcome(entry: PutEventsResultEntryTypeDef | None) -> Outcome:
    entry = entry or {}
    if code := entry.get("ErrorCode"):
        return entry_outcome(code, senders_fault=False)
    return DELIVERED if entry.get("EventId") else Outcome(Verdict.UNAVAILABLE, "unconfirmed")
