"""Charsets are read as mail programs mean them, and one character that does not fit costs no other."""

from __future__ import annotations

import base64
import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webencodings.labels import LABELS

from ingest.mime.body import BodyText
from ingest.mime.charsets import detect_charset, known_charset
from ingest.mime.text import decode_bytes, decode_header
from tests.support.processing import process

REFUSED_BY_BROWSERS = {"iso-2022-cn", "iso-2022-cn-ext", "replacement", "x-user-defined"}


def test_every_label_of_browsers_is_known() -> None:
    assert {label for label in LABELS if known_charset(label) is None} == REFUSED_BY_BROWSERS
    assert all(codecs.lookup(known_charset(label) or "utf-8") for label in LABELS)


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("cp-850", "cp850"),
        ("dos-862", "cp862"),
        ("win-1251", "cp1251"),
        ("windows1250", "cp1250"),
        ("ibm-850", "cp850"),
        ("cp65001", "utf-8"),
        ("codepage 1252", "cp1252"),
        ("ISO 8859-1", "cp1252"),
        ("ansi_1252", "cp1252"),
        ("ks_c_5601_1987", "cp949"),
        ("gb_2312_80", "gb18030"),
        ("euc_cn", "gb18030"),
        ("cn-gb", "gb18030"),
        ("iso_8859_9", "cp1254"),
        ("x-unicode-2-0-utf-7", "utf-7"),
        ("ms932", "cp932"),
        ("x-windows-949", "cp949"),
        ("iso8859-15", "iso8859-15"),
        ("8859_2", "iso8859-2"),
        ("latin-2", "iso8859-2"),
        ("x-mac-ce", "mac-latin2"),
        ("tis620", "cp874"),
        ("utf8", "utf-8"),
        ('"utf-8"', "utf-8"),
        ("charset=koi8-r", "koi8-r"),
        ("us-ascii", "ascii"),
        ("x-mac-greek", "mac-greek"),
        ("cp28595", "iso8859-5"),
        ("mbcs", None),
        ("base64", None),
        ("x-unknown", None),
        ("", None),
    ],
)
def test_labels_of_mail_programs(label: str, codec: str | None) -> None:
    found = known_charset(label)
    assert (found and codecs.lookup(found).name) == (codec and codecs.lookup(codec).name)


@pytest.mark.parametrize(
    ("label", "text", "data"),
    [
        ("gb2312", "朱镕基 ①", "朱镕基 ①".encode("gb18030")),
        ("ks_c_5601-1987", "똠방", "똠방".encode("cp949")),
        ("euc-kr", "똠방", "똠방".encode("cp949")),
        ("shift_jis", "①㈱髙", "①㈱髙".encode("cp932")),
        ("euc-jp", "①求", b"\xad\xa1\xb5\xe1"),
        ("iso-2022-jp", "①求x", b"\x1b$B\x2d\x21\x35\x61\x1b(Bx"),
        ("iso-2022-jp", "ｱx", b"\x1b(I1\x1b(Bx"),
        ("big5", "發票€喺", "發票€".encode("cp950") + "喺".encode("big5hkscs")),
        ("iso-8859-1", "“100 €”", "“100 €”".encode("cp1252")),
        ("tis-620", "ใบ…", "ใบ…".encode("cp874")),
        ("utf-16", "Invoice 4711", "Invoice 4711".encode("utf-16-le")),
        ("utf-16", "Invoice 4711", "Invoice 4711".encode("utf-16-be")),
        ("utf-16", "请查收附件中的发票，谢谢。", "请查收附件中的发票，谢谢。".encode("utf-16-le")),
    ],
)
def test_a_label_stands_for_the_superset_that_senders_use(label: str, text: str, data: bytes) -> None:
    assert decode_bytes(data, label, set()) == text
    word = b"=?%s?B?%s?=" % (label.encode(), base64.b64encode(data))
    assert decode_header(word, set()) == text
    assert body(data, label) == text


def body(data: bytes, charset: str | None = None) -> str:
    return b"".join(BodyText(lambda: [data], charset, "text")).decode()


def html(data: bytes, charset: str | None = None) -> tuple[str, str, set[str]]:
    text = BodyText(lambda: [data], charset, "html")
    return b"".join(text).decode(), text.charset, {defect.value for defect in text.defects}


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        ("shift_jis", "請求".encode("cp932") + b"\xfc\xfd" + "書".encode("cp932"), "請求"),
        ("gb2312", "发票".encode("gb18030") + b"\xff" + "朱镕".encode("gb18030"), "朱镕"),
        ("utf-8", "Größe".encode() + b"\xfc" + "ß".encode(), "Größe\ufffdß"),
    ],
)
def test_one_unfit_character_costs_one_character(label: str, data: bytes, text: str) -> None:
    found = decode_bytes(data, label, set())
    assert text in found
    assert "\ufffd" in found


