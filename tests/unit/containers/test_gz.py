"""The file in a gzip file is an attachment below it, within limits."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc

import pytest

from ingest.containers.gz import read_gzip
from ingest.mime.defects import Defect
from tests.support.containers import mail_with
from tests.support.processing import Processed, process

XML = b"<?xml version='1.0'?><a>" + b"x" * 100_000 + b"</a>"


def processed(data: bytes, name: str = "invoice.xml.gz") -> Processed:
    return process(mail_with((name, "application/octet-stream", data)))


def read(data: bytes, size: int) -> tuple[bytes | None, set[Defect]]:
    defects: set[Defect] = set()
    events = list(read_gzip((data[at : at + size] for at in range(0, len(data), size)), defects))
    content = b"".join(event for event in events if isinstance(event, bytes))
    return content if events and not isinstance(events[-1], bytes) else None, defects


@pytest.mark.parametrize("size", [1, 100, 65_536])
@pytest.mark.parametrize(
    ("data", "content"),
    [
        (gzip.compress(XML), XML),
        (gzip.compress(b""), b""),
        (gzip.compress(XML) + gzip.compress(b"more"), XML + b"more"),
        (gzip.compress(XML) + bytes(512), XML),
    ],
    # gzip writes the time into the data, and each process that collects tests must find the same names.
    ids=["one", "empty", "two", "padded"],
)
def test_content_is_read_in_pieces_of_any_size(data: bytes, content: bytes, size: int) -> None:
    assert read(data, size) == (content, set())


def test_damaged_file_is_read_as_far_as_it_goes() -> None:
    data = gzip.compress(bytes(range(256)) * 1000, 0)
    content, defects = read(data[:-5000], 65_536)
    assert content is not None
    assert len(content) > 200_000
    assert defects == {Defect.CONTAINER_BROKEN}
    assert read(b"\x1f\x8b nothing", 100) == (None, {Defect.CONTAINER_BROKEN})


def test_file_is_below_its_gzip_file_and_named_without_the_extension() -> None:
    found = processed(gzip.compress(XML))
    assert found.described == [
        ("2", None, "attachment", "invoice.xml.gz"),
        ("2.1", "2", "embedded", "invoice.xml"),
    ]
    assert found.contents["2.1"] == XML
    assert [each.kind for each in found.manifest.documents] == ["archive", "document"]


def test_number_of_joined_files_is_limited() -> None:
    content, defects = read(gzip.compress(b"a") * 2000, 65_536)
    assert content == b"a" * 1000
    assert defects == {Defect.CONTAINER_LIMIT}


def test_tar_archive_stays_inside() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as made:
        made.addfile(tarfile.TarInfo("a"), io.BytesIO(b""))
    assert [each.part for each in processed(data.getvalue(), "a.tar.gz").manifest.attachments] == ["2"]


def test_bomb_stops_at_the_ratio() -> None:
    data = gzip.compress(bytes(64 * 2**20))
    tracemalloc.start()
    manifest = processed(data).manifest
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [each.defects for each in manifest.attachments] == [["container_limit"]]
    assert manifest.parse.status == "partial"
    assert peak < 24 * 2**20
