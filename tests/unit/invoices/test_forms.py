"""Recognition does not depend on the form of a document: encoding, mark, prolog, prefixes, the size of chunks."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.invoices.recognise import recognise
from tests.unit.invoices.samples import SAMPLES
from tests.unit.invoices.samples_more import EDI, OTHER_SAMPLES, XML_SAMPLES

if TYPE_CHECKING:
    from ingest.domain.invoice import Invoice
    from tests.unit.invoices.samples import Sample

XML = (*SAMPLES, *XML_SAMPLES)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")
LONG = "<!--" + "x" * 70_000 + "-->"
PROLOGS = ("", " ", "\r\n\t", "<!-- <Invoice xmlns='x'> -->", "<?xml-stylesheet href='a'?>", LONG)
# A default namespace at the root, and no other one further in.
UNPREFIXED = [each for each in XML if each.content.count('xmlns="') == 1 and "CDATA" not in each.content]


def read(content: bytes, size: int = 65_536) -> Invoice:
    found = recognise([content[at : at + size] for at in range(0, len(content), size)])
    assert found.invoice is not None
    assert found.defect is None
    return found.invoice


def without_declaration(content: str) -> str:
    return content.partition("?>")[2] if content.startswith("<?xml") else content


@settings(deadline=None)
@given(
    st.sampled_from(XML),
    st.sampled_from(ENCODINGS),
    st.lists(st.sampled_from(range(len(PROLOGS))), max_size=4),
    st.integers(min_value=1, max_value=5000),
)
@example(next(each for each in XML if "soap envelope" in each.name), "utf-8", [PROLOGS.index(LONG)], 1)
def test_xml_is_the_same_in_every_form(sample: Sample, encoding: str, prolog: list[int], size: int) -> None:
    written = "".join(PROLOGS[index] for index in prolog) + without_declaration(sample.content)
    assert read(written.encode(encoding), size * 4) == read(sample.content.encode())


@pytest.mark.parametrize("sample", UNPREFIXED, ids=lambda sample: sample.name)
def test_prefix_of_a_namespace_does_not_matter(sample: Sample) -> None:
    tags = re.compile(r"(</?)([A-Za-z_][A-Za-z0-9_.]*)(?=[\s/>])")
    written = tags.sub(r"\1any-p:\2", sample.content).replace('xmlns="', 'xmlns:any-p="')
    assert read(written.encode()) == read(sample.content.encode())


@pytest.mark.parametrize("charset", ["iso-8859-1", "iso-8859-15", "windows-1250", "windows-1252", "utf-8"])
def test_names_are_read_in_the_declared_charset(charset: str) -> None:
    (sample,) = [each for each in XML if each.name == "ebinterface 6.1"]
    declared = f'<?xml version="1.0" encoding="{charset.upper()}"?>{sample.content}'
    fields = read(declared.replace("Seller &amp; Co", "Müller ß").encode(charset)).fields
    assert fields is not None
    assert fields.seller.name == "Müller ß"


def test_charset_that_contradicts_the_bytes_is_ignored() -> None:
    for declared in ("UTF-16", "UCS-4", "nonsense", "rot13"):
        content = f'<?xml version="1.0" encoding="{declared}"?>{without_declaration(XML[0].content)}'
        assert read(content.encode()) == read(XML[0].content.encode())


@given(
    st.sampled_from(OTHER_SAMPLES),
    st.integers(min_value=1, max_value=5000),
    st.sampled_from(["", " ", "\r\n", "\ufeff"]),
)
def test_edi_and_json_are_the_same_in_chunks_of_any_size(sample: Sample, size: int, before: str) -> None:
    assert read((before + sample.content).encode(), size) == read(sample.content.encode())


@pytest.mark.parametrize("sample", EDI, ids=lambda sample: sample.name)
def test_lines_of_a_transport_may_precede_edi(sample: Sample) -> None:
    assert read(("From: S\r\nTo: R\r\n\r\n" + sample.content).encode()) == read(sample.content.encode())
    assert recognise([("x" * 5000 + "\r\n" + sample.content).encode()]).invoice is None
    assert recognise([b"\0\1\2\r\n" + sample.content.encode()]).invoice is None


def test_mark_of_utf_8_may_follow_blanks() -> None:
    content = XML[0].content.encode()
    assert read(b"\r\n" + codecs.BOM_UTF8 + content) == read(content)
    assert read(codecs.BOM_UTF8 * 2 + content) == read(content)


@pytest.mark.parametrize("size", [1, 65_536])
def test_names_in_windows_1252_are_read_where_utf_8_is_declared(size: int) -> None:
    fields = read(XML[0].content.replace("Seller &amp; Co", "M\xfcller \u20ac").encode("cp1252"), size).fields
    assert fields is not None
    assert fields.seller.name == "M\xfcller \u20ac"


def test_fields_are_left_out_on_request() -> None:
    for sample in (*XML, *OTHER_SAMPLES):
        invoice = recognise([sample.content.encode()], fields=False).invoice
        assert invoice == read(sample.content.encode()).model_copy(update={"fields": None})
