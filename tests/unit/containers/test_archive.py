"""ZIP archives are read within limits, whatever wrote them, and a hostile one costs little."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest

from ingest.containers.archive import read_zip
from ingest.containers.limits import ContainerLimits
from ingest.mime.defects import Defect, codes
from tests.support import bombs
from tests.support.containers import PDF, mail_with
from tests.support.processing import Processed, process

if TYPE_CHECKING:
    from ingest.containers.stream import FileEnd

DEFLATED, STORED = zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED


def archive(*files: tuple[str | zipfile.ZipInfo, bytes], method: int = DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as made:
        for name, content in files:
            made.writestr(name, content, method)
    return data.getvalue()


def renamed(data: bytes, ascii_name: str, raw: bytes) -> bytes:
    """Put bytes of the same length in place of a name: as a program without Unicode writes it."""
    assert len(raw) == len(ascii_name)
    return data.replace(ascii_name.encode(), raw)


def read(data: bytes) -> tuple[list[tuple[str | None, bytes]], list[FileEnd], tuple[str, ...]]:
    found: list[tuple[str | None, bytes]] = []
    ends: list[FileEnd] = []
    defects: set[Defect] = set()
    content = b""
    for event in read_zip(io.BytesIO(data), defects):
        if isinstance(event, bytes):
            content += event
        else:
            found.append((event.filename, content))
            ends.append(event)
            content = b""
    return found, ends, codes(defects)


def processed(data: bytes, name: str = "a.zip") -> Processed:
    return process(mail_with((name, "application/zip", data)))


@pytest.mark.parametrize("method", [STORED, DEFLATED, zipfile.ZIP_BZIP2])
def test_files_are_read_with_their_names(method: int) -> None:
    data = archive(("a.txt", b"a"), ("b.bin", bytes(200_000)), ("empty", b""), method=method)
    assert read(data)[0] == [("a.txt", b"a"), ("b.bin", bytes(200_000)), ("empty", b"")]


def test_path_of_a_file_in_a_folder_is_its_location() -> None:
    found = processed(archive(("Belege/", b""), ("Belege/2026/R1.pdf", PDF), ("R2.pdf", PDF))).manifest
    assert [(each.filename, each.location, each.parent) for each in found.attachments] == [
        ("a.zip", None, None),
        ("R1.pdf", "Belege/2026/R1.pdf", "2"),
        ("R2.pdf", None, "2"),
    ]
    assert found.parse.status == "complete"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"M\x84rz Rechnung.pdf", "März Rechnung.pdf"),  # cp850, Windows in Germany
        ("Facture é.pdf".encode("cp850"), "Facture é.pdf"),
        ("Счёт за ноябрь.pdf".encode("cp866"), "Счёт за ноябрь.pdf"),
        ("請求書十一月分.pdf".encode("cp932"), "請求書十一月分.pdf"),
        ("发票二零二六年.pdf".encode("gb18030"), "发票二零二六年.pdf"),
        ("发票 11月.pdf".encode("gb18030"), "发票 11月.pdf"),
        ("發票.pdf".encode("big5"), "發票.pdf"),
        *(
            (name.encode(code_page), name)
            for name, code_pages in {
                "Übersicht für Müller.pdf": ("cp437", "cp850", "cp1252"),
                "Reçu n° 2.pdf": ("cp1252",),
                "São João nº 3.pdf": ("cp850", "cp1252"),
                "São.pdf": ("cp850", "cp1252"),
                "számla.pdf": ("cp852", "cp1250"),
                "číslo.pdf": ("cp852", "cp1250"),
                "договор.pdf": ("cp866", "cp1251"),
                "Счёт.pdf": ("cp866", "cp1251"),
                "テスト_請求書.pdf": ("cp932",),
                "Příloha č. 1 (žlutá).pdf": ("cp852", "cp1250"),
                "Faktura za usługi łączności.pdf": ("cp852", "cp1250"),
                "Счёт-фактура.pdf": ("cp866", "cp1251"),
                "ИТОГИ.PDF": ("cp866", "cp1251"),
                "Τιμολόγιο.pdf": ("cp737", "cp1253"),
                "חשבונית.pdf": ("cp862", "cp1255"),
                "Fatura ağustos.pdf": ("cp1254",),
            }.items()
            for code_page in code_pages
        ),
        ("Rechnung März.pdf".encode(), "Rechnung März.pdf"),  # UTF-8 without the flag, as macOS writes
    ],
)
def test_name_is_decoded_whatever_code_page_it_is_in(raw: bytes, name: str) -> None:
    placeholder = "x" * len(raw)
    assert [each for each, _ in read(renamed(archive((placeholder, b"c")), placeholder, raw))[0]] == [name]


@pytest.mark.parametrize(
    ("folder", "codec"),
    [("M\xe4rz", "cp1252"), ("\u0421\u0447\u0435\u0442", "cp1251"), ("\u8acb\u6c42\u66f8\u5370", "cp932")],
)
def test_code_page_is_determined_from_the_beginning_of_a_name_that_is_longer_than_the_sample(
    folder: str, codec: str
) -> None:
    path = f"{folder}/" * 1000 + "a.pdf"
    raw = path.encode(codec)
    ascii_name = "x" * len(raw)
    _, (end,), _ = read(renamed(archive((ascii_name, PDF)), ascii_name, raw))
    assert end.location == path


def test_extra_field_with_the_unicode_name_counts() -> None:
    info = zipfile.ZipInfo("Mrz.pdf")
    path = "März.pdf".encode()
    info.extra = struct.pack("<HHBL", 0x7075, 5 + len(path), 1, zlib.crc32(b"Mrz.pdf")) + path
    assert read(archive((info, b"c")))[0] == [("März.pdf", b"c")]
    info.extra = struct.pack("<HHBL", 0x7075, 5 + len(path), 1, 0) + path
    assert read(archive((info, b"c")))[0] == [("Mrz.pdf", b"c")], "it is about another name"


def test_what_is_no_file_is_skipped() -> None:
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    assert read(archive((link, b"/etc/passwd"), ("__MACOSX/._a", b"m"), ("d/", b""), ("a", b"c")))[0] == [("a", b"c")]


def test_name_cannot_escape_its_folder() -> None:
    found = processed(archive(("../../etc/passwd", b"x"), ("C:\\temp\\x.txt", b"y"))).manifest.attachments[1:]
    assert [each.filename for each in found] == ["passwd", "x.txt"]
    assert all(each.object.key.startswith("m/attachments/2.") and ".." not in each.object.key for each in found)


def test_archives_in_archives_are_opened_up_to_the_depth_limit() -> None:
    data = archive(("core.txt", b"core"))
    for level in range(5):
        data = archive((f"{level}.zip", data))
    found = processed(data).manifest
    assert len(found.attachments) == 1 + ContainerLimits().depth
    assert found.attachments[-1].defects == ["container_limit"]
    assert found.parse.status == "partial"


def test_office_file_is_no_archive() -> None:
    data = archive(("[Content_Types].xml", b"<Types/>"), ("xl/workbook.xml", b"<workbook/>"))
    assert len(processed(data, "list.xlsx").manifest.attachments) == 1


def test_file_with_a_password_stays_inside_and_says_why() -> None:
    data = bytearray(archive(("secret.pdf", PDF), ("open.pdf", PDF)))
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1  # the flag of the first file
    found = processed(bytes(data)).manifest
    assert [each.filename for each in found.attachments] == ["a.zip", "open.pdf"]
    assert found.attachments[0].encrypted
    assert found.attachments[0].defects == ["archive_password"]


def test_method_that_declares_its_memory_is_not_read() -> None:
    found = processed(archive(("a.txt", b"a"), method=zipfile.ZIP_LZMA)).manifest
    assert [each.defects for each in found.attachments] == [["container_broken"]]


def test_bomb_stops_at_the_ratio() -> None:
    data = archive(("bomb", bytes(64 * 2**20)))
    tracemalloc.start()
    found = processed(data).manifest
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [each.defects for each in found.attachments] == [["container_limit"]]
    assert found.parse.status == "partial"
    assert peak < 24 * 2**20


def test_file_of_two_gigabytes_costs_no_memory() -> None:
    data = bombs.huge(2048)
    assert len(data) < 4 * 2**20
    tracemalloc.start()
    found = processed(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [each.defects for each in found.manifest.attachments] == [["container_limit"]]
    assert found.contents["2"] == data, "the archive itself is stored whole"
    assert peak < 32 * 2**20


def test_archive_that_contains_itself_is_opened_down_to_the_depth_limit() -> None:
    data = bombs.quine()
    found = processed(data)
    assert set(found.contents.values()) == {data}
    assert [each.part for each in found.manifest.attachments] == ["2", "2.1", "2.1.1", "2.1.1.1"]
    assert [each.defects for each in found.manifest.attachments] == [[], [], [], ["container_limit"]]


def test_nested_bomb_stops_at_the_limits_of_the_message() -> None:
    """Five levels of sixteen archives each hold a GB in a million files."""
    manifest = processed(bombs.nested(5, 16)).manifest
    assert len(manifest.attachments) <= 1 + ContainerLimits().all_children
    assert manifest.parse.status == "partial"


def test_overlapping_entries_are_bounded() -> None:
    """All entries of the directory name the same bytes, as in a bomb of D. Fifield's kind."""
    data = archive(("a", bytes(2**20)))
    at = data.index(b"PK\1\2")
    entry, end = data[at : data.index(b"PK\5\6")], data[data.index(b"PK\5\6") :]
    count = 5000
    many = data[:at] + entry * count + end[:8] + struct.pack("<HHL", count, count, len(entry) * count) + end[16:]
    found = processed(many).manifest
    assert len(found.attachments) <= 1 + ContainerLimits().children
    assert "container_limit" in found.attachments[0].defects or "container_broken" in found.attachments[1].defects


