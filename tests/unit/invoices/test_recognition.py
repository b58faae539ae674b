"""E-invoices are recognised by content in every encoding; hostile files cost no more than their size."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.invoice import Invoice
from ingest.invoices.recognise import Finding
from ingest.invoices.recognise import recognise as recognise_chunks
from ingest.mime.defects import Defect

CORPUS = Path(__file__).parents[4] / "shared" / "corpus" / "einvoices"
UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
CII = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
CORE = "urn:cen.eu:en16931:2017"
GUIDE = "GuidelineSpecifiedDocumentContextParameter"
KOSIT = f"{CORE}#compliant#urn:xeinkauf.de:kosit"


def ubl(customization: str, root: str = "Invoice", namespace: str | None = None) -> str:
    return (
        f'<{root} xmlns="{UBL + root + "-2" if namespace is None else namespace}" xmlns:c="{UBL}CommonBasic-2">'
        f"<c:CustomizationID>{customization}</c:CustomizationID><c:ID>1</c:ID></{root}>"
    )


def cii(guideline: str, namespace: str = CII) -> str:
    return (
        f'<?xml version="1.0"?><!-- <a> --><r:CrossIndustryInvoice xmlns:r="{namespace}"><r:ExchangedDocumentContext>'
        "<r:BusinessProcessSpecifiedDocumentContextParameter><ID>urn:fdc:peppol.eu:2017:poacc:billing:01:1.0</ID>"
        "</r:BusinessProcessSpecifiedDocumentContextParameter>"
        f"<GuidelineSpecifiedDocumentContextParameter>\n <ID>{guideline}</ID>\n"
        "</GuidelineSpecifiedDocumentContextParameter></r:ExchangedDocumentContext></r:CrossIndustryInvoice>"
    )


def zugferd1(profile: str) -> str:
    return (
        '<rsm:CrossIndustryDocument xmlns:rsm="urn:ferd:CrossIndustryDocument:invoice:1p0" '
        'xmlns:ram="urn:ram:12"><rsm:SpecifiedExchangedDocumentContext><ram:TestIndicator/>'
        f"<ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>{profile}</ram:ID>"
        "</ram:GuidelineSpecifiedDocumentContextParameter></rsm:SpecifiedExchangedDocumentContext>"
    )


def recognise(content: bytes, filename: str = "", size: int = 65_536) -> Finding:
    """The finding for content in chunks, without the fields and what depends on the end of the file."""
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    result = recognise_chunks(chunks, filename, fields=False)
    invoice = result.invoice.model_copy(update={"count": None}) if result.invoice is not None else None
    return Finding(invoice, result.defect if result.defect is Defect.DOCTYPE else None)


def found(content: str | bytes, filename: str = "") -> Invoice | None:
    return recognise(content.encode() if isinstance(content, str) else content, filename).invoice


@pytest.mark.parametrize(
    ("guideline", "profile"),
    [
        ("urn:factur-x.eu:1p0:minimum", "minimum"),
        ("urn:zugferd.de:2p0:minimum", "minimum"),
        ("urn:factur-x.eu:1p0:basicwl", "basic_wl"),
        (f"{CORE}#compliant#urn:factur-x.eu:1p0:basic", "basic"),
        (f"{CORE}:compliant:factur-x.eu:1p0:basic", "basic"),
        (f"{CORE}#compliant#urn:zugferd.de:2p0:basic", "basic"),
        (CORE, "en16931"),
        (f"{CORE}#conformant#urn:factur-x.eu:1p0:extended", "extended"),
        (f"{CORE}#compliant#urn:xoev-de:kosit:standard:xrechnung_1.2", "xrechnung"),
        (f"{KOSIT}:xrechnung_3.0", "xrechnung"),
        (f"{KOSIT}:xrechnung_3.0#conformant#urn:xeinkauf.de:kosit:extension:xrechnung_3.0", "xrechnung"),
        (f"{CORE}#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0", "peppol_bis"),
        (f"{CORE}#compliant#urn:fdc:nen.nl:nlcius:v1.0", "en16931"),
        (f"{CORE}#conformant#urn:of.our.own:1.0", "en16931_extension"),
        (f"{CORE}#compliant#urn:efactura.mfinante.ro:CIUS-RO:1.0.1", "cius_ro"),
        (f"{CORE}#conformant#urn:UBL.BE:1.0.0.20180214", "ubl_be"),
        ("urn:peppol:pint:billing-1@jp-1", "peppol_pint"),
        ("OIOUBL-2.02", "oioubl"),
        ("TR1.2.1", "ubl_tr"),
    ],
)
def test_guideline_decides_the_profile(guideline: str, profile: str) -> None:
    expected = Invoice(format="cii", profile=profile, guideline=guideline, confidence="certain")
    assert found(cii(guideline)) == expected
    assert found(ubl(guideline)) == expected.model_copy(update={"format": "ubl"})
    assert found(ubl(guideline, "CreditNote")) == expected.model_copy(update={"format": "ubl"})


@pytest.mark.parametrize(
    ("content", "profile"),
    [
        (cii("urn:of.our.own:1.0"), "d16b"),
        (ubl("urn:of.our.own:1.0"), "2"),
        (ubl("urn:of.our.own:1.0").replace("<c:ID>", "<c:UBLVersionID>2.1</c:UBLVersionID><c:ID>"), "2.1"),
    ],
)
def test_version_is_the_profile_of_an_unknown_guideline(content: str, profile: str) -> None:
    assert found(content) == Invoice(
        format="cii" if "Cross" in content else "ubl",
        profile=profile,
        guideline="urn:of.our.own:1.0",
        confidence="certain",
    )


@pytest.mark.parametrize("profile", ["basic", "comfort", "extended"])
def test_zugferd_1_profiles(profile: str) -> None:
    guideline = f"urn:ferd:CrossIndustryDocument:invoice:1p0:{profile}"
    assert found(zugferd1(guideline)) == Invoice(
        format="zugferd1", profile=profile, guideline=guideline, confidence="certain"
    )


@pytest.mark.parametrize(
    ("namespace", "version"),
    [
        ("http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2", "FPA12"),
        ("http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2", "FPR12"),
        ("http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.0", "FSM10"),
        ("http://www.fatturapa.gov.it/sdi/fatturapa/v1.0", "1.0"),
        ("http://www.fatturapa.gov.it/sdi/fatturapa/v1.1", "1.1"),
    ],
)
def test_fatturapa_version_is_the_profile(namespace: str, version: str) -> None:
    root = "FatturaElettronicaSemplificata" if version == "FSM10" else "FatturaElettronica"
    content = f"<ns2:{root} versione='{version}' xmlns:ns2 = '{namespace}'>"
    assert found(content) == Invoice(format="fatturapa", profile=version, guideline=version, confidence="certain")


@pytest.mark.parametrize(
    ("content", "guideline", "confidence"),
    [
        (b"UNA:+.? 'UNB+UNOC:3+1+2+241124:1200+1'UNH+1+INVOIC:D:96A:UN:EAN008'", "INVOIC:D:96A:UN:EAN008", "certain"),
        (b"UNB+UNOC:3+1+2'\r\nUNH+1+INVOIC:D:96A:UN'\r\nBGM+380", "INVOIC:D:96A:UN", "certain"),
        (b"UNA.*,! ~UNB*UNOC.3*1!~UNH*2!*!!*3~UNH*1*INVOIC.D.96A~", "INVOIC:D:96A", "certain"),
        (b"UNA:+.  'UNB+UNOC:3+1'UNH+1+INVOIC:D:96A:UN'", "INVOIC:D:96A:UN", "certain"),
        (b"UNB+UNOC:3+what??'UNH+1+INVOIC:D:96A:UN'", "INVOIC:D:96A:UN", "certain"),
        (b"UNH+1+INVOIC:D:96A:UN'", "INVOIC:D:96A:UN", "likely"),
    ],
)
def test_edifact_is_recognised_by_its_message_header(content: bytes, guideline: str, confidence: str) -> None:
    assert found(content) == Invoice.model_validate(
        {"format": "edifact", "profile": "D96A", "guideline": guideline, "confidence": confidence}
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"UNB+UNOC:3+1'UNH+1+ORDERS:D:96A:UN'",
        b"UNB+UNOC:3+1'UNH+1+in voice:D:96A:UN'",
        b"UNA",
        b"UNA++.? 'UNH+1+INVOIC+D+96A'",
        b"UNB+UNOC:3+?'UNH+1+INVOIC:D:96A:UN'",
        b"UNH+1",
        b"<Invoice><CustomizationID>4</CustomizationID></Invoice>",
        b"<html><Invoice/></html>",
        b"<!-- only a comment -->",
        b'{"Invoice": 1}',
        b"%PDF-1.7 <Invoice",
    ],
)
def test_other_files_are_not_invoices(content: bytes) -> None:
    assert recognise(content) == Finding()


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "iso-8859-15", "cp037"],
)
def test_any_encoding_is_read(encoding: str) -> None:
    """By its mark or its first character; a declaration adds nothing to that."""
    invoice = found(cii(CORE).replace("<a>", "Müller <a>").encode(encoding))
    assert invoice is not None
    assert (invoice.profile, invoice.confidence) == ("en16931", "certain")


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, b"\r\n \t", codecs.BOM_UTF8 + b"\n"])
def test_bytes_before_the_first_tag_are_ignored(mark: bytes) -> None:
    assert found(mark + cii(CORE).removeprefix('<?xml version="1.0"?>').encode()) is not None


def test_root_name_without_all_marks_is_likely() -> None:
    for content in (
        cii(CORE, "urn:another"),
        cii(CORE).replace("xmlns:r", "xmlns:s"),
        ubl(CORE, namespace=""),
        ubl("", namespace=f"{UBL}Invoice-1.0"),
        '<FatturaElettronica versione="FPR12">',
        '<p:FatturaElettronica xmlns:p="http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2">',
        zugferd1("").replace("1p0", "2p5"),
    ):
        invoice = found(content)
        assert invoice is not None, content
        assert invoice.confidence == "likely", content


def test_guideline_counts_only_at_its_path() -> None:
    elsewhere = f"<ext><CustomizationID>{CORE}</CustomizationID></ext><CustomizationID/>"
    invoice = found(ubl("").replace("<c:CustomizationID></c:CustomizationID>", elsewhere))
    assert invoice == Invoice(format="ubl", profile="2", confidence="certain")


def test_context_without_guideline_does_not_hide_the_next() -> None:
    invoice = found(cii(CORE).replace("<r:Business", "<Guide><X/></Guide><r:Business").replace("Guide>", f"{GUIDE}>"))
    assert invoice is not None
    assert invoice.guideline == CORE


@pytest.mark.parametrize("written", ["<![CDATA[{}]]>", "<!-- a -->\n{}<?b c?>", "<b>DE1</b>{}"])
def test_guideline_is_read_in_every_notation(written: str) -> None:
    invoice = found(cii(written.format(CORE)))
    assert invoice is not None
    assert invoice.guideline == CORE


@pytest.mark.parametrize("guideline", ["a b", "x" * 201, "ä", "a&#10;\x01b", ""])
def test_invalid_guideline_is_not_reported(guideline: str) -> None:
    invoice = found(cii(guideline))
    assert invoice == Invoice(format="cii", profile="d16b", confidence="certain")


def test_xml_that_declares_entities_is_not_examined() -> None:
    entities = '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    assert recognise((entities + cii("&b;")).encode()) == Finding(None, Defect.DOCTYPE)
    assert recognise(b"<!DOCTYPE r [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]><r/>") == Finding(
        None, Defect.DOCTYPE
    )
    named = recognise(entities.encode(), "factur-x.xml")
    assert named == Finding(Invoice(format="cii", confidence="likely"), Defect.DOCTYPE)


@pytest.mark.parametrize("subset", ["", " SYSTEM 'http://example.org/r.dtd'", " [<!ELEMENT Invoice ANY>]"])
def test_doctype_without_entities_is_harmless(subset: str) -> None:
    invoice = found(f"<!-- x --><!DOCTYPE Invoice{subset}>{ubl(CORE)}")
    assert invoice is not None
    assert invoice.profile == "en16931"


def test_html_doctype_is_not_a_defect() -> None:
    assert recognise(b"\n<!doctype html><html>") == Finding()


def test_xml_with_a_prescribed_file_name_is_likely_an_invoice() -> None:
    for name, expected in {
        "factur-x.xml": "cii",
        "Factur-X.XML": "cii",
        "xrechnung.xml": "cii",
        "zugferd-invoice.xml": "cii",
        "ZUGFeRD-invoice.xml": "zugferd1",
    }.items():
        assert found("<other/>", name) == Invoice.model_validate({"format": expected, "confidence": "likely"})
        assert found(b"\x89PNG", name) is None
    assert found("<other/>", "invoice.xml") is None


PIECES = [
    "<", ">", "/", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "<!DOCTYPE ", "'", '"', "=", " ", "xmlns:r", "r:",
    CII, "CrossIndustryInvoice", "ExchangedDocumentContext", "<Invoice", "CustomizationID>", CORE, "UNA:+.? '",
    "UNB+UNOC:3'", "UNH+1+INVOIC:D", "\ufeff", "\0", "&a;",
]  # fmt: skip


@given(st.binary(max_size=400) | st.lists(st.sampled_from(PIECES), max_size=40).map(lambda p: "".join(p).encode()))
def test_content_decides_and_a_name_only_adds(content: bytes) -> None:
    """A file that is not examined is not an invoice, and no name replaces what was recognised by content."""
    for head in (content, b"<" + content, codecs.BOM_UTF16_LE + content):
        plain, named = recognise(head), recognise(head, "factur-x.xml")
        assert plain.invoice is None or plain.defect is not Defect.DOCTYPE
        assert named.invoice == plain.invoice if plain.invoice else named.defect == plain.defect


@given(st.integers(min_value=0, max_value=2000))
def test_truncated_file_does_not_raise(end: int) -> None:
    whole = cii(CORE).encode("utf-16")
    expected = found(whole)
    assert found(whole[:end]) in (None, expected, Invoice(format="cii", profile="d16b", confidence="certain"))


EXPECTED = {
    ("CII", "EN16931"): ("cii", "en16931"),
    ("CII", "XRECHNUNG"): ("cii", "xrechnung"),
    ("CII", "not"): ("cii", "en16931"),
    ("UBL", "EN16931"): ("ubl", "peppol_bis"),
    ("UBL", "XRECHNUNG"): ("ubl", "xrechnung"),
    ("UBL", "not"): ("ubl", "peppol_bis"),
    ("UBL", "ubl-tc434-creditnote1.xml"): ("ubl", "en16931"),
    ("valid", "FPA"): ("fatturapa", "FPA12"),
    ("valid", "FPR"): ("fatturapa", "FPR12"),
}


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")
def test_every_corpus_invoice_is_certain() -> None:
    paths = sorted(CORPUS.glob("**/*.xml"))
    assert len(paths) > 50
    for path in paths:
        folder, name = path.parent.name, path.name
        begin = name.split("_")[1][:3] if folder == "valid" else name.split("_")[0]
        invoice = found(path.read_bytes())
        assert invoice is not None, name
        assert (invoice.format, invoice.profile) == EXPECTED[folder, begin], name
        assert invoice.confidence == "certain", name
