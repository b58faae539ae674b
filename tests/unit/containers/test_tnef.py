"""winmail.dat: every file is extracted whole and under its own name; damage affects only the damaged file."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.containers import tnef
from ingest.containers.tnef import TNEF, read_tnef
from tests.support import tnef as made
from tests.support.containers import Files, read_files, read_files_alike
from tests.support.rtf import compressed
from tests.support.work import counting_work

PDF = b"%PDF-1.7 " + bytes(range(256)) * 300


def files(data: bytes) -> Files:
    return read_files_alike(read_tnef, data)


def test_files_are_extracted_under_their_long_names() -> None:
    found = files(
        made.tnef(
            made.attached("INVOIC~1.PDF", PDF, made.text(made.LONG_NAME, "Rechnung für März.pdf")),
            made.attached("a.txt", b"", made.text(made.CONTENT_ID, "<1@x>"), made.text(made.MIME_TYPE, "Text/Plain")),
        )
    )
    assert found.contents == [PDF, b""]
    assert found.names == ["Rechnung für März.pdf", "a.txt"]
    assert [(end.declared_type, end.content_id) for _, end in found.found] == [
        ("application/octet-stream", None),
        ("text/plain", "1@x"),
    ]
    assert found.defects == ()
    assert all(not end.defects for _, end in found.found)


def test_name_is_decoded_in_the_declared_code_page() -> None:
    page = made.attribute(made.CODE_PAGE, pack("<II", 1251, 0), level=1)
    title = made.attribute(made.TITLE, "счёт.pdf".encode("cp1251") + b"\0rubbish")
    data = made.tnef(page, made.attribute(made.BEGIN_FILE, b""), title, made.attribute(made.DATA, b"x"))
    assert files(data).names == ["счёт.pdf"]


@pytest.mark.parametrize(("page", "name"), [(65001, "ü"), (99999, "Ã¼"), (0, "Ã¼")])
def test_unknown_code_page_is_read_as_windows_1252(page: int, name: str) -> None:
    data = made.tnef(
        made.attribute(made.CODE_PAGE, pack("<I", page), level=1),
        made.attribute(made.TRANSPORT_NAME, "ü\0".encode()),
        made.attribute(made.DATA, b"x"),
    )
    assert files(data).names == [name]


def message(*values: bytes) -> bytes:
    """The attribute with these properties of the message."""
    return made.attribute(made.MESSAGE_PROPERTIES, pack("<I", len(values)) + b"".join(values), level=1)


def bodies(*attributes: bytes) -> list[tuple[str | None, bytes, str | None]]:
    """Kind, content and charset of the texts that become bodies."""
    return [(end.body, data, end.charset) for data, end in files(made.tnef(*attributes)).found]


PLAIN = made.attribute(0x0002800C, "grüß\0".encode("cp1252"), level=1)
HTML = made.variable(made.BINARY, 0x1013, b"<p>x")
OF_TEXT = made.variable(made.BINARY, 0x1009, compressed(rb"{\rtf1\ansi\fromtext hello}"))


def test_text_of_the_message_is_a_body_in_whatever_form_it_is_stored() -> None:
    assert bodies(PLAIN) == [("text", "grüß".encode(), "utf-8")]
    assert bodies(PLAIN, message(made.text(0x1000, "newer"))) == [("text", b"newer", "utf-8")]
    assert bodies(message(OF_TEXT)) == [("text", b"hello", "utf-8")]
    assert bodies(message(HTML, OF_TEXT)) == [("html", b"<p>x", None)]
    assert bodies(message(made.text(0x1000, " \0"))) == []


def test_charset_of_html_is_that_of_the_message() -> None:
    page = made.fixed(3, 0x3FDE, pack("<I", 1251))
    assert bodies(message(page, HTML)) == [("html", b"<p>x", "cp1251")]


def test_text_that_is_too_long_is_not_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tnef, "_BODY_BYTES", 8)
    assert bodies(message(made.text(0x1000, "too long"))) == []
    assert bodies(message(made.text(0x1000, "too long"), HTML)) == [("html", b"<p>x", None)]


def test_unknown_type_of_property_ends_the_properties_of_the_message() -> None:
    found = files(made.tnef(message(made.variable(0x99, 0x1234, b"x"), HTML), made.attached("a.pdf", PDF)))
    assert found.names == ["a.pdf"]
    assert found.defects == ("container_broken",)


def test_content_that_a_file_has_twice_is_that_which_came_first() -> None:
    for first, second in ((b"small", b"x" * 100), (b"x" * 100, b"small"), (b"x" * 100, b"y" * 100)):
        data = made.attribute(made.DATA, first) + made.attribute(made.DATA, second)
        found = files(made.tnef(made.attribute(made.BEGIN_FILE, b""), made.attribute(made.TITLE, b"a\0"), data))
        assert found.contents == [first]


def test_every_property_type_can_be_skipped() -> None:
    sizes = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 20: 8, 64: 8, 72: 16}
    before = [made.fixed(kind, 0x0E20, b"\x07" * size) for kind, size in sizes.items()]
    before += [made.fixed(kind | 0x1000, 0x0E20, pack("<I", 2) + bytes(2 * size)) for kind, size in sizes.items()]
    before += [made.variable(kind, 0x0E20, b"odd") for kind in (made.STRING, made.UNICODE, made.OBJECT, made.BINARY)]
    before += [made.variable(made.BINARY | 0x1000, 0x0E20, b"a", b"bc", b"")]
    by_number = pack("<HH", 3, 0x8001) + bytes(16) + pack("<II", 0, 7) + bytes(4)
    by_name = pack("<HH", 3, 0x8002) + bytes(16) + pack("<II", 1, 6) + b"a\0b\0\0\0\0\0" + bytes(4)
    found = files(made.tnef(made.attached("t", b"x", *before, by_number, by_name, made.text(made.LONG_NAME, "l"))))
    assert found.names == ["l"]
    assert found.defects == ()


def test_attached_message_is_typed_as_tnef_and_ole_document_is_not() -> None:
    inner = made.tnef(made.attached("in.pdf", PDF))

    def held(interface: bytes, content: bytes) -> bytes:
        object_ = made.variable(made.OBJECT, made.CONTENT, interface + content)
        return made.attribute(made.BEGIN_FILE, b"") + made.properties(made.text(0x3001, "Fwd: an order"), object_)

    found = files(made.tnef(held(made.MESSAGE, inner), held(bytes(16), b"\xd0\xcf\x11\xe0")))
    assert found.contents == [inner, b"\xd0\xcf\x11\xe0"]
    assert found.names == ["Fwd: an order"] * 2
    assert [end.declared_type for _, end in found.found] == [TNEF, "application/octet-stream"]
    assert files(found.contents[0]).contents == [PDF]


def test_placeholder_text_does_not_replace_an_attached_message() -> None:
    sentence, inner = b"This attachment is a MAPI 1.0 embedded message.\0", made.tnef(made.attached("in.pdf", PDF))
    held = made.attached("Order", sentence, made.variable(made.OBJECT, made.CONTENT, made.MESSAGE + inner))
    assert files(made.tnef(held, made.attached("b", b"y"))).contents == [inner, b"y"]
    large = made.attached("Order", PDF, made.variable(made.OBJECT, made.CONTENT, made.MESSAGE + inner))
    assert files(made.tnef(large)).contents == [PDF]


def test_data_property_is_extracted_once() -> None:
    again = made.variable(made.BINARY, made.CONTENT, b"again")
    only = made.attribute(made.BEGIN_FILE, b"") + made.properties(made.variable(made.BINARY, made.CONTENT, b"only"))
    found = files(made.tnef(made.attached("a", b"first", again, made.text(made.LONG_NAME, "long")), only))
    assert found.contents == [b"first", b"only"]
    assert found.names == ["long", None]
    assert found.defects == ()


def test_last_property_may_lack_padding() -> None:
    unpadded = made.variable(made.STRING, made.LONG_NAME, b"a.pdf")[:-3]
    assert files(made.tnef(made.attached("a", b"x", unpadded), made.attached("b", b"y"))) == files(
        made.tnef(made.attached("a", b"x", unpadded + bytes(3)), made.attached("b", b"y"))
    )


def test_attachment_by_reference_yields_no_file() -> None:
    data = made.tnef(made.attribute(made.BEGIN_FILE, b""), made.attribute(made.TITLE, b"\\\\server\\x\0"))
    assert files(data).found == []


def test_wrong_checksum_is_reported_at_its_file_only() -> None:
    bad = made.attribute(made.BEGIN_FILE, b"") + made.attribute(made.DATA, b"abc", checksum=1)
    found = files(made.tnef(made.attached("good", b"x"), bad, made.attached("good", b"y")))
    assert found.contents == [b"x", b"abc", b"y"]
    assert [[defect.value for defect in end.defects] for _, end in found.found] == [[], ["tnef_checksum"], []]
    assert found.defects == ()


def test_missing_last_checksum_breaks_the_stream_but_no_file() -> None:
    found = files(made.tnef(made.attached("a", b"x"))[:-2])
    assert found.defects == ("container_broken",)
    assert [(content, end.defects) for content, end in found.found] == [(b"x", frozenset())]


def test_truncated_stream_yields_everything_up_to_the_cut() -> None:
    one, two = b"\xfe" * 50, b"\xfd" * 50
    whole = made.tnef(made.attached("a", one), made.attached("b", two))
    for end in range(len(whole)):
        found, here = read_files(read_tnef, whole[:end]), whole[:end]
        assert b"".join(found.contents) == one[: here.count(b"\xfe")] + two[: here.count(b"\xfd")]
        broken = [end_.defects for content, end_ in found.found if len(content) < len(one)]
        assert all([defect.value for defect in defects] == ["container_broken"] for defects in broken)
    assert read_files(read_tnef, whole[:-60]).defects == ("container_broken",)


def test_wrong_length_inside_an_attribute_affects_only_that_attribute() -> None:
    lies = [
        made.properties(made.variable(made.UNICODE, made.LONG_NAME, b"abcd")[:-4]),
        made.attribute(made.PROPERTIES, pack("<I", 2**32 - 1) + made.text(made.LONG_NAME, "named")),
        made.properties(pack("<HHII", made.BINARY, made.CONTENT, 1, 2**32 - 1)),
        made.properties(pack("<HHI", 0x1003, 0x0E20, 2**32 - 1)),
        made.properties(pack("<HH", 0x77, 0x0E20)),
        made.properties(pack("<HH", 3, 0x8000) + bytes(16) + pack("<II", 1, 2**32 - 1)),
        made.properties(made.variable(made.OBJECT, made.CONTENT, b"short")),
        made.attribute(made.CODE_PAGE, b"\1"),
    ]
    for lie in lies:
        begun = made.attribute(made.BEGIN_FILE, b"") + made.attribute(made.TITLE, b"bad\0")
        found = files(made.tnef(begun, lie, made.attached("good", PDF)))
        assert found.contents[-1] == PDF
        assert found.names[-1] == "good"
        assert found.defects == ("container_broken",)


def test_other_data_yields_no_file() -> None:
    for data in (b"", b"x", b"%PDF-1.7 and so on", made.tnef()[:5]):
        assert files(data) == Files([], ("container_broken",))


def test_number_of_elements_is_limited() -> None:
    many = made.attribute(0x00068020, b"") * 100_001
    found = read_files(read_tnef, made.tnef(made.attached("a", b"x"), many, made.attached("b", b"y")))
    assert found.contents == [b"x"]
    assert found.defects == ("container_limit",)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_do_not_raise(data: bytes) -> None:
    for whole in (data, made.tnef(data), made.tnef(made.properties(data), data)):
        found = read_files(read_tnef, whole, 7)
        assert sum(map(len, found.contents)) <= len(whole)


@given(st.data())
def test_damaged_streams_do_not_raise(data: st.DataObject) -> None:
    content = bytearray(made.tnef(*[made.attached("a.pdf", b"x" * 20, made.text(made.LONG_NAME, "é.pdf"))] * 2))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        content[at] = data.draw(st.integers(0, 255))
    assert sum(map(len, read_files(read_tnef, bytes(content)).contents)) <= len(content)


def test_work_grows_no_faster_than_the_stream() -> None:
    def work(n: int) -> int:
        data = made.tnef(made.attached("a", b"x", *[made.text(made.LONG_NAME, "n")] * n) * 2)
        with counting_work(str(Path(tnef.__file__).parent)) as counted:
            read_files(read_tnef, data, 256)
        return counted.done

    assert work(400) <= 2.2 * work(200)
