"""Whatever is in a message, its event is one that every sink can carry and every consumer can read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.adapters.sinks.signature import signature_headers
from ingest.domain.cloudevents import MAX_EVENT_ATTACHMENTS, event_of, make_event
from ingest.domain.events import MAX_EVENT_BYTES, EventType
from ingest.domain.keys import event_id
from ingest.domain.mail import Address, Automatic, Headers, MailEnvelope, Recipient, ReportedRecipient, Resent
from ingest.domain.manifest import (
    Attachment,
    Authentication,
    AuthenticationResult,
    Body,
    Document,
    MailboxRef,
    Manifest,
    NestedMessage,
    Parse,
    Reason,
)
from ingest.domain.record import ObjectRef
from ingest.mime.defects import Defect
from tests.support.processing import process
from tests.support.schemas import event_validator, manifest_validator
from tools.documents.event_schema import event_schema, manifest_schema

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

# Together with those of configurations more than ten thousand.
EXAMPLES = 950
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def long(most: int) -> st.SearchStrategy[str]:
    """Text of up to so many characters, as the parser hands it out: printable, which some of four bytes are too."""
    printable = st.characters(codec="utf-8", exclude_categories=["C", "Z"])
    return st.one_of(
        st.text(printable, max_size=min(most, 30)),
        st.text(st.sampled_from('"\\</script>\U0001f9fe'), max_size=min(most, 20)),
        st.sampled_from(['"', "\u20ac", "\U0001f9fe"]).map(lambda char: Long(char * most)),
    )


class Long(str):
    """Is shown in short."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self[0]!r} * {len(self)}"


text = long(998)
keys = long(250)
digests = st.sampled_from(["0" * 64, "f" * 64])
objects = st.builds(
    ObjectRef, bucket=long(63), key=keys, size=st.integers(0, 2**40), sha256=digests, etag=st.none() | long(64)
)
people = st.builds(Address, name=long(320), address=long(320))
addresses = st.one_of(st.lists(people, max_size=5), people.map(lambda one: [one] * 100))
moments = st.datetimes(timezones=st.just(UTC))
times = st.none() | moments
codes = st.lists(st.sampled_from([code.value for code in Defect]), max_size=9, unique=True)
WIDE = [Long(char * 998) for char in '"\u20ac\U0001f9fe']
someone = [Address(name=wide[:320], address=wide[:320]) for wide in WIDE]
nested = [
    NestedMessage(headers=Headers(subject=wide, to=[who] * 100), parts=["1.1"])
    for who, wide in zip(someone, WIDE, strict=True)
]
attachments = st.builds(
    Attachment,
    part=st.sampled_from(["1", "1.2", "2.1.1"]),
    filename=long(120),
    filename_original=st.none() | long(255),
    role=st.sampled_from(["attachment", "inline", "message", "signature"]),
    declared_type=long(100),
    detected_type=st.just("application/pdf"),
    size=st.integers(0, 2**40),
    sha256=digests,
    object=objects,
    defects=codes,
)


labels = st.one_of(
    st.dictionaries(st.sampled_from(["tenant", "company"]), long(256)),
    st.sampled_from(["\U0001f9fe", "\x01", '"']).map(lambda char: {f"l{n}": Long(char * 256) for n in range(32)}),
)
results = st.lists(
    st.builds(
        AuthenticationResult,
        method=st.sampled_from(["spf", "dkim"]),
        result=st.just("pass"),
        properties=st.dictionaries(st.sampled_from(["header.d", "header.s", "smtp.mailfrom"]), long(253)),
    ),
    max_size=3,
).map(lambda some: some * 10)
authentications = st.none() | st.builds(Authentication, authserv_id=st.none() | long(253), results=results)


