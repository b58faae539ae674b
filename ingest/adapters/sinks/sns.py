"""Events as messages to an SNS topic, standard or FIFO."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

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
from ingest.adapters.sinks.batches import BatchLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_boto3_sns import SNSClient
    from types_boto3_sns.type_defs import MessageAttributeValueTypeDef, PublishBatchRequestEntryTypeDef

    from ingest.domain.events import Event
    from ingest.ports.sink import Outcome


def sns_sink(name: str, topic: str, access: Access) -> AwsSink[SNSClient]:
    """Return a sink for the topic with this ARN; one whose name ends in `.fifo` keeps each mailbox's order.

    Args:
        name: unique among the sinks.
        topic: its ARN, which names the region too.
        access: how to reach it; its region is ignored.
    """
    return AwsSink(name, Sns(topic), replace(access, region=topic.split(":")[3]))


class Sns(Service["SNSClient"]):
    """The `Service` for one topic.

    The attributes `type` and `mailbox` are for filter policies. In a FIFO topic the mailbox is the message group and
    the event's id is the deduplication id (effective for five minutes).
    """

    name = "sns"
    actions = "sns:Publish and sns:GetTopicAttributes"

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._fifo = topic.endswith(".fifo")
        self.limits = BatchLimits(BATCH_COUNT, BATCH_BYTES, ordered=self._fifo)

    @override
    def weigh(self, event: Event) -> int:
        return weigh_text(event)

    @override
    def send(self, client: SNSClient, events: Sequence[Event]) -> Sequence[Outcome]:
        answer = client.publish_batch(
            TopicArn=self._topic,
            PublishBatchRequestEntries=[self._entry(number, event) for number, event in enumerate(events)],
        )
        return confirmed(
            events,
            [entry["Id"] for entry in answer.get("Successful", ()) if "Id" in entry],
            [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer.get("Failed", ())],
        )

    @override
    def probe(self, client: SNSClient) -> None:
        client.get_topic_attributes(TopicArn=self._topic)

    def _entry(self, number: int, event: Event) -> PublishBatchRequestEntryTypeDef:
        entry: PublishBatchRequestEntryTypeDef = {
            "Id": str(number),
            "Message": text(event),
            "MessageAttributes": {name: _attribute(value) for name, value in attributes_of(event).items()},
        }
        if self._fifo:
            entry["MessageGroupId"] = event.mailbox
            entry["MessageDeduplicationId"] = event.id
        return entry


def _attribute(value: str) -> MessageAttributeValueTypeDef:
    return {"DataType": "String", "StringValue": value}
