"""Which text is the body of a message, which image is part of it, and what is opened as a message."""

from __future__ import annotations

import base64

import pytest

from tests.support import tnef as made
from tests.support.cms import compressed as compressed_mail
from tests.support.cms import pem, signed
from tests.support.compound import message_tree, saved_message
from tests.support.containers import PDF, mail_with, winmail
from tests.support.processing import Processed, process
from tests.support.rtf import compressed, from_html

JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
CID = b"Content-ID: <logo@x>\r\n"


def multipart(*parts: bytes, subtype: bytes = b"mixed") -> bytes:
    """Parts with their headers."""
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return b"From: a@b.example\r\nContent-Type: multipart/" + subtype + b"; boundary=b\r\n\r\n" + body + b"--b--\r\n"


def text(content: bytes, kind: bytes = b"plain", more: bytes = b"") -> bytes:
    return b"Content-Type: text/" + kind + b"; charset=utf-8\r\n" + more + b"\r\n" + content


def image(more: bytes) -> bytes:
    data = base64.encodebytes(JPEG)
    return b"Content-Type: image/jpeg; name=a.jpg\r\nContent-Transfer-Encoding: base64\r\n" + more + b"\r\n" + data


def parts_of(found: Processed) -> dict[str, list[str]]:
    return {body.kind: body.parts for body in found.manifest.bodies}


def roles(found: Processed) -> dict[str, str]:
    return {each.part: each.role for each in found.manifest.attachments}


def test_texts_around_an_image_are_joined_in_order() -> None:
    found = process(multipart(text(b"<p>above", b"html"), image(b""), text(b"<p>below", b"html")))
    assert found.bodies == {"html": b"<p>above\n<p>below"}
    assert parts_of(found) == {"html": ["1", "3"]}
    assert roles(found) == {"2": "attachment", "3": "inline"}
    assert found.contents["3"] == b"<p>below"


def test_texts_are_joined_each_in_its_own_charset() -> None:
    latin = b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n\xfc"
    assert process(multipart(text("ä".encode()), latin)).bodies == {"text": "ä\nü".encode()}


def test_alternatives_are_not_joined() -> None:
    found = process(multipart(text(b"one"), text(b"two"), subtype=b"alternative"))
    assert found.bodies == {"text": b"one"}
    assert roles(found) == {"2": "alternative"}


@pytest.mark.parametrize("disposition", [b"", b"Content-Disposition: inline; filename=body.txt\r\n"])
def test_a_text_with_a_name_is_the_body_if_there_is_no_other(disposition: bytes) -> None:
    named = b'Content-Type: text/plain; name="body.txt"\r\n' + disposition + b"\r\nHello."
    found = process(multipart(named))
    assert found.bodies == {"text": b"Hello."}
    assert (roles(found), found.contents) == ({"1": "inline"}, {"1": b"Hello."})
    found = process(multipart(named, text(b"The body.")))
    assert found.bodies == {"text": b"The body."}
    assert roles(found) == {"1": "attachment"}


@pytest.mark.parametrize("blank", [text(b" \r\n"), text(b"<p>&nbsp;</p>", b"html")])
def test_a_text_with_a_name_precedes_a_blank_one_without(blank: bytes) -> None:
    named = b"Content-Type: text/plain; name=a.txt\r\n\r\nHello."
    assert process(multipart(blank, named)).bodies == {"text": b"Hello."}
    assert parts_of(process(multipart(blank, named.replace(b"Hello.", b" ")))).popitem()[1] == ["1"]


@pytest.mark.parametrize("field", [b"name='a b.pdf'", b"name=x\r\nContent-Disposition: inline; filename='a b.pdf'"])
def test_single_quotes_around_a_file_name_are_not_part_of_it(field: bytes) -> None:
    found = process(multipart(text(b"x"), b"Content-Type: application/pdf; " + field + b"\r\n\r\n%PDF-1.4"))
    assert [each.filename for each in found.manifest.attachments] == ["a b.pdf"]


def test_named_alternatives_are_the_bodies_if_there_is_no_other() -> None:
    parts = [
        b"Content-Type: text/plain; name=a.txt\r\n\r\nHello.",
        b"Content-Type: text/html; name=a.html\r\n\r\n<p>Hi",
    ]
    found = process(multipart(*parts).replace(b"multipart/mixed", b"multipart/alternative"))
    assert found.bodies == {"text": b"Hello.", "html": b"<p>Hi"}
    assert roles(found) == {"1": "inline", "2": "inline"}


def test_an_attached_text_is_never_the_body() -> None:
    attached = b"Content-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\r\nHello."
    assert process(multipart(attached)).bodies == {}


