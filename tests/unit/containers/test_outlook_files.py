"""Files in messages that Outlook saved are extracted within limits; damage affects only the damaged file."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import pytest

from ingest.containers.limits import ContainerLimits
from ingest.containers.outlook import MessageFiles
from ingest.containers.stream import FileEnd
from ingest.mime.defects import Defect
from tests.support.compound import Tree, compound, message_tree, saved_message
from tests.support.guarded import InThisProcess

LIMITS = ContainerLimits()


@pytest.fixture(autouse=True, params=["here", "in a process"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "here":
        monkeypatch.setattr("ingest.containers.guard.Guarded", InThisProcess)


def read(data: bytes, limits: ContainerLimits = LIMITS, most: int = 2**30) -> tuple[list[FileEnd], set[Defect]]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        files = MessageFiles(file.fileno(), limits, max_bytes=most, seconds=60)
        found = [event for event in files if isinstance(event, FileEnd)]
    return found, files.defects


def attachment(**streams: bytes) -> Tree:
    """Streams by the number and type of their properties (MS-OXPROPS): 3707 is the long name, 3701 the content."""
    return {f"__substg1.0_{name[1:]}": data for name, data in streams.items()}


def message(*attachments: Tree) -> bytes:
    named = {f"__attach_version1.0_#{number:08X}": one for number, one in enumerate(attachments)}
    return compound({"__nameid_version1.0": {}, **named})


def test_longest_name_counts_whatever_its_charset() -> None:
    found, _ = read(
        message(
            attachment(_3707001F="ä.pdf".encode("utf-16-le"), _3704001F=b"s\0", _37010102=b"x"),
            attachment(_3707001E="ä.pdf".encode("cp1252"), _37010102=b"x"),
            attachment(_3001001E=b"shown", _37010102=b"x", _370E001E=b"Application/PDF"),
            attachment(_37010102=b"x"),
        )
    )
    assert [(each.filename, each.declared_type) for each in found] == [
        ("ä.pdf", "application/octet-stream"),
        ("ä.pdf", "application/octet-stream"),
        ("shown", "application/pdf"),
        (None, "application/octet-stream"),
    ]


def test_attachment_without_content_is_passed_over() -> None:
    found, defects = read(message(attachment(_3001001E=b"a link"), attachment(_3001001E=b"file", _37010102=b"x")))
    assert [each.filename for each in found] == ["file"]
    assert defects == set()


def test_files_of_attached_messages_are_found_down_to_a_depth() -> None:
    tree: Tree = {"__attach_version1.0_#00000000": attachment(_3001001E=b"deep.pdf", _37010102=b"x")}
    for _ in range(10):
        tree = {"__attach_version1.0_#00000000": {"__substg1.0_3701000D": tree}}
    found, _ = read(saved_message(("top.pdf", b"x"), message_tree(("in.pdf", b"x")), tree))
    assert sorted(each.filename or "" for each in found) == ["in.pdf", "top.pdf"]


def test_files_beyond_the_limits_are_left_out() -> None:
    data = saved_message(*((f"{number}.bin", b"x") for number in range(3)))
    for found, defects in (read(data, replace(LIMITS, children=2)), read(data, most=10_000)):
        assert [each.filename for each in found] == ["0.bin", "1.bin"]
        assert defects == {Defect.CONTAINER_LIMIT}


def test_other_bytes_are_reported() -> None:
    assert read(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100)) == ([], {Defect.CONTAINER_BROKEN})
