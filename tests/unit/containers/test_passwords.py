"""Encrypted archives and PDFs are opened with the configured passwords, and what stays shut says why."""

from __future__ import annotations

import io
import tempfile
import time
import zipfile
from typing import TYPE_CHECKING

import pytest
from pypdf import PdfReader

from ingest.containers import passwords as module
from ingest.containers.archive import ArchiveLock, read_zip
from ingest.containers.guard import Confinement, Guarded
from ingest.containers.limits import ContainerLimits
from ingest.containers.passwords import Passwords
from ingest.mime.defects import Defect
from tests.support.containers import mail_with
from tests.support.locked import CONTENT, PASSWORD, WRITTEN_BY_OTHERS, Entry, locked
from tests.support.pdfs import Holding, pdf
from tests.support.processing import Processed, process

if TYPE_CHECKING:
    from collections.abc import Sequence

XML = Holding("factur-x.xml", b"<xml/>")
CLASSIC_AND_AES = pytest.mark.parametrize("aes", [0, 1, 2], ids=["classic", "ae-1", "ae-2"])


def opened(
    archive: bytes, *passwords: str, lock: ArchiveLock | None = None
) -> tuple[list[tuple[str | None, bytes]], set[Defect]]:
    """The files of an archive, and its defects with those of the files."""
    lock = lock or ArchiveLock(Passwords(lambda: passwords))
    found: list[tuple[str | None, bytes]] = []
    defects = set[Defect]()
    content = b""
    for event in read_zip(io.BytesIO(archive), defects, lock):
        if isinstance(event, bytes):
            content += event
            continue
        found.append((event.filename, content))
        defects |= event.defects
        content = b""
    return found, defects


def processed(name: str, kind: str, data: bytes, *passwords: str) -> Processed:
    return process(mail_with((name, kind, data)), passwords=lambda _, __: passwords)


@pytest.mark.parametrize("program", WRITTEN_BY_OTHERS)
def test_archives_of_other_programs_are_opened(program: str) -> None:
    assert opened(WRITTEN_BY_OTHERS[program], "wrong", PASSWORD) == ([("Beleg.txt", CONTENT)], set())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@CLASSIC_AND_AES
def test_large_files_are_exact(aes: int, method: int) -> None:
    content = bytes(range(256)) * 800 + b"end"
    archive = locked(Entry(content, aes=aes, method=method))
    assert opened(archive, PASSWORD) == ([("a.txt", content)], set())


@CLASSIC_AND_AES
def test_every_file_may_have_its_own_password(aes: int) -> None:
    archive = locked(Entry(b"1", "1", "one", aes), Entry(b"2", "2", "two", aes), plain=b"0")
    assert opened(archive, "one", "two") == ([("plain.txt", b"0"), ("1", b"1"), ("2", b"2")], set())
    assert opened(archive, "two") == ([("plain.txt", b"0"), ("2", b"2")], {Defect.PASSWORD_WRONG})


@CLASSIC_AND_AES
@pytest.mark.parametrize(
    ("password", "charset"), [("Müller", "utf-8"), ("Müller", "cp1252"), ("Müller", "cp850"), ("ключ", "cp866")]
)
def test_password_may_be_in_a_code_page(password: str, charset: str, aes: int) -> None:
    archive = locked(Entry(b"1", password=password, aes=aes, charset=charset))
    assert opened(archive, "wrong", password) == ([("a.txt", b"1")], set())


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_password_of_a_pdf_may_have_umlauts(algorithm: str) -> None:
    found = processed("a.pdf", "application/pdf", pdf(XML, password="Müller", algorithm=algorithm), "wrong", "Müller")
    assert found.manifest.attachments[0].unlocked


@CLASSIC_AND_AES
def test_what_stays_shut_says_why(aes: int) -> None:
    archive = locked(Entry(b"secret", aes=aes))
    assert opened(archive) == ([], {Defect.ARCHIVE_PASSWORD})
    assert opened(archive, "wrong", "") == ([], {Defect.PASSWORD_WRONG})


