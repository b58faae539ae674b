"""Events on an EventBridge bus."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.sinks.aws import BATCH_BYTES, BATCH_COUNT, Access, AwsSink, Service
from ingest.adapters.sinks.aws_errors import entry_outcome
from ingest.adapters.sinks.batches import DELIVERED, Limits
from ingest.ports.sink import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from types_boto3_events import EventBridgeClient
    from types_boto3_events.type_defs import PutEventsResultEntryTypeDef

    from ingest.domain.events import Event

# The `source` that rules look for.
SOURCE = "dev.mailhaul"
# Seconds for which a bus is believed to exist.
_BELIEVED = 60.0


def eventbridge_sink(
    name: str, bus: str, access: Access, monotonic: Callable[[], float]
) -> AwsSink[EventBridgeClient]:
    """A sink at the bus with this name or ARN.

    Args:
        name: unique among the sinks.
        bus: `default`, or another; the region in an ARN goes over that of `access`.
        access: how it is reached.
        monotonic: seconds.
    """
    if bus.startswith("arn:"):
        access = replace(access, region=bus.split(":")[3])
    return AwsSink(name, EventBridge(bus, monotonic), access)


class EventBridge(Service["EventBridgeClient"]):
    """The `Service` for one bus, which keeps no order.

    `detail-type` is the event's type, `detail` the event as a whole, `source` always `dev.mailhaul`. EventBridge may
    take events for a bus that does not exist and drop them, so it is asked about the bus before, once a minute.
    """

    name = "events"
    actions = "events:PutEvents and events:DescribeEventBus"
    limits = Limits(BATCH_COUNT, BATCH_BYTES, ordered=False)

    def __init__(self, bus: str, monotonic: Callable[[], float]) -> None:
        self._bus = bus
        self._monotonic = monotonic
        self._believed_until: float | None = None

    @override
    def weigh(self, event: Event) -> int:
        """The rule is Amazon's ("Calculating PutEvents event entry size")."""
        return len(SOURCE) + len(event.type) + len(event.body)

    @override
    def send(self, client: EventBridgeClient, events: Sequence[Event]) -> Sequence[Outcome]:
        if self._believed_until is None or self._monotonic() >= self._believed_until:
            self.probe(client)
            self._believed_until = self._monotonic() + _BELIEVED
        answer = client.put_events(
            Entries=[
                {"EventBusName": self._bus, "Source": SOURCE, "DetailType": event.type, "Detail": event.body.decode()}
                for event in events
            ]
        )
        # In the order of the request, as the API promises; one that is missing is sent again.
        return [_outcome(entry) for entry, _ in zip_longest(answer.get("Entries", [])[: len(events)], events)]

    @override
    def probe(self, client: EventBridgeClient) -> None:
        client.describe_event_bus(Name=self._bus)


def _outcome(entry: PutEventsResultEntryTypeDef | None) -> Outcome:
    entry = entry or {}
    if code := entry.get("ErrorCode"):
        return entry_outcome(code, senders_fault=False)
    return DELIVERED if entry.get("EventId") else Outcome(Verdict.UNAVAILABLE, "unconfirmed")