@pytest.mark.parametrize(
    "header", [b"", b"Content-Type: PDF\r\n", b"Content-Type: text/plain\r\n", b"Content-Type: text/html\r\n"]
)
@pytest.mark.parametrize(
    "content",
    [
        *(
            PDF,
            JPEG,
            b"PK\x03\x04" + bytes(30),
            b"RIFF\x24\0\0\0WEBPVP8 " + bytes(9),
            b"BM\x9a\1\0\0\0\0\0\0" + bytes(30),
        ),
        *(b"OggS\0\2" + bytes(30), b"BZh91AY&SY" + bytes(range(128, 200)), b"\xfd7zXZ\0" + bytes(30)),
        *(b"RIFF\x24\0\0\0WAVEfmt " + bytes(9), b"\0\0\0\x18ftypheic" + bytes(30), b"\x1a\x45\xdf\xa3" + bytes(30)),
    ],
    ids=["pdf", "jpeg", "zip", "webp", "bmp", "ogg", "bzip2", "xz", "wav", "heic", "matroska"],
)
def test_binary_content_that_passes_for_text_is_an_attachment(header: bytes, content: bytes) -> None:
    part = header + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content)
    found = process(multipart(part, text(b"The body.")))
    assert found.bodies == {"text": b"The body."}
    assert found.contents == {"1": content}
    assert roles(found) == {"1": "attachment"}
    assert process(b"MIME-Version: 1.0\r\n" + part).contents == {"1": content}
    found = process(multipart(text(b"The body."), part, text(b"The end.")))
    assert found.bodies == {"text": b"The body.\nThe end."}
    assert (roles(found)["2"], found.contents["2"]) == ("attachment", content)


def test_text_that_only_mentions_a_format_is_text() -> None:
    for content in (b"A PDF begins with %PDF-1.7", b"MZ and ID3 are signatures", b"II* GIF89a"):
        assert process(b"From: a@b.example\r\n\r\n" + content).bodies == {"text": content}


@pytest.mark.parametrize(
    ("referred", "more", "role"),
    [
        (b"cid:logo@x", CID + b"Content-Disposition: attachment\r\n", "inline"),
        (b"CID:logo%40x", CID, "inline"),
        (b"cid: logo@x", CID, "inline"),
        (b"cid:<logo@x>", CID, "inline"),
        (b"cid:&lt;logo@x&gt;", CID, "inline"),
        (b"cid:other@x", CID + b"Content-Disposition: inline\r\n", "attachment"),
        (b"", b"Content-Disposition: inline\r\n", "attachment"),
    ],
)
def test_an_image_is_inline_if_the_html_refers_to_it(referred: bytes, more: bytes, role: str) -> None:
    found = process(multipart(text(b"<img src='" + referred + b"'>", b"html"), image(more)))
    assert roles(found) == {"2": role}


def test_images_beyond_a_number_of_references_are_attachments() -> None:
    html = b"".join(b'<img src="cid:%d@x">' % number for number in range(1_100))
    images = [image(b"Content-ID: <%d@x>\r\n" % number) for number in (0, 1_099)]
    assert roles(process(multipart(text(html, b"html"), *images))) == {"2": "inline", "3": "attachment"}


def test_images_of_a_nested_message_keep_their_roles() -> None:
    nested = multipart(text(b"<img src='cid:logo@x'>", b"html"), image(CID), subtype=b"related").replace(b"b", b"b")
    outer = b"Content-Type: message/rfc822\r\n\r\n" + nested.replace(b"--b", b"--c").replace(b"=b\r", b"=c\r")
    assert roles(process(multipart(text(b"x"), outer))) == {"2": "message", "2.2": "inline"}


def saved(*values: bytes) -> tuple[str, str, bytes]:
    """A winmail.dat with these properties of the message, and a file."""
    content = len(values).to_bytes(4, "little") + b"".join(values)
    return winmail(made.attribute(made.MESSAGE_PROPERTIES, content, level=1), made.attached("a.pdf", PDF))


HTML = made.variable(made.BINARY, 0x1013, b"<p>From HTML")
PLAIN = made.text(0x1000, "From plain text")
RTF = made.variable(made.BINARY, 0x1009, compressed(from_html("<p>From &lt;RTF&gt; ü")))


@pytest.mark.parametrize(
    ("values", "bodies"),
    [
        ((HTML,), {"html": b"<p>From HTML"}),
        ((PLAIN, HTML), {"text": b"From plain text", "html": b"<p>From HTML"}),
        ((RTF,), {"html": "<p>From &lt;RTF&gt; ü".encode()}),
        ((made.variable(made.BINARY, 0x1009, b"broken"),), {}),
    ],
)
def test_the_text_of_a_winmail_dat_is_the_body_of_a_mail_without_one(
    values: tuple[bytes, ...], bodies: dict[str, bytes]
) -> None:
    found = process(mail_with(saved(*values), text=None))
    assert found.bodies == bodies
    assert [name for *_, name in found.described] == ["winmail.dat", "a.pdf"]


def test_the_text_of_a_winmail_dat_does_not_replace_one_of_the_mail() -> None:
    assert process(mail_with(saved(PLAIN))).bodies == {"text": b"Hello."}
    assert process(mail_with(saved(PLAIN), text="\r\n \r\n")).bodies == {"text": b"From plain text"}