def test_other_encryption_is_unsupported() -> None:
    strong = WRITTEN_BY_OTHERS["classic"].replace(b"PK\1\2\x1e\x03\x14\0\x09", b"PK\1\2\x1e\x03\x14\0\x49")
    assert opened(strong, PASSWORD) == ([], {Defect.ENCRYPTION_UNSUPPORTED})
    assert opened(strong) == ([], {Defect.ENCRYPTION_UNSUPPORTED})
    unknown_key = WRITTEN_BY_OTHERS["aes-256-2"].replace(b"AE\x03", b"AE\x09")
    assert opened(unknown_key, PASSWORD) == ([], {Defect.ENCRYPTION_UNSUPPORTED})
    lzma = WRITTEN_BY_OTHERS["aes-256-2"].replace(b"AE\x03\x08", b"AE\x03\x0e")
    assert opened(lzma, PASSWORD) == ([], {Defect.ENCRYPTION_UNSUPPORTED})


def test_no_wrong_password_opens_a_classic_archive() -> None:
    """The cipher recognises one of 256 wrong passwords as right; the content shows that it is not."""
    wrong = [f"wrong{number}" for number in range(2000)]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        archive = locked(Entry(CONTENT, aes=0, method=method))
        for at in range(0, len(wrong), module.MOST):
            assert opened(archive, *wrong[at : at + module.MOST]) == ([], {Defect.PASSWORD_WRONG})


def test_changed_bytes_are_no_content() -> None:
    archive = bytearray(WRITTEN_BY_OTHERS["aes-256-2"])
    archive[90] ^= 1
    assert opened(bytes(archive), PASSWORD) == ([], {Defect.PASSWORD_WRONG})
    assert opened(WRITTEN_BY_OTHERS["aes-256-2"].replace(b"PK\3\4", b"PK\3\5"), PASSWORD)[0] == []


def test_number_of_tries_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRIES", 30)
    archive = locked(*(Entry(b"x", f"{number}") for number in range(20)))
    assert opened(archive, "wrong", "false") == ([], {Defect.PASSWORD_WRONG, Defect.CONTAINER_LIMIT})
    passwords = Passwords(lambda: ["wrong", "false"])
    assert sum(1 for _ in range(20) for _ in passwords) == 30