@pytest.mark.parametrize("comment", [b"", b"comment"])
def test_directory_that_is_too_large_is_not_read(comment: bytes) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        made.comment = comment
        for number in range(15_000):
            made.writestr(f"{number:040}", b"")
    written = data.getvalue()
    tracemalloc.start()
    found, _, defects = read(written)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found, defects) == ([], ("container_limit",))
    assert peak < 2**20


def test_record_hidden_in_another_does_not_avoid_the_limit() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for number in range(15_000):
            made.writestr(f"{number:040}", b"")
    hidden = bytearray(data.getvalue())
    hidden[-10:-6] = b"PK\5\6"
    assert read(bytes(hidden))[2] == ("container_limit",)


def test_zip64_is_read() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made, made.open("a.txt", "w", force_zip64=True) as file:
        file.write(b"a")
    assert read(data.getvalue())[0] == [("a.txt", b"a")]


@pytest.mark.parametrize("seed", range(8))
def test_damaged_archive_never_raises(seed: int) -> None:
    whole = archive(("a.txt", b"a" * 1000), ("b.pdf", PDF), ("c/d.txt", b"d"))
    dice = random.Random(seed)  # noqa: S311 - damage, not a secret
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        found, _, _ = read(bytes(data[: dice.randint(1, len(data))]))
        assert sum(len(content) for _, content in found) <= 2**20


def test_damaged_file_is_extracted_as_far_as_it_can_be_read() -> None:
    data = bytearray(archive(("a.txt", bytes(range(256)) * 1000), ("b.txt", b"b"), method=STORED))
    data[100] ^= 1
    found = processed(bytes(data)).manifest
    assert [(each.filename, each.defects) for each in found.attachments[1:]] == [
        ("a.txt", ["container_broken"]),
        ("b.txt", []),
    ]
    assert found.parse.status == "partial"