def test_the_text_of_a_winmail_dat_does_not_replace_a_long_text_even_if_that_shows_nothing() -> None:
    """A long text is not searched for something to read."""
    assert process(mail_with(saved(PLAIN), text=" " * 5_000)).bodies["text"].strip() == b""


def test_the_text_of_a_winmail_dat_in_a_named_text_is_no_body() -> None:
    inner = b"Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    signed_mail = pem(signed(inner + base64.encodebytes(saved(PLAIN)[2])))
    found = process(mail_with(("smime.p7m", "text/plain", signed_mail)))
    assert found.bodies == {"text": b"Hello."}
    assert roles(found)["2.1.2"] == "inline"
    assert found.contents["2.1.2"] == b"From plain text"


@pytest.mark.parametrize(("text", "bodies"), [("Hello.", {"text": b"Hello."}), (None, {})])
def test_the_text_of_a_winmail_dat_in_a_nested_message_is_no_body(text: str | None, bodies: dict[str, bytes]) -> None:
    found = process(mail_with(("", "message/rfc822", mail_with(saved(PLAIN), text=None)), text=text))
    assert [name for *_, name in found.described][1:] == ["winmail.dat", "a.pdf"]
    assert found.bodies == bodies


def test_an_image_in_a_winmail_dat_is_inline_if_its_html_refers_to_it() -> None:
    page = made.variable(made.BINARY, 0x1013, b"<img src='cid:logo@x'>")
    attribute = saved(page)[2]
    logo = made.attached("a.jpg", JPEG, made.text(made.CONTENT_ID, "logo@x"))
    found = process(mail_with(("winmail.dat", "application/ms-tnef", attribute + logo), text=None))
    assert [(each.filename, each.role, each.content_id) for each in found.manifest.attachments][1:] == [
        ("a.pdf", "embedded", None),
        ("a.jpg", "inline", "logo@x"),
    ]


@pytest.mark.parametrize("first", [b"", b"From a@b.example Mon Mar  2 08:15:00 2026\r\n", b"X-Mozilla-Status: 1\r\n"])
@pytest.mark.parametrize("declared", ["application/octet-stream", "message/x-eml", "text/plain"])
def test_a_message_attached_as_a_file_is_opened_like_a_nested_one(declared: str, first: bytes) -> None:
    nested = first + mail_with(("in.pdf", "application/pdf", PDF), text="Inside.")
    found = process(mail_with(("FW.eml", declared, nested)))
    assert found.described == [("2", None, "message", "FW.eml"), ("2.2", "2", "attachment", "in.pdf")]
    assert found.contents == {"2": nested, "2.2": PDF}
    assert found.bodies == {"text": b"Hello."}


def test_a_file_that_is_only_named_like_a_message_is_left_alone() -> None:
    assert roles(process(mail_with(("a.eml", "application/octet-stream", b"no header here")))) == {"2": "attachment"}


@pytest.mark.parametrize("name", ["FW.msg", "FW"])
def test_the_files_of_an_outlook_message_are_extracted(name: str) -> None:
    data = saved_message(("Rechnung ä.pdf", PDF.ljust(5000)), message_tree(("in.pdf", PDF.ljust(6000))))
    found = process(mail_with((name, "application/octet-stream", data)))
    assert found.described == [
        ("2", None, "message", name),
        ("2.1", "2", "embedded", "Rechnung ä.pdf"),
        ("2.2", "2", "embedded", "in.pdf"),
    ]
    assert (found.contents["2.1"], found.contents["2.2"]) == (PDF.ljust(5000), PDF.ljust(6000))
    assert found.parts["2"].detected_type == "application/vnd.ms-outlook"
    assert not any(each.defects for each in found.manifest.attachments)


def test_a_damaged_outlook_message_is_stored_with_a_defect() -> None:
    data = saved_message(("a.pdf", PDF))[:1000]
    (found,) = process(mail_with(("FW.msg", "application/octet-stream", data))).manifest.attachments
    assert found.defects == ["container_broken"]


@pytest.mark.parametrize("name", ["a.xml.pk7", "a.xml.p7m", "a.dat"])
def test_signed_files_are_opened_under_any_name_also_in_base64(name: str) -> None:
    for data in (signed(PDF), base64.encodebytes(signed(PDF)), pem(signed(PDF))):
        found = process(mail_with((name, "application/octet-stream", data)))
        assert found.contents == {"2": data, "2.1": PDF}


def test_compressed_mail_is_opened_like_signed_mail() -> None:
    data = compressed_mail(b"Content-Type: text/plain\r\n\r\nCompressed.")
    found = process(mail_with(("smime.p7z", "application/pkcs7-mime", data), text=None))
    assert found.bodies == {"text": b"Compressed."}
    assert found.manifest.parse.status == "complete"


def test_a_compression_bomb_ends_at_the_ratio() -> None:
    data = compressed_mail(bytes(50_000_000))
    found = process(mail_with(("a.p7z", "application/pkcs7-mime", data)))
    assert found.parts["2"].defects == ["container_limit"]
    assert found.manifest.parse.status == "partial"