def test_a_label_that_does_not_fit_at_all_is_not_believed() -> None:
    assert decode_header(b"=?utf-8?Q?M=FCller?=", set()) == "Müller"


def test_html_is_read_in_the_charset_of_its_meta_and_declares_utf8_afterwards() -> None:
    source = '<html><META http-equiv=Content-Type content="text/html; charset=windows-1251"><p>Счёт</p>'
    assert html(source.encode("cp1251")) == (source.replace("windows-1251", "utf-8"), "windows-1251", set())
    assert html(b'<meta charset="shift_jis">' + "請求".encode("cp932"))[0] == '<meta charset="utf-8">請求'


def test_a_declared_charset_counts_more_than_that_of_the_meta() -> None:
    assert html('<meta charset="utf-8">ü'.encode("cp1252"), "iso-8859-1")[0] == '<meta charset="utf-8">ü'
    assert html('<meta charset="iso-8859-1">ü'.encode(), "utf-8")[0] == '<meta charset="utf-8">ü'


def test_html_without_a_declaration_stays_as_it_is() -> None:
    assert html(b"<p>charset=iso-8859-1</p>", "us-ascii") == ("<p>charset=iso-8859-1</p>", "us-ascii", set())


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1251", "Здравствуйте! Высылаем счёт-фактуру за услуги связи.\r\n"),
        ("koi8-r", "Здравствуйте! Высылаем счёт-фактуру за услуги связи.\r\n"),
        ("cp1250", "Szanowni Państwo, w załączeniu przesyłamy fakturę za usługi. Łukasz Żółć\r\n" * 3),
        ("cp932", "お世話になっております。請求書を添付いたします。\r\n"),
        ("gb18030", "您好，请查收附件中的发票。谢谢！\r\n"),
        ("iso2022_jp", "お世話になっております。請求書を添付いたします。\r\n"),
        ("cp1253", "Αγαπητοί κύριοι, σας αποστέλλουμε το τιμολόγιο.\r\n"),
    ],
)
def test_undeclared_text_is_read_in_the_charset_that_is_detected(codec: str, text: str) -> None:
    found = process(b"From: a@b.example\r\n\r\n" + text.encode(codec))
    assert found.bodies["text"].decode() == text
    assert found.manifest.bodies[0].defects == ["charset_detected"]


def test_too_little_text_to_detect_a_charset_is_western() -> None:
    assert detect_charset("Größe".encode("cp1252")) is None
    assert body("Größe".encode("cp1252")) == "Größe"


def test_a_byte_order_mark_counts_most_and_is_removed() -> None:
    assert body("\ufeffGröße".encode(), "iso-8859-1") == "Größe"
    assert body("\ufeffGröße".encode("utf-16-le"), None) == "Größe"


def test_utf32_without_a_byte_order_mark_is_big_endian() -> None:
    text = BodyText(lambda: ["Größe".encode("utf-32-be")], "utf-32", "text")
    assert b"".join(text).decode() == "Größe"
    assert "bad_charset" in {defect.value for defect in text.defects}


def test_text_that_only_claims_to_be_utf16_is_read_as_it_is() -> None:
    for text in ("Dear Sir,\r\nplease pay.\r\n", "Grüße\r\n", "您好\n"):
        assert body(text.encode(), "utf-16") == text
        assert body(text.encode("utf-16-le"), "utf-16") == text


@given(st.binary(max_size=300), st.sampled_from([None, *sorted(LABELS), "x-none"]), st.integers(1, 40))
def test_any_bytes_in_any_charset_become_utf8(data: bytes, charset: str | None, size: int) -> None:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    for text in (b"".join(BodyText(lambda: pieces, charset, "html")).decode(), decode_bytes(data, charset, set())):
        assert text.encode().decode() == text


def test_few_bytes_are_not_read_in_the_charset_of_an_old_system() -> None:
    assert detect_charset("“Grüße” €".encode("cp1252")) is None
    assert detect_charset("Привет".encode("cp1251")) == "windows-1251"


def test_charset_of_a_long_text_is_detected_from_its_beginning() -> None:
    text = "Добрый день, во вложении счёт за ноябрь.\n" * 5_000
    assert body(text.encode("cp1251")) == text


@pytest.mark.parametrize("size", [1, 100, 5_000])
def test_only_the_declaration_of_a_charset_says_utf8_afterwards(size: int) -> None:
    page = b'<html><meta name="a"><meta charset="iso-8859-1"><p>\xfc' + b"x" * 4_000
    body = BodyText(lambda: (page[at : at + size] for at in range(0, len(page), size)), None, "html")
    converted = b"".join(body)
    assert converted.startswith('<html><meta name="a"><meta charset="utf-8"><p>ü'.encode())
    assert converted.endswith(b"x" * 4_000)