@CLASSIC_AND_AES
def test_bytes_that_are_decrypted_are_limited(aes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORK", 50_000)
    content = bytes(30_000)
    archive = locked(*(Entry(content, f"{number}", aes=aes, method=zipfile.ZIP_STORED) for number in range(3)))
    found, defects = opened(archive, PASSWORD)
    assert len(found) <= 1
    assert defects == {Defect.CONTAINER_LIMIT}


@CLASSIC_AND_AES
def test_bomb_behind_a_password_is_bounded(aes: int) -> None:
    archive = locked(Entry(bytes(50 * 2**20), aes=aes))
    began = time.process_time()
    found = processed("a.zip", "application/zip", archive, PASSWORD)
    assert time.process_time() - began < 20
    (container,) = found.manifest.attachments
    assert container.defects == ["container_limit"]
    assert found.manifest.parse.status == "partial"


def test_password_that_worked_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRIES", 25)
    archive = locked(*(Entry(b"x", f"{number}") for number in range(10)))
    found, defects = opened(archive, *(f"wrong{number}" for number in range(10)), PASSWORD)
    assert (len(found), defects) == (10, set())


def test_manifest_tells_what_a_password_opened() -> None:
    archive = locked(Entry(b"Hello", "a/b.txt"), plain=b"x")
    found = processed("a.zip", "application/zip", archive, PASSWORD)
    container, plain, inside = found.manifest.attachments
    assert (container.encrypted, container.unlocked, container.defects) == (True, True, [])
    assert (inside.filename, inside.location, inside.unlocked) == ("b.txt", "a/b.txt", False)
    assert found.contents[container.part] == archive
    assert (found.contents[plain.part], found.contents[inside.part]) == (b"x", b"Hello")


def test_archive_in_an_archive_is_opened_with_the_same_passwords() -> None:
    inner = locked(Entry(b"Hello", "a.txt"))
    found = processed("a.zip", "application/zip", locked(Entry(inner, "b.zip", "other")), PASSWORD, "other")
    assert list(found.contents.values())[-1] == b"Hello"


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_pdf_is_copied_without_its_encryption(algorithm: str) -> None:
    original = pdf(XML, password=PASSWORD, algorithm=algorithm)
    found = processed("Beleg.pdf", "application/pdf", original, "wrong", PASSWORD)
    outer, copy, xml = found.manifest.attachments
    assert (outer.encrypted, outer.unlocked, outer.defects) == (True, True, [])
    assert found.contents[outer.part] == original
    assert (copy.filename, copy.parent, copy.detected_type) == ("Beleg.pdf", outer.part, "application/pdf")
    assert (copy.encrypted, copy.unlocked) == (False, False)
    reader = PdfReader(io.BytesIO(found.contents[copy.part]))
    assert (reader.is_encrypted, len(reader.pages)) == (False, 1)
    assert (xml.parent, found.contents[xml.part]) == (copy.part, XML.data)
    (document,) = found.manifest.documents
    assert (document.main, document.parts) == (copy.part, [copy.part, outer.part, xml.part])
    assert "without_password" in [reason.code for reason in document.reasons]


def test_copy_of_a_pdf_is_the_same_each_time() -> None:
    original = pdf(XML, password=PASSWORD)
    first, second = (processed("a.pdf", "application/pdf", original, PASSWORD) for _ in range(2))
    assert first.contents == second.contents


def test_pdf_that_stays_shut_says_why() -> None:
    original = pdf(password=PASSWORD)
    (shut,) = processed("a.pdf", "application/pdf", original, "wrong").manifest.attachments
    assert (shut.encrypted, shut.unlocked, shut.defects) == (True, False, ["password_wrong"])
    foreign = pdf(password="").replace(b"/Standard", b"/Entrust ")
    (shut,) = processed("a.pdf", "application/pdf", foreign, "wrong").manifest.attachments
    assert (shut.encrypted, shut.defects) == (True, ["encryption_unsupported"])


def test_pdf_that_opens_by_itself_is_not_copied() -> None:
    found = processed("a.pdf", "application/pdf", pdf(password=""), PASSWORD)
    assert [each.unlocked for each in found.manifest.attachments] == [False]


def test_copy_that_exceeds_the_limits_is_left_out() -> None:
    original = pdf(Holding("a.bin", bytes(10)), password=PASSWORD)
    limits = ContainerLimits(ratio_free=100, ratio=0)
    found = process(
        mail_with(("a.pdf", "application/pdf", original)), passwords=lambda _, __: [PASSWORD], containers=limits
    )
    (outer,) = found.manifest.attachments
    assert (outer.unlocked, outer.defects) == (True, ["container_limit"])


def test_passwords_are_chosen_by_mailbox_and_sender_when_they_are_needed() -> None:
    asked: list[tuple[str, Sequence[str]]] = []

    def passwords(mailbox: str, senders: Sequence[str]) -> list[str]:
        asked.append((mailbox, senders))
        return [PASSWORD]

    plain = mail_with(("a.txt", "text/plain", b"x"))
    process(plain, passwords=passwords)
    assert asked == []
    archives = [(f"{name}.zip", "application/zip", locked(Entry(b"x"))) for name in "ab"]
    raw = mail_with(*archives).replace(b"\r\n", b"\r\nFrom: Bank <post@Bank.example>\r\n", 1)
    assert len(process(raw, passwords=passwords).manifest.attachments) == 4
    ((mailbox, senders),) = asked
    assert mailbox == "a"
    assert "post@bank.example" in [sender.lower() for sender in senders]


def test_passwords_are_in_no_manifest_and_no_repr() -> None:
    secret = "correct horse battery staple"
    found = processed("a.zip", "application/zip", locked(Entry(b"x", password=secret)), secret)
    assert secret.encode() not in found.manifest.to_json()
    assert secret not in repr(Passwords(lambda: [secret])) + repr(ArchiveLock(Passwords(lambda: [secret])))


def test_guarded_process_gets_a_secret_that_no_other_sees() -> None:
    with tempfile.TemporaryFile() as file:
        confinement = Confinement(cpu_seconds=5, memory_bytes=2**29, seconds=20, output_bytes=2**20)
        with Guarded("tests.support.secretive", file.fileno(), confinement, ("1", "2"), b"tiger\0lion") as child:
            frames = [payload for _, payload in child]
    assert frames == [b"tiger,lion", b"no"]