def largest(wide: Long, who: Address) -> dict[str, Any]:
    """The largest values that the parser hands out, for the fields that few messages have."""
    rare = {
        "sender": who,
        "bcc": [who] * 100,
        "resent": Resent(from_=[who] * 100, to=[who] * 100, message_id=wide),
        "importance": "high",
        "precedence": wide,
        "list_unsubscribe": [wide] * 4,
        "thread_index": wide,
        "extra": {f"x-{number}": [wide] * 8 for number in range(32)},
    }
    recipient = Recipient(address=wide[:320], tag=wide[:300], fields=["received", "delivered-to"])
    reported = ReportedRecipient(address=wide[:320], action=wide[:500], diagnostic=wide[:500])
    return {
        "headers": Headers(message_id=wide, subject=wide, from_=[who] * 100, to=[who] * 100, **rare),
        "envelope": MailEnvelope(recipients=[recipient] * 20, return_path=wide[:320], trusted_by="trusted_hops"),
        "automatic": Automatic(
            kind="bounce",
            reasons=["delivery_status"],
            recipient=wide[:320],
            status="5.1.1",
            recipients=[reported] * 20,
            original_message_id=wide,
        ),
        "documents": [
            Document(
                kind="invoice", main=part, parts=[part], reasons=[Reason(code="type", part=part, fact=wide[:100])]
            )
            for part in ("1", "1.2")
        ],
    }


LARGEST = [largest(wide, who) for wide, who in zip(WIDE, someone, strict=True)]


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    files = draw(st.lists(attachments, max_size=6)) * draw(st.sampled_from([1, 1, 1, 10, 60]))
    return Manifest(
        message_key=draw(st.sampled_from(["0" * 32, "0123456789abcdef" * 2])),
        mailbox=MailboxRef(
            id=draw(st.sampled_from(["a", "a" * 64, "invoices.de-1_x"])),
            labels=draw(labels),
            unique_id=draw(st.sampled_from(["", "1", "\\xff" * 70])),
        ),
        received_at=draw(times),
        raw=draw(objects),
        headers=Headers(
            message_id=draw(st.none() | text),
            date=draw(times),
            subject=draw(st.none() | text),
            **{name: draw(addresses) for name in ("from_", "to", "cc", "reply_to")},
            in_reply_to=draw(st.none() | text),
            references=draw(st.lists(text, max_size=3).map(lambda some: some * 33)),
            auto_submitted=draw(st.none() | text),
            list_id=draw(st.none() | text),
        ),
        bodies=draw(
            st.lists(
                st.builds(
                    Body,
                    part=st.just("1.1"),
                    kind=st.sampled_from(["text", "html"]),
                    charset=long(40),
                    object=objects,
                ),
                max_size=3,
            )
        ),
        attachments=files,
        attachments_total=len(files),
        parse=Parse(status=draw(st.sampled_from(["complete", "partial"])), defects=draw(codes)),
        manifest=draw(keys),
        authentication=draw(authentications),
    )


def rules(examples: int) -> settings:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=slow)


@rules(EXAMPLES)
@given(manifest=manifests(), traceparent=st.sampled_from([None, TRACEPARENT]), now=moments, later=moments)
def test_every_manifest_and_its_event_are_valid_small_enough_and_repeatable(
    manifest: Manifest, traceparent: str | None, now: datetime, later: datetime
) -> None:
    """One test for three rules: making the manifests takes longer than checking them."""
    check_manifest(manifest)
    check_event(manifest, traceparent, now)
    check_repeat(manifest, now, later)


@pytest.mark.parametrize("values", LARGEST, ids=["quote", "euro", "receipt"])
@pytest.mark.parametrize("files", [0, 1, 60])
@given(manifest=manifests(), file=attachments)
@rules(5)
def test_largest_values_fit_too(values: dict[str, Any], files: int, manifest: Manifest, file: Attachment) -> None:
    number = LARGEST.index(values)
    wide = WIDE[number]
    more = {"message": nested[number], "location": wide, "description": wide}
    everything = manifest.model_copy(
        update={
            **values,
            "attachments": [file.model_copy(update=more)] * files,
            "attachments_total": files,
        }
    )
    check_manifest(everything)
    check_event(everything, TRACEPARENT, datetime(2026, 11, 23, tzinfo=UTC))


