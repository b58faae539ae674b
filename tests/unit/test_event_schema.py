"""Whatever is published, or stored as a manifest, is what its schema says; and what is not, is found out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest.adapters.dkim.keys import PublishedKeys
from ingest.demo.mails import KINDS, sample
from ingest.domain.cloudevents import MAX_EVENT_ATTACHMENTS, event_of, make_event
from ingest.domain.events import EventType
from ingest.domain.mailbox import Limits
from ingest.domain.retry import MESSAGE_TRIES
from ingest.mime.envelope import Trust
from ingest.testing.scanner import MemoryScanner
from ingest.usecases.process.authentication import Authenticator
from ingest.usecases.process.scanning import Scanning
from tests.support.bench import bench, mail, mailbox, never
from tests.support.clamav import SIGNATURE, VIRUS
from tests.support.dkim import NAME, record, signed
from tests.support.processing import process
from tests.support.schemas import event_validator, manifest_validator
from tools.documents.event_schema import KINDS as EVENT_KINDS
from tools.documents.event_schema import event_schema, manifest_schema

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN = sorted((Path(__file__).parents[1] / "corpus").rglob("*.eml"))
SHARED = sorted((Path(__file__).parents[3] / "shared" / "corpus").rglob("*.eml"))

Json = dict[str, Any]


def check(raw: bytes, **how: Any) -> Json:
    """Process a mail and check its manifest, and its event with and without a trace; the event's data."""
    manifest = process(raw, **how).manifest
    manifest_validator().validate(json.loads(manifest.to_json()))
    for traceparent in (None, TRACEPARENT):
        event = json.loads(event_of(manifest, AT, traceparent).body)
        assert event.get("traceparent") == traceparent
        event_validator().validate(event)
    data: Json = event["data"]
    return data


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_events_of_each_mail_of_the_corpus_fit(path: Path) -> None:
    assert check(path.read_bytes())["message_key"]


@pytest.mark.skipif(not SHARED, reason="the shared corpus is not here")
@pytest.mark.slow
def test_events_of_mail_that_others_collected_fit() -> None:
    for path in SHARED:
        assert check(path.read_bytes())["message_key"]


@pytest.mark.parametrize("kind", KINDS)
def test_events_of_the_demonstration_fit(kind: str) -> None:
    for index, known in enumerate(KINDS):
        if known == kind:
            assert check(sample(index, "invoices").raw)["message_key"]


def test_verdicts_and_scans_fit() -> None:
    results = b"Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=example.com; dkim=none\r\n"
    authenticator = Authenticator(lambda _: Trust("mx.example.org"), PublishedKeys({NAME: record()}.get), 2**20)
    assert check(results + signed(), authenticator=authenticator)["authentication"]["dkim_verified"]["signatures"]

    scanning = Scanning(MemoryScanner({VIRUS: SIGNATURE}))
    assert check(mail("s", attachment=VIRUS), scanning=scanning)["scan"]["infected"] == 1


def test_the_event_of_an_oversize_message_fits() -> None:
    with bench(mailbox("a", limits=Limits(message_bytes=500), labels={"tenant": "de"})) as b:
        b.maildrops["a"].messages[b"u1"] = mail("big", "x" * 1000)
        b.everything()
        (event,) = b.published()
        assert event["type"] == EventType.OVERSIZE
        event_validator().validate(event)
        (key,) = b.keys("message.json")
        manifest_validator().validate(json.loads(b.store.objects[key].content))


def test_the_event_of_a_failed_message_fits() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u1"] = mail("1")
        b.poll_all()
        for _ in range(MESSAGE_TRIES + 1):  # workers that die with it
            (claim,) = b.ledger.messages.claim(1, 60)
            b.ledger.begin(claim)
            b.clock.time += 61
        b.process_stage.run(never)
        b.relay_stage.run(never)
        (event,) = b.published()
        assert event["type"] == EventType.FAILED
        event_validator().validate(event)


def test_an_event_that_leaves_attachments_out_fits() -> None:
    part = b'--b\r\nContent-Type: application/pdf; name="%d.pdf"\r\n\r\n%%PDF\r\n'
    parts = b"".join(part % number for number in range(MAX_EVENT_ATTACHMENTS + 1))
    data = check(b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + parts + b"--b--\r\n")
    assert (data["attachments_truncated"], len(data["attachments"])) == (True, MAX_EVENT_ATTACHMENTS)


def good() -> Json:
    event: Json = json.loads(make_event(EventType.RECEIVED, process(sample(0, "invoices").raw).manifest, AT).body)
    return event


def without(*path: str | int) -> Callable[[Json], None]:
    def do(event: Json) -> None:
        place: Any = event
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return do


def put(value: object, *path: str | int) -> Callable[[Json], None]:
    def do(event: Json) -> None:
        place: Any = event
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return do


BROKEN: dict[str, Callable[[Json], None]] = {
    "no id": without("id"),
    "an id in capitals": put("A" * 32, "id"),
    "another specversion": put("0.3", "specversion"),
    "a type of nobody": put("dev.mailhaul.message.lost.v1", "type"),
    "a source that is no mailbox": put("/somewhere", "source"),
    "a trace that is none": put("yes", "traceparent"),
    "no data": without("data"),
    "data of another kind": put("mailhaul.purged/1", "data", "schema"),
    "no message key": without("data", "message_key"),
    "a mailbox without id": without("data", "mailbox", "id"),
    "no header": without("data", "headers", "subject"),
    "an address that is a text": put(["a@example.org"], "data", "headers", "to"),
    "an object without a key": without("data", "raw", "key"),
    "a negative size": put(-1, "data", "attachments", 0, "size"),
    "a role of nobody": put("decoration", "data", "attachments", 0, "role"),
    "an attachment without object": without("data", "attachments", 0, "object"),
    "a status of nobody": put("perhaps", "data", "parse", "status"),
    "received without raw": put(None, "data", "raw"),
    "received without a manifest": put(None, "data", "manifest"),
    "received, yet failed": put("failed", "data", "parse", "status"),
    "oversize, yet whole": put(EventType.OVERSIZE.value, "type"),
    "failed, yet with a manifest": put(EventType.FAILED.value, "type"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_an_event_that_is_broken_does_not_fit(broken: str) -> None:
    event = good()
    assert event_validator().is_valid(event)
    BROKEN[broken](event)
    assert not event_validator().is_valid(event)


def test_a_field_that_a_newer_version_adds_does_no_harm() -> None:
    event = good()
    for place in (event, event["data"], event["data"]["headers"], event["data"]["attachments"][0]):
        place["added_later"] = {"any": "thing"}
    assert event_validator().is_valid(event)
    assert manifest_validator().is_valid(event["data"])


def test_every_type_of_event_has_a_definition_of_its_own() -> None:
    assert [kind.type for kind in EVENT_KINDS] == list(EventType)


@pytest.mark.parametrize("schema", [event_schema(), manifest_schema()], ids=["event", "manifest"])
def test_every_field_is_described_and_always_there_but_the_trace(schema: Json) -> None:
    models = {name: one for name, one in schema["$defs"].items() if one.get("type") == "object"}
    models |= {"": schema} if "properties" in schema else {}
    assert len(models) > 10
    for name, model in models.items():
        fields = model["properties"]
        assert [field for field, said in fields.items() if not said.get("description")] == [], name
        assert set(fields) - set(model["required"]) == ({"traceparent"} if name == "Envelope" else set()), name
