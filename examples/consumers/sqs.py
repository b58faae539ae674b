"""Consumes a queue of SQS: python sqs.py https://sqs.eu-central-1.amazonaws.com/1/mail inbox.db (needs boto3)."""

import json
import sys

import boto3
from inbox import Inbox


def consume(queue: str, inbox: Inbox) -> None:
    """Take messages for as long as the process lives. What it dies over comes again after the visibility timeout."""
    sqs = boto3.client("sqs")
    while True:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in answer.get("Messages", []):
            inbox.take(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    consume(sys.argv[1], Inbox(sys.argv[2]))
