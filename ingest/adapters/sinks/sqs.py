"""Events as messages of an SQS queue, standard or FIFO."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from typing_extensions import override

from ingest.adapters.sinks.aws import (
    BATCH_BYTES,
    BATCH_COUNT,
    Access,
    AwsSink,
    Service,
    attributes_of,
    confirmed,
    text,
    weigh_text,
)
from ingest.adapters.sinks.batches import BatchLimits, UnavailableError
from ingest.domain.events import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageAttributeValueTypeDef, SendMessageBatchRequestEntryTypeDef

    from ingest.adapters.sinks.aws import Keys
    from ingest.domain.events import Event
    from ingest.ports.sink import Outcome

_REGION = re.compile(r"(?:^|\.)([a-z]{2}(?:-[a-z]+)+-[0-9])\.")


def sqs_sink(
    name: str,
    url: str,
    *,
    region: str | None = None,
    keys: Callable[[], Keys | None] = lambda: None,
    attempts: int = 3,
) -> AwsSink[SQSClient]:
    """Return a sink for the queue with this URL; one whose name ends in `.fifo` keeps each mailbox's order.

    Args:
        name: unique among the sinks.
        url: as SQS shows it; requests go to its host, Amazon's or another.
        region: if None, the one in the host name, else from the environment or the AWS profile.
        keys: see `Access`.
        attempts: see `Access`.
    """
    service, parts = Sqs(url), urlsplit(url)
    access = Access(region or service.region, f"{parts.scheme}://{parts.netloc}", keys, attempts=attempts)
    return AwsSink(name, service, access)


class Sqs(Service["SQSClient"]):
    """The `Service` for one queue.

    A message's body is the event; its attributes `type` and `mailbox` let a consumer filter without parsing it. In a
    FIFO queue the mailbox is the message group and the event's id the deduplication id (effective for five minutes).
    """

    name = "sqs"
    actions = "sqs:SendMessage and sqs:GetQueueAttributes"

    def __init__(self, url: str) -> None:
        self._url = url
        self._fifo = url.endswith(".fifo")
        self.limits = BatchLimits(BATCH_COUNT, BATCH_BYTES, ordered=self._fifo)

    @property
    def region(self) -> str | None:
        """The region in the host name, or None."""
        found = _REGION.search(urlsplit(self._url).netloc)
        return found[1] if found else None

    @override
    def weigh(self, event: Event) -> int:
        return weigh_text(event)

    @override
    def send(self, client: SQSClient, events: Sequence[Event]) -> Sequence[Outcome]:
        answer = client.send_message_batch(
            QueueUrl=self._url, Entries=[self._entry(number, event) for number, event in enumerate(events)]
        )
        return confirmed(
            events,
            [entry["Id"] for entry in answer.get("Successful", ())],
            [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer.get("Failed", ())],
        )

    @override
    def probe(self, client: SQSClient) -> None:
        names = client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["MaximumMessageSize"])
        most = int(names.get("Attributes", {}).get("MaximumMessageSize", BATCH_BYTES))
        if most <= MAX_EVENT_BYTES:
            words = f"the queue accepts no more than {most} bytes: set its MaximumMessageSize to 65536 or more"
            raise UnavailableError("small_queue", words)

    def _entry(self, number: int, event: Event) -> SendMessageBatchRequestEntryTypeDef:
        entry: SendMessageBatchRequestEntryTypeDef = {
            "Id": str(number),
            "MessageBody": text(event),
            "MessageAttributes": {name: _attribute(value) for name, value in attributes_of(event).items()},
        }
        if self._fifo:
            entry["MessageGroupId"] = event.mailbox
            entry["MessageDeduplicationId"] = event.id
        return entry


def _attribute(value: str) -> MessageAttributeValueTypeDef:
    return {"DataType": "String", "StringValue": value}
