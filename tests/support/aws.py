"""SQS, SNS and EventBridge: moto's server on loopback, and a server whose answers are scripted."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import parse_qsl

import boto3
import pytest

from ingest.adapters.sinks.aws import Keys
from tests.support.http import Answer, Receiver
from tests.support.servers import free_port, undone_on_failure
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from types_boto3_events import EventBridgeClient
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

    from tests.support.http import Request

REGION = "eu-central-1"
KEYS = Keys("mailhaul", "secret-of-the-tests")


@dataclass
class MotoServer:
    """Moto as a process of its own, in a `with` block, on a port of 127.0.0.1."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sqs(self) -> SQSClient:
        """A client of moto for the tests; the caller closes it."""
        return cast("SQSClient", self._client("sqs"))

    @property
    def sns(self) -> SNSClient:
        """See `sqs`."""
        return cast("SNSClient", self._client("sns"))

    @property
    def events(self) -> EventBridgeClient:
        """See `sqs`."""
        return cast("EventBridgeClient", self._client("events"))

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        with undone_on_failure(self._stop):
            eventually(self._answers, lambda: self._log.read_text()[-2000:])
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def _log(self) -> Path:
        return self.folder / "moto.log"

    def _client(self, service: str) -> object:
        make = cast("Callable[..., object]", boto3.session.Session().client)
        return make(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=KEYS.access_key,
            aws_secret_access_key=KEYS.secret_key,
        )

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"moto ended by itself: {self._log.read_text()[-2000:]}"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status > 0
        except OSError:
            return False
        finally:
            connection.close()

    def _stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    """One server for all tests of a session."""
    with MotoServer(tmp_path_factory.mktemp("moto")) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Fault:
    """The error that the scripted server returns for one entry instead of accepting it."""

    code: str
    senders: bool = False


class ScriptedAws:
    """Accepts batches as the real services do, and returns the errors that a test sets for entries or requests.

    Attributes:
        receiver: the HTTP server.
        says: called with the id of each event in a batch; None accepts it.
        fails: called with the ids of a batch; returns an answer to the request as a whole, or None.
        batches: the ids of the events of each batch, accepted or not.
        taken: the ids of all accepted events, in order.
        entries: every entry of every request, as received.
    """

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        receiver.answer = self._answer
        self.forget()

    def forget(self) -> None:
        """Forget all requests."""
        self.says: Callable[[str], Fault | None] = lambda _: None
        self.fails: Callable[[Sequence[str]], Answer | None] = lambda _: None
        self.batches: list[list[str]] = []
        self.taken: list[str] = []
        self.entries: list[dict[str, Any]] = []

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return self.receiver.url.partition("/hooks")[0]

    def _answer(self, request: Request) -> Answer:
        action = request.headers.get("x-amz-target", "").rpartition(".")[2]
        if action == "DescribeEventBus":
            return _json({"Name": "default", "Arn": "arn:aws:events:eu-central-1:1:event-bus/default"})
        entries = _form_entries(request.body) if not action else json.loads(request.body)["Entries"]
        self.entries += entries
        ids = [json.loads(_body(entry))["id"] for entry in entries]
        self.batches.append(ids)
        if (failure := self.fails(ids)) is not None:
            return failure
        said = [self.says(name) for name in ids]
        self.taken += [name for name, fault in zip(ids, said, strict=True) if fault is None]
        return _answer_to(action, entries, said)


def error_answer(code: str, status: int = 400) -> Answer:
    """The answer of SQS and EventBridge to a request that failed as a whole."""
    body = json.dumps({"__type": f"com.amazonaws#{code}", "message": "text that must go nowhere"}).encode()
    return Answer(status, {"content-type": "application/x-amz-json-1.0"}, body)


def sns_error_answer(code: str, status: int = 400) -> Answer:
    """The answer of SNS to such a request."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>text that must go nowhere</Message></Error>"
    return Answer(status, {"content-type": "text/xml"}, f"<ErrorResponse>{error}</ErrorResponse>".encode())


def _body(entry: dict[str, Any]) -> str:
    text: str = entry.get("MessageBody") or entry.get("Message") or entry["Detail"]
    return text


def _form_entries(body: bytes) -> list[dict[str, Any]]:
    """The entries of a request in Amazon's older form: `PublishBatchRequestEntries.member.1.Message=...`."""
    entries: dict[str, dict[str, Any]] = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        steps = name.split(".", 3)
        if steps[0] == "PublishBatchRequestEntries":
            entries.setdefault(steps[2], {})[steps[3]] = value
    return list(entries.values())


def _answer_to(action: str, entries: Sequence[dict[str, Any]], said: Sequence[Fault | None]) -> Answer:
    if action == "PutEvents":
        rows = [{"EventId": "x"} if fault is None else {"ErrorCode": fault.code} for fault in said]
        return _json({"FailedEntryCount": sum(fault is not None for fault in said), "Entries": rows})
    pairs = list(zip(entries, said, strict=True))
    if action:
        good = [{"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": ""} for entry, fault in pairs if not fault]
        bad = [
            {"Id": entry["Id"], "Code": fault.code, "SenderFault": fault.senders} for entry, fault in pairs if fault
        ]
        return _json({"Successful": good, "Failed": bad})
    good_xml = "".join(f"<member><Id>{entry['Id']}</Id></member>" for entry, fault in pairs if not fault)
    bad_xml = "".join(
        f"<member><Id>{entry['Id']}</Id><Code>{fault.code}</Code>"
        f"<SenderFault>{str(fault.senders).lower()}</SenderFault></member>"
        for entry, fault in pairs
        if fault
    )
    result = f"<Successful>{good_xml}</Successful><Failed>{bad_xml}</Failed>"
    xml = f"<PublishBatchResponse><PublishBatchResult>{result}</PublishBatchResult></PublishBatchResponse>"
    return Answer(200, {"content-type": "text/xml"}, xml.encode())


def _json(value: object) -> Answer:
    return Answer(200, {"content-type": "application/x-amz-json-1.0"}, json.dumps(value).encode())
