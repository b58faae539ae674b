"""An event is a CloudEvent that every sink can carry, and a repeat has the same id."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.domain.cloudevents import MAX_EVENT_ATTACHMENTS, event_of, make_event
from ingest.domain.events import MAX_EVENT_BYTES, Event, EventType, traceparent_of
from ingest.domain.invoice import Invoice, InvoiceFields
from ingest.domain.mail import Address, Headers
from ingest.domain.manifest import Attachment, MailboxRef, Manifest, Parse, Update
from ingest.domain.record import ObjectRef

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


REF = ObjectRef(bucket="b", key="k", size=1, sha256="00")


def manifest(attachments: int = 0, name: str = "invoice.pdf", **headers: Any) -> Manifest:
    return Manifest(
        message_key="0" * 32,
        mailbox=MailboxRef(id="invoices-de", labels={"tenant": "de"}, unique_id="42"),
        raw=REF,
        headers=Headers(**headers),
        attachments=[
            Attachment(
                part=str(part + 2),
                filename=name,
                role="attachment",
                declared_type="application/pdf",
                detected_type="application/pdf",
                size=1,
                sha256="00",
                object=REF,
            )
            for part in range(attachments)
        ],
        attachments_total=attachments,
        parse=Parse(status="complete"),
        manifest="de/message.json",
    )


def data_of(made: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(made)["data"]
    return data


def test_the_envelope_is_cloudevents_and_the_data_is_the_manifest() -> None:
    event = make_event(EventType.RECEIVED, manifest(2), AT)
    body = json.loads(event.body)
    assert {key: body[key] for key in ("specversion", "type", "source", "subject", "time", "id")} == {
        "specversion": "1.0",
        "type": "dev.mailhaul.message.received.v1",
        "source": "/mailboxes/invoices-de",
        "subject": "0" * 32,
        "time": "2026-11-23T08:00:00Z",
        "id": event.id,
    }
    assert Manifest.model_validate(body["data"]) == manifest(2)


def test_event_id_follows_from_type_and_message() -> None:
    first, again = make_event(EventType.RECEIVED, manifest(), AT), make_event(EventType.RECEIVED, manifest(1), LATER)
    assert first.id == again.id
    assert make_event(EventType.FAILED, manifest(), AT).id != first.id


def test_event_carries_the_first_32_attachments_and_is_marked_truncated() -> None:
    data = data_of(make_event(EventType.RECEIVED, manifest(40), AT).body)
    assert len(data["attachments"]) == MAX_EVENT_ATTACHMENTS
    assert data["attachments_truncated"]
    assert data["attachments_total"] == 40
    assert data["manifest"] == "de/message.json"


def test_event_fits_the_sink_with_the_smallest_limit() -> None:
    crowd = [Address(name="ü" * 80, address="someone@example.org")] * 500
    for made in (manifest(32, name="ä" * 2000), manifest(3, to=crowd, cc=crowd)):
        event = make_event(EventType.RECEIVED, made, AT)
        assert len(event.body) <= MAX_EVENT_BYTES
        assert data_of(event.body)["message_key"] == "0" * 32


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_traced_event_names_its_trace_and_is_otherwise_the_same() -> None:
    plain, traced = (make_event(EventType.RECEIVED, manifest(2), AT, trace) for trace in (None, TRACEPARENT))
    assert (traceparent_of(plain), traceparent_of(traced)) == (None, TRACEPARENT)
    body = json.loads(traced.body)
    assert body.pop("traceparent") == TRACEPARENT
    assert body == json.loads(plain.body)
    assert traced.id == plain.id


def test_truncation_does_not_depend_on_the_traceparent() -> None:
    carried = set()
    for size in range(MAX_EVENT_BYTES - 2_000, MAX_EVENT_BYTES, 20):
        made = manifest(1, name="a" * size)
        plain, traced = (make_event(EventType.RECEIVED, made, AT, trace) for trace in (None, TRACEPARENT))
        assert len(traced.body) <= MAX_EVENT_BYTES
        assert data_of(traced.body) == data_of(plain.body)
        carried.add(len(data_of(plain.body)["attachments"]))
    assert carried == {0, 1}


def test_json_of_the_manifest_need_not_be_made_again() -> None:
    whole = manifest(MAX_EVENT_ATTACHMENTS, subject="\N{LATIN SMALL LETTER U WITH DIAERESIS}")
    for trace in (None, "00-1-2-01"):
        assert event_of(whole, AT, trace, whole.to_json()) == event_of(whole, AT, trace)
    assert b'"data":"just written"}' in event_of(whole, AT, None, b'"just written"').body


@pytest.mark.parametrize(
    "cut",
    [
        manifest(MAX_EVENT_ATTACHMENTS + 1),
        manifest(30, name="n" * 3000),
        manifest().model_copy(
            update={"update": Update(number=1, at=AT, superseded=[manifest(1).attachments[0].object])}
        ),
        manifest().model_copy(
            update={
                "attachments": [
                    manifest(1)
                    .attachments[0]
                    .model_copy(
                        update={"invoice": Invoice(format="ubl", confidence="certain", fields=InvoiceFields())}
                    )
                ]
            }
        ),
    ],
    ids=["many attachments", "too large", "updated", "fields of an invoice"],
)
def test_json_of_a_manifest_is_not_used_for_an_event_with_less(cut: Manifest) -> None:
    assert event_of(cut, AT, None, cut.to_json()) == event_of(cut, AT)


def test_foreign_event_has_no_traceparent() -> None:
    for body in (b"no json", b"[]", b'{"traceparent":5}'):
        assert traceparent_of(Event("e", "t", "box", body)) is None


def test_fields_of_a_large_event_are_left_out_in_order() -> None:
    """As much as fits: attachments go first, then recipients, then all authors but one, and labels last."""

    def people(count: int) -> list[Address]:
        return [Address(name="\U0001f9fe" * 320, address="\U0001f9fe" * 320)] * count

    def carried(labels: dict[str, str], **headers: Any) -> tuple[int, int, int, int]:
        made = manifest(2, to=people(1), **headers)
        made = made.model_copy(update={"mailbox": MailboxRef(id="a", labels=labels, unique_id="")})
        event = make_event(EventType.RECEIVED, made, AT)
        assert len(event.body) <= MAX_EVENT_BYTES
        data = data_of(event.body)
        assert data["headers"]["subject"] == "s"
        found = data["headers"]
        return len(data["attachments"]), len(found["to"]), len(found["from"]), len(data["mailbox"]["labels"])

    assert carried({"tenant": "de"}, subject="s", from_=people(1)) == (2, 1, 1, 1)
    assert carried({"tenant": "de"}, subject="s", from_=people(1), cc=people(30)) == (0, 0, 1, 1)
    assert carried({"tenant": "de"}, subject="s", from_=people(100)) == (0, 0, 1, 1)
    assert carried({"tenant": "\x01" * 11_000}, subject="s", from_=people(100)) == (0, 0, 1, 0)
