"""SQS, SNS and EventBridge: what goes into a request, what each answer means, and what is printed."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.sinks.aws import Access, Keys
from ingest.adapters.sinks.eventbridge import eventbridge_sink
from ingest.adapters.sinks.sns import sns_sink
from ingest.adapters.sinks.sqs import Sqs, sqs_sink
from ingest.domain.events import MAX_EVENT_BYTES, Event
from ingest.errors import ConfigError, SinkUnavailableError
from ingest.ports.sink import Outcome, Verdict
from tests.support.aws import KEYS, REGION, Fault, ScriptedAws, error_answer, sns_error_answer
from tests.support.http import Answer, Receiver, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ingest.ports.sink import Sink
    from tests.support.aws import MotoServer

DELIVERED = Outcome(Verdict.DELIVERED)
SERVICES = ("sqs", "sqs-fifo", "sns", "sns-fifo", "eventbridge")


def refused(reason: str) -> Outcome:
    return Outcome(Verdict.REJECTED, reason)


def away(reason: str) -> Outcome:
    return Outcome(Verdict.UNAVAILABLE, reason)


@dataclass
class Scripted:
    """A sink of one service, at a server whose answers are scripted."""

    kind: str
    aws: ScriptedAws
    sink: Sink

    def fail(self, code: str, status: int = 400) -> None:
        self.fail_with(sns_error_answer(code, status) if self.kind.startswith("sns") else error_answer(code, status))

    def fail_with(self, answer: Answer) -> None:
        self.aws.fails = lambda _: answer


def open_sink(kind: str, endpoint: str, keys: Callable[[], Keys | None], monotonic: Callable[[], float]) -> Sink:
    end = ".fifo" if kind.endswith("-fifo") else ""
    access = Access(REGION, endpoint, keys, attempts=1)
    if kind.startswith("sqs"):
        return sqs_sink("sink", f"{endpoint}/1/mail{end}", region=REGION, keys=keys, attempts=1)
    if kind.startswith("sns"):
        return sns_sink("sink", f"arn:aws:sns:{REGION}:1:mail{end}", access)
    return eventbridge_sink("sink", "mail", access, monotonic)


@pytest.fixture(params=SERVICES, scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Scripted]:
    """For all tests, because it takes boto3 a while to make a client."""
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        with closing(open_sink(request.param, aws.endpoint, lambda: KEYS, lambda: 1000.0)) as sink:
            yield Scripted(request.param, aws, sink)


@pytest.fixture
def scripted(server: Scripted) -> Scripted:
    server.aws.forget()
    return server


def large(name: str, size: int, mailbox: str = "a") -> Event:
    head, tail = b'{"id":"' + name.encode() + b'","x":"', b'"}'
    return Event(name, "t", mailbox, head + b"x" * (size - len(head) - len(tail)) + tail)


# --- what is sent ------------------------------------------------------------------------------------------------


def test_batch_holds_at_most_ten_events(scripted: Scripted) -> None:
    events = [event(f"e{n}", mailbox=f"box{n}") for n in range(25)]
    assert scripted.sink.deliver(events) == [DELIVERED] * 25
    assert [len(batch) for batch in scripted.aws.batches] == [10, 10, 5]


def test_batch_holds_at_most_256_kib_with_attributes(scripted: Scripted) -> None:
    events = [large(f"e{n}", MAX_EVENT_BYTES, f"box{n}") for n in range(9)]
    assert scripted.sink.deliver(events) == [DELIVERED] * 9
    assert [len(batch) for batch in scripted.aws.batches] == [4, 4, 1]


def test_oversized_event_is_rejected_unsent_and_delays_no_other(scripted: Scripted) -> None:
    events = [event("e1"), large("e2", 256 * 1024), event("e3")]
    assert scripted.sink.deliver(events) == [DELIVERED, refused("too_large"), DELIVERED]
    assert scripted.aws.taken == ["e1", "e3"]


def test_fifo_sends_one_event_per_mailbox_in_a_batch() -> None:
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        with closing(open_sink("sqs-fifo", aws.endpoint, lambda: KEYS, float)) as sink:
            sink.deliver([event(f"{mailbox}{n}", mailbox) for n in range(2) for mailbox in "abc"])
        assert aws.batches == [["a0", "b0", "c0"], ["a1", "b1", "c1"]]
        assert [entry["MessageGroupId"] for entry in aws.entries] == [*"abcabc"]
        assert [entry["MessageDeduplicationId"] for entry in aws.entries] == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_fifo_topic_gets_group_and_deduplication_id() -> None:
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        with closing(open_sink("sns-fifo", aws.endpoint, lambda: KEYS, float)) as sink:
            sink.deliver([event("e1", "box")])
        (entry,) = aws.entries
        assert (entry["MessageGroupId"], entry["MessageDeduplicationId"]) == ("box", "e1")


@pytest.mark.parametrize("kind", ["sqs", "sns"])
def test_standard_queues_and_topics_get_attributes_and_no_group(kind: str) -> None:
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        with closing(open_sink(kind, aws.endpoint, lambda: KEYS, float)) as sink:
            sink.deliver([event("e1", "box"), event("e2", "box")])
        assert aws.batches == [["e1", "e2"]], "in one request, although they are of one mailbox"
        written = json.dumps(aws.entries)
        assert "MessageGroupId" not in written
        assert "MessageDeduplicationId" not in written
        assert '"box"' in written
        assert '"t"' in written


def test_bus_entry_has_type_and_whole_event() -> None:
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        with closing(open_sink("eventbridge", aws.endpoint, lambda: KEYS, float)) as sink:
            sink.deliver([event("e1")])
        assert aws.entries == [
            {
                "EventBusName": "mail",
                "Source": "dev.mailhaul",
                "DetailType": "t",
                "Detail": event("e1").body.decode(),
            }
        ]


@pytest.mark.parametrize("kind", ["sqs", "sns"])
def test_characters_invalid_in_xml_are_escaped_equivalently(kind: str) -> None:
    text = "a\uffffb\ufffec\x00\U0001f600"
    body = json.dumps({"id": "e1", "x": text}, ensure_ascii=False).encode()
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        with closing(open_sink(kind, aws.endpoint, lambda: KEYS, float)) as sink:
            assert sink.deliver([Event("e1", "t", "a", body)]) == [DELIVERED]
        (entry,) = aws.entries
        sent = entry.get("MessageBody") or entry["Message"]
        assert json.loads(sent)["x"] == text
        assert not set(sent) & {"\uffff", "\ufffe"}


# --- what is answered --------------------------------------------------------------------------------------------

ENTRIES = [
    (Fault("InvalidMessageContents", senders=True), Verdict.REJECTED),
    (Fault("InvalidParameterValue", senders=True), Verdict.REJECTED),
    (Fault("MalformedDetail"), Verdict.REJECTED),
    (Fault("InvalidArgument"), Verdict.REJECTED),
    (Fault("RedactionFailure"), Verdict.REJECTED),
    (Fault("ThrottlingException"), Verdict.UNAVAILABLE),
    (Fault("RequestThrottled", senders=True), Verdict.UNAVAILABLE),
    (Fault("InternalFailure"), Verdict.UNAVAILABLE),
    (Fault("ServiceUnavailable"), Verdict.UNAVAILABLE),
    (Fault("AccessDeniedException", senders=True), Verdict.UNAVAILABLE),
    (Fault("NotAuthorizedForSourceException"), Verdict.UNAVAILABLE),
    (Fault("KMS.DisabledException", senders=True), Verdict.UNAVAILABLE),
    (Fault("SomethingNew"), Verdict.UNAVAILABLE),
]
# Codes that are reported in words other than their own.
REASONS = {"KMS.DisabledException": "KmsDisabled", "KMS.NotFoundException": "KmsNotFound"}


@pytest.mark.parametrize(("fault", "verdict"), ENTRIES, ids=lambda value: getattr(value, "code", None))
def test_each_entry_of_a_batch_gets_its_own_verdict(scripted: Scripted, fault: Fault, verdict: Verdict) -> None:
    scripted.aws.says = lambda name: fault if name == "bad" else None
    outcomes = scripted.sink.deliver([event("good", "a"), event("bad", "b"), event("fine", "c")])
    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED, verdict, Verdict.DELIVERED]
    assert outcomes[1].reason == REASONS.get(fault.code, fault.code.removesuffix("Exception"))


@pytest.mark.parametrize("kind", ["sqs", "sns"])
def test_unknown_code_with_senders_fault_rejects_one_event(kind: str) -> None:
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        aws.says = lambda name: Fault("Some New: code?", senders=True) if name == "bad" else None
        with closing(open_sink(kind, aws.endpoint, lambda: KEYS, float)) as sink:
            assert sink.deliver([event("bad"), event("good")]) == [refused("Some_New__code_"), DELIVERED]


def test_unmentioned_entry_is_sent_again(scripted: Scripted) -> None:
    bodies = {
        "sqs": b'{"Successful":[],"Failed":[]}',
        "sns": b"<PublishBatchResponse><PublishBatchResult/></PublishBatchResponse>",
        "eventbridge": b'{"FailedEntryCount":0,"Entries":[]}',
    }
    body = bodies[scripted.kind.removesuffix("-fifo")]
    scripted.aws.fails = lambda _: Answer(200, {}, body)
    assert scripted.sink.deliver([event("e1", "a"), event("e2", "b")]) == [away("unconfirmed")] * 2


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
        ("AccessDeniedException", 400),
        ("InvalidClientTokenId", 403),
        ("ExpiredToken", 403),
        ("KMS.NotFoundException", 400),
        ("SomethingNew", 400),
    ],
)
def test_failed_request_stops_the_delivery_after_one_try(scripted: Scripted, code: str, status: int) -> None:
    scripted.fail(code, status)
    outcomes = scripted.sink.deliver([event(f"e{n}", f"box{n}") for n in range(30)])
    assert set(outcomes) == {away(outcomes[0].reason)}
    assert outcomes[0].reason == REASONS.get(code, code.removesuffix("Exception"))
    assert len(scripted.aws.batches) == 1


@pytest.mark.parametrize("code", ["InvalidParameterValue", "InvalidMessageContents", "ValidationException"])
def test_refused_batch_is_sent_event_by_event(scripted: Scripted, code: str) -> None:
    scripted.fail(code)
    answer = scripted.aws.fails
    scripted.aws.fails = lambda ids: answer(ids) if "bad" in ids else None
    events = [event("e1", "a"), event("bad", "b"), event("e3", "c"), event("e4", "b")]
    reason = code.removesuffix("Exception")
    assert scripted.sink.deliver(events) == [DELIVERED, refused(reason), DELIVERED, DELIVERED]
    assert sorted(scripted.aws.taken) == ["e1", "e3", "e4"]


def test_service_may_become_unavailable_during_single_sends(scripted: Scripted) -> None:
    spoilt = sns_error_answer if scripted.kind.startswith("sns") else error_answer

    def fails(ids: Sequence[str]) -> Answer | None:
        if len(ids) > 1:
            return spoilt("InvalidParameterValue")
        return None if ids == ["e1"] else spoilt("InternalError", 500)

    scripted.aws.fails = fails
    outcomes = scripted.sink.deliver([event("e1", "a"), event("e2", "b"), event("e3", "c")])
    assert outcomes == [DELIVERED, away("InternalError"), away("InternalError")]
    assert scripted.aws.batches == [["e1", "e2", "e3"], ["e1"], ["e2"]]


def test_foreign_answers_make_the_sink_unavailable(scripted: Scripted) -> None:
    for raw in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot json!"):
        scripted.fail_with(Answer(raw=raw))
        (outcome,) = scripted.sink.deliver([event("e1")])
        assert outcome.verdict is Verdict.UNAVAILABLE
        assert outcome.reason


# --- what is printed ---------------------------------------------------------------------------------------------


def missing(kind: str, moto: MotoServer) -> Sink:
    """At a queue, topic or bus that does not exist."""
    access = Access(REGION, moto.endpoint, lambda: KEYS, attempts=1)
    if kind == "sqs":
        return sqs_sink("sink", f"{moto.endpoint}/123456789012/none", region=REGION, keys=lambda: KEYS, attempts=1)
    if kind == "sns":
        return sns_sink("sink", f"arn:aws:sns:{REGION}:123456789012:none", access)
    return eventbridge_sink("sink", "none", access, float)


@pytest.mark.parametrize("kind", ["sqs", "sns", "eventbridge"])
def test_missing_destination_is_reported_by_check_and_makes_the_sink_unavailable(
    kind: str, moto_server: MotoServer
) -> None:
    with closing(missing(kind, moto_server)) as sink:
        with pytest.raises(SinkUnavailableError, match="create it"):
            sink.check()
        (outcome,) = sink.deliver([event("e1")])
        assert outcome.verdict is Verdict.UNAVAILABLE


def test_queue_for_small_messages_is_reported_before_an_event_is_lost_in_it(
    moto_server: MotoServer,
) -> None:
    with closing(moto_server.sqs) as client:
        url = client.create_queue(QueueName="small", Attributes={"MaximumMessageSize": "8192"})["QueueUrl"]
    with (
        closing(sqs_sink("sink", url, region=REGION, keys=lambda: KEYS)) as sink,
        pytest.raises(SinkUnavailableError, match="MaximumMessageSize"),
    ):
        sink.check()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDenied", "allow sqs:SendMessage and sqs:GetQueueAttributes"),
        ("InvalidClientTokenId", "access_key"),
        ("ThrottlingException", "Throttling"),
        ("InvalidParameterValue", "correct the name"),
    ],
)
def test_check_names_the_remedy_and_quotes_nothing(code: str, words: str) -> None:
    with Receiver() as receiver:
        receiver.answer = lambda _: error_answer(code)
        with (
            closing(open_sink("sqs", receiver.url.partition("/hooks")[0], lambda: KEYS, float)) as sink,
            pytest.raises(SinkUnavailableError, match=words) as raised,
        ):
            sink.check()
    assert "nowhere" not in str(raised.value)


def test_new_keys_sign_the_next_batch_and_missing_ones_make_the_sink_unavailable() -> None:
    found = [Keys("first", "s"), Keys("second", "s")]

    def keys() -> Keys:
        if not found:
            raise ConfigError(["env:KEY: there is no secret; set the environment variable KEY"])
        return found.pop(0)

    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        with closing(open_sink("sqs", aws.endpoint, keys, float)) as sink:
            sink.deliver([event("e1")])
            sink.deliver([event("e2")])
            with pytest.raises(SinkUnavailableError, match="env:KEY"):
                sink.deliver([event("e3")])
        signed = [request.headers["authorization"] for request in receiver.requests]
    assert ["first" in signed[0], "second" in signed[1]] == [True, True]
    assert len(signed) == 2


def test_missing_credentials_and_region_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with closing(sns_sink("sink", f"arn:aws:sns:{REGION}:1:mail", Access(endpoint="http://127.0.0.1:9"))) as sink:
        assert sink.deliver([event("e1")]) == [away("no_credentials")]
        with pytest.raises(SinkUnavailableError, match="access_key"):
            sink.check()
    with closing(eventbridge_sink("sink", "default", Access(), float)) as sink:
        assert sink.deliver([event("e1")]) == [away("no_region")]
        with pytest.raises(SinkUnavailableError, match="`region`"):
            sink.check()


@pytest.mark.parametrize("endpoint", ["nowhere", "http://"])
def test_endpoint_that_is_no_url_is_reported(endpoint: str) -> None:
    access = Access(REGION, endpoint, lambda: Keys("id", "secret"), attempts=1)
    with closing(sns_sink("sink", f"arn:aws:sns:{REGION}:1:mail", access)) as sink:
        assert sink.deliver([event("e1")]) == [away("invalid_address")]
        with pytest.raises(SinkUnavailableError, match="endpoint or the region"):
            sink.check()


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-central-1.amazonaws.com/1/mail", "eu-central-1"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/1/mail", "us-gov-west-1"),
        ("https://vpce-0a-1b.sqs.ap-southeast-2.vpce.amazonaws.com/1/mail", "ap-southeast-2"),
        ("https://eu-west-1.queue.amazonaws.com/1/mail", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/mail", "cn-north-1"),
        ("https://queue.example.org/1/mail", None),
    ],
)
def test_queues_address_names_its_region(url: str, region: str | None) -> None:
    assert Sqs(url).region == region


def test_bus_is_looked_up_once_a_minute() -> None:
    with Receiver() as receiver:
        aws = ScriptedAws(receiver)
        now = [0.0]
        with closing(open_sink("eventbridge", aws.endpoint, lambda: KEYS, lambda: now[0])) as sink:
            for seconds in (0, 30, 59, 61, 90):
                now[0] = seconds
                sink.deliver([event("e1")])
        targets = [request.headers["x-amz-target"].rpartition(".")[2] for request in receiver.requests]
    assert (
        targets == ["DescribeEventBus", "PutEvents", "PutEvents", "PutEvents", "DescribeEventBus"] + ["PutEvents"] * 2
    )
