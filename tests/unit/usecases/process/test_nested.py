"""A nested message has its own header, texts and attachments in the manifest; parts have what their headers say."""

from __future__ import annotations

import pytest

from ingest.mime.calendar import read_calendar
from ingest.usecases.process import nested
from tests.support.habits import ICS, File, a, mail, multipart, shown
from tests.support.processing import Processed, process

# Italian certified mail: the provider's envelope says nothing, the message inside everything.
INNER = (
    b"From: Fornitore <ufficio@fornitore.example>\nTo: ditta@example.org\nSubject: Fattura 12\n"
    b"Message-ID: <12@fornitore.example>\nMIME-Version: 1.0\n"
)
PEC = INNER + multipart(
    "mixed",
    [
        multipart(
            "alternative",
            [
                b"Content-Type: text/plain; charset=iso-8859-1\n\nperch\xe9",
                b"Content-Type: text/html; charset=utf-8\n\n<p>perch\xc3\xa9</p>",
            ],
        ),
        a("fattura.pdf").part(),
    ],
)


def certified(inner: bytes = PEC) -> Processed:
    envelope = File("postacert.eml", "message/rfc822", inner)
    return process(mail(envelope, a("daticert.xml", b"<postacert/>", "application/xml"), subject="POSTA CERTIFICATA"))


def test_nested_message_has_its_own_sender_subject_and_texts() -> None:
    found = certified()
    message = found.parts["2"].message
    assert message is not None
    assert (message.headers.subject, message.headers.from_[0].address) == ("Fattura 12", "ufficio@fornitore.example")
    texts = {body.kind: found.store.objects[body.object.key].content for body in message.bodies}
    assert texts == {"text": "perché".encode(), "html": "<p>perché</p>".encode()}
    assert [body.object.key for body in message.bodies] == ["m/nested/2/body.txt", "m/nested/2/body.html"]
    assert [found.parts[part].filename for part in message.parts] == ["fattura.pdf"]


def test_paths_of_its_texts_do_not_clash_with_its_attachments() -> None:
    found = certified()
    message = found.parts["2"].message
    assert message is not None
    assert not {body.part for body in message.bodies} & found.parts.keys()


def test_message_in_a_nested_message_has_its_own_too() -> None:
    outer = INNER + multipart("mixed", [b"\nsee below", File("", "message/rfc822", PEC, "attachment").part()])
    found = certified(outer)
    inner = next(each for each in found.parts.values() if each.parent == "2" and each.message is not None)
    assert inner.message is not None
    assert inner.message.headers.subject == "Fattura 12"
    assert len(inner.message.bodies) == 2


def test_text_that_may_go_on_behind_what_was_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"Content-Type: text/plain\n\n" + b"line\n" * 1000
    large = INNER + multipart("mixed", [text, a("fattura.pdf").part()])
    monkeypatch.setattr("ingest.usecases.process.assembly.NESTED_BYTES", 2000)
    message = certified(large).parts["2"].message
    assert message is not None
    assert message.bodies == []
    monkeypatch.setattr("ingest.usecases.process.assembly.NESTED_BYTES", large.index(b"Content-Disposition"))
    message = certified(large).parts["2"].message
    assert message is not None
    assert [body.kind for body in message.bodies] == ["text"]


def test_other_parts_have_no_message() -> None:
    assert certified().parts["3"].message is None
    assert nested.NESTED_BYTES >= 2**20


def test_parts_have_location_description_and_charset() -> None:
    head = (
        b"Content-Type: text/csv; charset=iso-8859-15\nContent-Location: https://shop.example/a/\n very/long\n"
        b"Content-Description: =?utf-8?q?Liste_f=C3=BCr_M=C3=A4rz?=\nContent-Disposition: attachment\n\na;b"
    )
    found = process(b"From: a@example.org\nMIME-Version: 1.0\n" + multipart("mixed", [b"\nx", head])).parts["2"]
    assert found.location == "https://shop.example/a/very/long"
    assert (found.description, found.charset) == ("Liste für März", "iso-8859-15")


def test_part_without_them_has_none() -> None:
    found = process(mail(shown("i.png", b"\x89PNG\r\n\x1a\n", "c"), html='<img src="cid:c">')).manifest.attachments[0]
    assert (found.location, found.description, found.charset, found.calendar, found.message) == (None,) * 5


def test_calendar_says_what_it_wants() -> None:
    found = process(mail(a("invite.ics", ICS, "text/calendar"))).manifest.attachments[0].calendar
    assert found is not None
    assert (found.method, found.uid) == ("request", "1@example.org")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"BEGIN:VCALENDAR\nMETHOD:CANCEL\nBEGIN:VEVENT\nUID:a\n b\nEND:VEVENT\n", ("cancel", "ab")),
        (b"BEGIN:VCALENDAR\r\nmethod;X-A=1:Reply\r\nUID;VALUE=TEXT: 7\r\n", ("reply", "7")),
        (b"BEGIN:VCALENDAR\r\nX-WR-METHOD:REQUEST\r\nRELATED-UID:7\r\n", (None, None)),
        (b"", (None, None)),
    ],
)
def test_calendar_is_read_line_by_line(data: bytes, expected: tuple[str | None, str | None]) -> None:
    assert read_calendar(data) == expected


def test_message_attached_as_a_plain_file_has_its_own_too() -> None:
    found = process(mail(File("postacert.eml", "application/octet-stream", PEC))).manifest
    message = found.attachments[0].message
    assert message is not None
    assert message.headers.subject == "Fattura 12"
    assert found.documents[0].kind == "message"
