"""Mail in files and folders is found by what it is, and what is damaged is named."""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from ingest.mailfiles.files import FoundMail, UnreadableMailError, find_mail, read_mail
from ingest.mailfiles.mbox import Dialect

if TYPE_CHECKING:
    from pathlib import Path

MAIL = b"Subject: a\n\nb\n"
MBOX = b"From x Mon Nov 23 08:00:00 2026\n" + MAIL


def archive(**mails: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in mails.items():
            file.writestr(name.replace("__", "."), data)
    return buffer.getvalue()


def fill(top: Path, **files: bytes) -> Path:
    for name, data in files.items():
        path = top.joinpath(*name.replace("__", ".").split("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return top


def contents(found: FoundMail) -> list[bytes]:
    return [b"".join(mail.open()) for source in found.sources for mail in read_mail(source, Dialect.AUTO)]


def test_folder_is_searched_for_messages_mbox_files_and_archives(tmp_path: Path) -> None:
    files = {"a.eml": MAIL, "sub/B.EML": MAIL, "sub/Inbox": MBOX, "sub/c.zip": archive(x__eml=MAIL), "d.pdf": b"%PDF"}
    found = find_mail([fill(tmp_path, **files)])
    assert [str(source.path.relative_to(tmp_path)) for source in found.sources] == [
        *("a.eml", "sub/B.EML", "sub/Inbox", "sub/c.zip")
    ]
    assert contents(found) == [b"Subject: a\r\n\r\nb\r\n"] * 4
    assert found.others == 1
    assert found.size == sum(len(data) for name, data in files.items() if name != "d.pdf")


def test_maildir_is_read_whatever_its_files_are_called_and_look_like(tmp_path: Path) -> None:
    """Subfolders of a Maildir begin with a dot (Maildir++); files in `tmp` are not complete."""
    files = {
        "cur/1:2,S": MAIL,
        "new/2": b"odd",
        ".Sent/cur/3": MAIL,
        ".Sent/new/4": MBOX,
        "tmp/5": MAIL,
        "index": b"x",
    }
    found = find_mail([fill(tmp_path, **files)])
    assert [str(source.path.relative_to(tmp_path)) for source in found.sources] == [
        *(".Sent/cur/3", ".Sent/new/4", "cur/1:2,S", "new/2")
    ]
    assert contents(found)[3] == b"odd\r\n"
    assert found.others == 1


def test_a_folder_named_cur_alone_is_no_maildir(tmp_path: Path) -> None:
    found = find_mail([fill(tmp_path, **{"cur/1": MAIL, "cur/2.eml": MAIL})])
    assert [source.path.name for source in found.sources] == ["2.eml"]


def test_named_file_is_read_as_what_it_is_whatever_it_is_called(tmp_path: Path) -> None:
    fill(tmp_path, one=MAIL, two=MBOX, three=archive(a__eml=MAIL, b__txt=MAIL))
    assert (
        contents(find_mail([tmp_path / name for name in ("one", "two", "three")])) == [b"Subject: a\r\n\r\nb\r\n"] * 3
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"%PDF-1.7 and so on", "holds no mail"),
        (b"\x1f\x8b\x08", "run `gunzip` first"),
        (b"PK\x03\x04 is not all of it", "is a damaged ZIP archive"),
        (archive(a__eml=b""), "is empty"),
        (archive(a__eml=b"no mail"), "holds no mail"),
    ],
)
def test_file_that_cannot_be_read_says_why(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(UnreadableMailError, match=reason):
        contents(find_mail([tmp_path / "file"]))


def test_damaged_entry_of_an_archive_leaves_the_others(tmp_path: Path) -> None:
    data = bytearray(archive(a__eml=MAIL * 99, b__eml=MAIL))
    data[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(data)
    (source,) = find_mail([tmp_path]).sources
    results: list[tuple[str, str | bytes]] = []
    for mail in read_mail(source, Dialect.AUTO):
        try:
            results.append((mail.name, b"".join(mail.open())))
        except UnreadableMailError as error:
            results.append((mail.name, str(error)))
    assert results == [("a.eml", "is damaged in its archive"), ("b.eml", b"Subject: a\r\n\r\nb\r\n")]


def test_encrypted_entry_says_what_to_do(tmp_path: Path) -> None:
    data = bytearray(archive(a__eml=MAIL))
    data[6] |= 1  # in the local header and in the directory: bit 0 of the flags (APPNOTE.TXT 4.4.4)
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UnreadableMailError, match="password"):
        contents(find_mail([tmp_path]))


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    """Opening a pipe waits for a writer, for ever."""
    os.mkfifo(tmp_path / "pipe.eml")
    (tmp_path / "gone.eml").symlink_to(tmp_path / "nowhere")
    found = find_mail([tmp_path])
    assert (found.sources, found.others) == ([], 1)
    assert [(path.name, reason) for path, reason in found.problems] == [("gone.eml", "No such file or directory")]
    assert find_mail([tmp_path / "pipe.eml"]).problems == [(tmp_path / "pipe.eml", "is no file")]