def distinct(value: Any) -> Any:
    """Leave out repeated items of lists; without rules on whole lists, a schema finds the same, ten times as fast."""
    if isinstance(value, dict):
        return {key: distinct(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    return [distinct(json.loads(item)) for item in dict.fromkeys(json.dumps(item, sort_keys=True) for item in value)]


@pytest.mark.parametrize("schema", [event_schema, manifest_schema])
def test_no_schema_has_a_rule_on_whole_lists(schema: Callable[[], object]) -> None:
    """Otherwise the properties here must not leave out repeated items."""
    rules = ("maxItems", "minItems", "uniqueItems", "contains", "prefixItems")
    assert not [rule for rule in rules if f'"{rule}"' in json.dumps(schema())]


def check_event(manifest: Manifest, traceparent: str | None, now: datetime) -> None:
    event = make_event(EventType.RECEIVED, manifest, now, traceparent)
    assert len(event.body) <= MAX_EVENT_BYTES
    written = json.loads(event.body)
    event_validator().validate(distinct(written))
    assert written["id"] == event.id == event_id(EventType.RECEIVED, manifest.message_key)
    assert b"\n" not in event.body, "it has to be a line of a file"
    assert len(written["data"]["attachments"]) <= MAX_EVENT_ATTACHMENTS
    left_out = len(written["data"]["attachments"]) < len(manifest.attachments)
    assert written["data"]["attachments_truncated"] is left_out
    assert written["data"]["attachments_total"] == len(manifest.attachments)
    signature_headers(b"k" * 32, event.id, 1, event.body)


def check_manifest(manifest: Manifest) -> None:
    data = manifest.to_json()
    manifest_validator().validate(distinct(json.loads(data)))
    assert Manifest.model_validate_json(data).to_json() == data


def check_repeat(manifest: Manifest, first: datetime, then: datetime) -> None:
    """A repeat is the same but for its time."""
    one, other = (event_of(Manifest.model_validate_json(manifest.to_json()), at) for at in (first, then))
    assert one.id == other.id
    assert json.loads(one.body)["data"] == json.loads(other.body)["data"]


PART = b'--b\r\nContent-Disposition: attachment; filename="\xed\xa0\x80\x01"\r\n\r\nx\r\n'
lines = st.one_of(
    st.sampled_from(
        [
            b"From: \xff\xfe <a@\x00b>\r\n",
            b"Subject: =?utf-8?b?7aCA?=\r\n",
            b"Subject: =?utf-16?q?=D8=00?=\r\n",
            b"Message-ID: <" + b"x" * 9000 + b">\r\n",
            b"To: " + b"a@b.example, " * 3000 + b"c@d.example\r\n",
            b"Date: Fri, 31 Feb 99999 99:99:99 +9999\r\n",
            b'Content-Type: multipart/mixed; boundary="b"\r\n',
            b"Content-Disposition: attachment; filename*=utf-8''%ED%A0%80.pdf\r\n",
            b"References: " + b"<r@example.org> " * 2000 + b"\r\n",
        ]
    ),
    st.binary(max_size=60).map(lambda line: b"X: " + line + b"\r\n"),
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.integers(1, 80).map(lambda count: PART * count),
)


@rules(EXAMPLES)
@given(head=st.lists(lines, max_size=8), body=bodies)
def test_hostile_mail_becomes_such_an_event(head: list[bytes], body: bytes) -> None:
    manifest = process(b"".join(head) + b"\r\n" + body).manifest
    event = event_of(manifest, datetime(2026, 11, 23, tzinfo=UTC))
    written: dict[str, Any] = json.loads(event.body)
    assert len(event.body) <= MAX_EVENT_BYTES
    event_validator().validate(distinct(written))
    manifest_validator().validate(distinct(json.loads(manifest.to_json())))
