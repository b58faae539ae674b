"""`mailhaul parse`: the tree at any width, attachments where they were wanted, errors in plain words."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from ingest.adapters.dkim.keys import PublishedKeys
from ingest.cli.mailfile import parsed
from ingest.cli.parse import parse_files
from ingest.cli.tree import mail_tree
from ingest.demo.mails import KINDS, Kind, sample
from ingest.domain.invoice import Invoice
from ingest.domain.mail import Headers
from ingest.domain.manifest import Attachment, MailboxRef, Manifest, Parse
from ingest.domain.record import ObjectRef
from ingest.errors import SpoolError
from ingest.mime.envelope import Trust
from ingest.usecases.process.authentication import Authenticator
from ingest.usecases.spool import Spool
from tests.support.cms import signed as signed_file
from tests.support.containers import mail_with
from tests.support.dkim import NAME, record, signed
from tests.support.tnef import attached, tnef
from tests.unit.invoices.samples import FATTURA_BODY, fattura, ubl

P7M = "application/pkcs7-mime"
MAIL = (
    b"From: =?utf-8?q?M=C3=BCller?= <ann@shop.example>\r\nSubject: \x1b[2J [bold]s[/bold]\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nHello.\r\n"
    b'--b\r\nContent-Type: application/octet-stream; name="..\\..\\a.pdf"\r\n\r\n%PDF-1.4 first\r\n'
    b'--b\r\nContent-Type: message/rfc822; name="in.eml"\r\n\r\n'
    b'Subject: inner\r\nContent-Type: multipart/mixed; boundary="c"\r\n\r\n'
    b'--c\r\nContent-Type: text/csv; name="../../../../etc/passwd"\r\n\r\na;b\r\n--c--\r\n'
)


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    path = tmp_path / "a.eml"
    path.write_bytes(MAIL)
    return path


def shown(path: Path, width: int = 120, authenticator: Authenticator | None = None) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    with parsed(path, authenticator or Authenticator()) as found:
        console.print(mail_tree(path.name, found.manifest))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_tree_shows_header_parts_children_and_what_was_odd(mail: Path) -> None:
    lines = [line.rstrip() for line in shown(mail).splitlines()]
    assert lines[0] == f"a.eml  {len(MAIL)} B  complete"
    text = "\n".join(lines)
    assert "from  Müller <ann@shop.example>" in text
    assert "truncated  The message ends before the final boundary of a multipart" in text
    assert lines[lines.index("") + 1 :] == [
        "├── 1  text body  us-ascii · 6 B",
        "├── 2  a.pdf  application/pdf · 14 B",
        "│       declared as application/octet-stream",
        "│       was called ..\\..\\a.pdf",
        "│       name_path  A file name contained folders; only its last part was kept",
        "└── 3  in.eml  message/rfc822 · 137 B · message",
        "    └── 3.1  passwd  text/csv · 3 B",
        "            was called ../../../../etc/passwd",
        "            name_path  A file name contained folders; only its last part was kept",
    ]


def test_other_forms_of_a_body_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "html.eml"
    path.write_bytes(b"Subject: s\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>")
    html, plain = shown(path).splitlines()[-2:]
    assert html.strip() == "└── 1  html body  us-ascii · 12 B"
    assert plain.strip().startswith("also as plain text  ")
    assert plain.rstrip().endswith(" B")


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal(width: int, tmp_path: Path) -> None:
    for number, kind in enumerate(KINDS):
        path = tmp_path / f"{number}.eml"
        path.write_bytes(sample(number, "m", kind).raw)
        text = shown(path, width)
        assert max(map(len, text.splitlines())) <= width
        assert "text body" in text


def test_a_sender_can_neither_steer_the_terminal_nor_write_markup(mail: Path) -> None:
    text = shown(mail)
    assert "\x1b" not in text
    assert "[bold]s[/bold]" in text


def test_an_invoice_is_shown_with_the_id_of_its_profile() -> None:
    made = Attachment(
        part="2",
        filename="a.pdf",
        role="attachment",
        declared_type="application/pdf",
        detected_type="application/pdf",
        size=1,
        sha256="",
        object=ObjectRef(bucket="", key="k", size=1, sha256=""),
        invoice=Invoice(format="cii", profile="en16931", guideline="urn:x", confidence="likely", carrier="pdf"),
        encrypted=True,
    )
    manifest = Manifest(
        message_key="k",
        mailbox=MailboxRef(id="a", unique_id="u"),
        raw=None,
        headers=Headers(),
        attachments=[made],
        parse=Parse(status="complete"),
    )
    console = Console(width=100, file=io.StringIO(), highlight=False)
    console.print(mail_tree("a.eml", manifest))
    assert isinstance(console.file, io.StringIO)
    assert [line.strip() for line in console.file.getvalue().splitlines()][-4:] == [
        "└── 2  a.pdf  application/pdf · 1 B",
        "CII (Factur-X, ZUGFeRD) invoice, en16931, likely (in a file below)",
        "urn:x",
        "encrypted",
    ]


def test_an_invoice_is_shown_with_its_number_day_and_amount(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(mail_with(("a.xml", "application/xml", ubl().encode())))
    assert "R-17 · 2026-03-02 · 109.00 EUR" in shown(path)
    path.write_bytes(mail_with(("a.xml", "application/xml", fattura(FATTURA_BODY * 3).encode())))
    assert "3 invoices, of which the first is" in shown(path)


def test_who_vouches_for_a_message_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    said = b"spf=pass smtp.mailfrom=ann@shop.example; dmarc=fail"
    path.write_bytes(b"Authentication-Results: mx.example.org; " + said + b"\r\n" + signed())
    keys = PublishedKeys({NAME: record()}.get)
    text = shown(path, authenticator=Authenticator(lambda _: Trust("mx.example.org"), keys, 2**20))
    assert "checked by  mx.example.org: spf pass (shop.example) · dmarc fail" in text
    assert "DKIM  pass · shop.example pass" in text


def test_attachments_are_extracted_under_safe_names_and_nowhere_else(mail: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    assert parse_files([mail], out, as_json=False) == 0
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*")} == {
        Path("2-a.pdf"): b"%PDF-1.4 first",
        Path("3-in.eml"): MAIL.partition(b'name="in.eml"\r\n\r\n')[2],
        Path("3.1-passwd"): b"a;b",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"a.eml", "deep"}


def test_written_files_are_printed(mail: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parse_files([mail], tmp_path / "out", as_json=False)
    assert f"wrote {tmp_path}/out/2-a.pdf\n" in capfd.readouterr().out


def test_nothing_is_written_over(mail: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert parse_files([mail], out, as_json=True) == 0
    assert parse_files([mail], out, as_json=True) == 0, "the same content is there already"
    (out / "2-a.pdf").write_bytes(b"%PDF-1.4 other")
    capfd.readouterr()
    assert parse_files([mail], out, as_json=True) == 1
    assert (out / "2-a.pdf").read_bytes() == b"%PDF-1.4 other"
    (line,) = capfd.readouterr().err.splitlines()
    assert "2-a.pdf: already exists with other content" in line


@pytest.mark.parametrize("aim", ["elsewhere.txt", "missing.txt"])
def test_no_link_is_followed(mail: Path, tmp_path: Path, aim: str) -> None:
    """Not even to a file of the same content, nor to one that is not there."""
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "elsewhere.txt").write_bytes(b"%PDF-1.4 first")
    (out / "2-a.pdf").symlink_to(tmp_path / aim)
    assert parse_files([mail], out, as_json=True) == 1
    assert not (tmp_path / "missing.txt").exists()
    assert (out / "3.1-passwd").exists(), "the others were written"


def test_several_messages_get_a_folder_each(mail: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    again = tmp_path / "other" / "a.eml"
    again.write_bytes(MAIL.replace(b"first", b"second"))
    assert parse_files([mail, again], tmp_path / "out", as_json=True) == 0
    assert (tmp_path / "out/a/2-a.pdf").read_bytes() == b"%PDF-1.4 first"
    assert (tmp_path / "out/a-2/2-a.pdf").read_bytes() == b"%PDF-1.4 second"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.eml", None, "no such file"),
        (".", None, "is a folder"),
        ("empty.eml", b"", "is empty"),
        ("a.pdf", b"%PDF-1.4\n1 0 obj\n<</Subject: x>>\n\nFrom: x\n", "holds no mail"),
        ("a.yaml", b"store: s3://b\nledger: embedded\n", "holds no mail"),
        ("noise", bytes(range(256)) * 100, "holds no mail"),
    ],
)
def test_mistakes_are_one_plain_line_and_the_others_are_shown(
    name: str, content: bytes | None, words: str, mail: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (mail.parent / name).write_bytes(content)
    assert parse_files([mail.parent / name, mail], None, as_json=True) == 2
    done = capfd.readouterr()
    (line,) = done.err.splitlines()
    assert words in line
    (manifest,) = map(json.loads, done.out.splitlines())
    assert manifest["attachments_total"] == 3


def test_large_mail_goes_through_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.cli.mailfile._MEMORY_BYTES", 1000)
    path = tmp_path / "a.eml"
    made = sample(0, "m", Kind.PDF_INVOICE)
    path.write_bytes(made.raw)
    folders = tmp_path / "temporary"
    folders.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folders))
    assert parse_files([path], tmp_path / "out", as_json=True) == 0
    assert {made.attachments[0].content} == {file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert not list(folders.iterdir()), "nothing is left of it"


def test_mail_may_come_through_a_pipe(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MAIL)))
    assert parse_files([Path("-")], None, as_json=False) == 0
    assert capfd.readouterr().out.startswith("standard input")


def test_what_is_inside_of_attachments_is_shown_below_them_and_extracted(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    offer = b"Content-Type: text/plain\r\n\r\nSigned."
    held = (
        tnef(attached("i.pdf", b"%PDF-1.7")),
        signed_file(offer),
        signed_file(b"<?xml version='1.0'?><a/>"),
    )
    names = ("winmail.dat", "application/ms-tnef"), ("smime.p7m", P7M), ("a.xml.p7m", P7M)
    path.write_bytes(mail_with(*[(*name, data) for name, data in zip(names, held, strict=True)], text=None))
    text = shown(path)
    assert [line.rstrip() for line in text.splitlines()][-6:] == [
        f"├── 1  winmail.dat  application/ms-tnef · {len(held[0])} B",
        "│   └── 1.1  i.pdf  application/pdf · 8 B · found inside",
        f"├── 2  smime.p7m  {P7M} · {len(held[1])} B",
        "│   └── 2.1  text body  us-ascii · 7 B",
        f"└── 3  a.xml.p7m  {P7M} · {len(held[2])} B",
        "    └── 3.1  a.xml  application/xml · 25 B · found inside",
    ]
    out = tmp_path / "out"
    assert parse_files([path], out, as_json=False) == 0
    assert sorted(each.name for each in out.iterdir()) == [
        *("1-winmail.dat", "1.1-i.pdf", "2-smime.p7m", "3-a.xml.p7m", "3.1-a.xml")
    ]
    assert (out / "1.1-i.pdf").read_bytes() == b"%PDF-1.7"


def test_a_full_temporary_folder_is_reported_in_plain_words(
    mail: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise SpoolError("make room")

    monkeypatch.setattr(Spool, "write", refuse)
    assert parse_files([mail], None, as_json=False) == 2
    assert f"{mail}: make room" in capsys.readouterr().err.replace("\n", "")
