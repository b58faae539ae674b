"""Other forms of bodies are stored beside them and named in the manifest; the bodies stay as they were sent."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from ingest.texts.reader import CONVERTERS
from ingest.usecases.process.derived import TextOptions
from tests.support.containers import mail_with
from tests.support.processing import Processed, process

if TYPE_CHECKING:
    from ingest.domain.manifest import Body

BOTH = TextOptions(plain_text=True, safe_html=True)
GIF = b"GIF89a" + bytes(20)


def mail(content_type: bytes, body: bytes) -> bytes:
    return b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: " + content_type + b"\r\n\r\n" + body


def html(body: bytes) -> bytes:
    return mail(b"text/html; charset=utf-8", body)


def parts(subtype: bytes, *each: bytes) -> bytes:
    joined = b"".join(b"--b\r\n" + part + b"\r\n" for part in each)
    return mail(b"multipart/" + subtype + b"; boundary=b", joined + b"--b--\r\n")


def picture(content_id: bytes, data: bytes = GIF, kind: bytes = b"gif") -> bytes:
    head = (
        b"Content-Type: image/" + kind + b"\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <" + content_id + b">"
    )
    return head + b"\r\n\r\n" + base64.encodebytes(data)


def forms(found: Processed, bodies: list[Body] | None = None) -> dict[str, bytes]:
    each = [form for body in (found.manifest.bodies if bodies is None else bodies) for form in body.derived]
    return {form.kind: found.store.objects[form.object.key].content for form in each}


def test_html_only_mail_has_plain_text() -> None:
    found = process(html(b"<p>Hello,<br>world</p>"))
    assert found.bodies == {"html": b"<p>Hello,<br>world</p>"}
    (body,) = found.manifest.bodies
    (form,) = body.derived
    assert forms(found) == {"plain": b"Hello,\nworld\n"}
    assert (form.object.key, form.object.size) == ("m/derived/body.txt", 13)
    assert form.converter.startswith("inscriptis ")
    assert found.store.objects[form.object.key].content_type == "text/plain; charset=utf-8"


def test_html_beside_a_text_has_no_plain_text() -> None:
    alternative = parts(b"alternative", b"\r\nHello", b"Content-Type: text/html\r\n\r\n<p>Hello")
    assert forms(process(alternative)) == {}
    blank = parts(b"alternative", b"\r\n \r\n", b"Content-Type: text/html\r\n\r\n<p>Hello")
    assert forms(process(blank)) == {"plain": b"Hello\n"}


def test_flowed_text_is_unfolded_beside_the_original() -> None:
    found = process(mail(b"text/plain; format=flowed; delsp=yes", b"> one \r\n> two\r\n"))
    assert found.bodies == {"text": b"> one \r\n> two\r\n"}
    assert forms(found) == {"plain": b"> onetwo\r\n"}
    assert found.manifest.bodies[0].derived[0].converter == "rfc3676 1"


@pytest.mark.parametrize("kind", [b"text/plain", b"text/plain; format=flowed"])
def test_text_without_folded_lines_has_no_other_form(kind: bytes) -> None:
    assert forms(process(mail(kind, b"one\r\ntwo\r\n"))) == {}


def test_forms_are_made_only_if_they_are_switched_on() -> None:
    raw = html(b"<p>x")
    assert forms(process(raw, texts=TextOptions(plain_text=False, safe_html=False))) == {}
    assert set(forms(process(raw, texts=TextOptions(plain_text=False, safe_html=True)))) == {"safe_html"}
    assert set(forms(process(raw, texts=BOTH))) == {"plain", "safe_html"}
    assert set(forms(process(raw))) == {"plain"}


def test_processing_again_gives_the_same() -> None:
    raw = html(b"<p>x<img src='cid:a'>")
    assert process(raw, texts=BOTH).manifest == process(raw, texts=BOTH).manifest


def test_safe_html_shows_the_images_of_the_mail() -> None:
    text = (
        b"Content-Type: text/html\r\n\r\n<img src='cid:LOGO@x'><img src='cid:vector'><img src='http://x.example/a'>"
    )
    related = parts(b"related", text, picture(b"logo@X"), picture(b"vector", b"<svg onload='x'/>", b"svg+xml"))
    shown = forms(process(related, texts=BOTH))["safe_html"]
    assert b'<img src="data:image/gif;base64,' + base64.b64encode(GIF) + b'"><img><img>' in shown


def test_cid_that_refers_to_the_text_itself_is_no_image() -> None:
    text = b"Content-Type: text/html\r\nContent-ID: <self>\r\n\r\n<p>x<img src='cid:self'>"
    shown = forms(process(parts(b"related", text, picture(b"other")), texts=BOTH))["safe_html"]
    assert b"<p>x<img></p>" in shown


def test_many_references_to_an_image_are_bounded() -> None:
    text = b"Content-Type: text/html\r\n\r\n" + b"<img src='cid:a'>" * 600
    shown = forms(process(parts(b"related", text, picture(b"a", GIF + bytes(100_000))), texts=BOTH))["safe_html"]
    assert 7 * 2**20 < len(shown) <= 8 * 2**20


def test_nested_message_has_its_own_forms_and_images() -> None:
    inner = parts(b"related", b"Content-Type: text/html\r\n\r\n<p>in<img src='cid:a'>", picture(b"a", GIF + b"inner"))
    outer = parts(b"related", b"Content-Type: text/html\r\n\r\n<p>out<img src='cid:a'>", picture(b"a"))
    message = b"Content-Type: message/rfc822\r\n\r\n" + inner.replace(b"=b", b"=c").replace(b"--b", b"--c")
    related = outer.partition(b"1.0\r\n")[2].replace(b"=b", b"=d").replace(b"--b", b"--d")
    found = process(parts(b"mixed", related, message), texts=BOTH)
    (nested,) = [each.message for each in found.manifest.attachments if each.message is not None]
    inside = forms(found, nested.bodies)
    assert inside["plain"] == b"in\n"
    assert base64.b64encode(GIF + b"inner") in inside["safe_html"]
    assert base64.b64encode(GIF + b"inner") not in forms(found)["safe_html"]
    assert base64.b64encode(GIF) in forms(found)["safe_html"]
    assert nested.bodies[0].derived[0].object.key.startswith("m/nested/")


def test_form_that_cannot_be_made_is_a_defect_of_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> tuple[bytes, bool]:
        raise RecursionError

    monkeypatch.setitem(CONVERTERS, "plain", fail)
    found = process(html(b"<p>x"))
    assert found.bodies == {"html": b"<p>x"}
    (body,) = found.manifest.bodies
    assert (body.derived, body.defects, found.manifest.parse.status) == ([], ["derived_limit"], "complete")


def test_incomplete_form_is_a_defect_of_the_body() -> None:
    found = process(html(b"<p>top</p>" + b"<div>" * 3000 + b"deep"))
    assert forms(found) == {"plain": b"top\n"}
    assert found.manifest.bodies[0].defects == ["derived_limit"]


def test_attached_html_has_no_other_form() -> None:
    found = process(mail_with(("page.html", "text/html", b"<p>x</p>")), texts=BOTH)
    assert {form for body in found.manifest.bodies for form in body.derived} == set()
