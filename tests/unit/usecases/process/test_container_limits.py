"""Limits, bugs, damage and memory of containers. The message, and the container itself, are always stored."""

from __future__ import annotations

import threading
import tracemalloc
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.memory import MemoryStore
from ingest.containers.limits import ContainerLimits
from ingest.containers.pdf import PdfFiles, PdfScan
from ingest.containers.stream import FileEnd
from ingest.errors import SpoolError
from ingest.mime import parse
from ingest.mime.events import MessageEnded, PartBegun, PartData, PartEnded
from ingest.mime.headers import MessageHeader
from ingest.mime.limits import MimeLimits
from ingest.usecases.process import containers
from ingest.usecases.process.assembly import PartAssembler
from ingest.usecases.spool import Spool
from tests.support.cms import der, in_segments, pem, signed, signed_ber
from tests.support.compound import saved_message
from tests.support.containers import OFFER, PDF, SMIME, WINMAIL, mail_with, winmail
from tests.support.pdfs import Holding, pdf
from tests.support.processing import process
from tests.support.tnef import (
    attached,
    tnef,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ingest.containers.stream import FileEvent
    from ingest.mime.defects import Defect

LIMITS = ContainerLimits()


def test_all_pdfs_of_a_message_share_one_budget_of_bytes_and_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[tuple[int, float]] = []

    class Slow(PdfFiles):
        def __init__(
            self, file: int, scan: PdfScan, limits: ContainerLimits, *, max_bytes: int, seconds: float, **more: Any
        ) -> None:
            super().__init__(file, scan, limits, max_bytes=max_bytes, seconds=seconds, **more)
            allowed.append((max_bytes, seconds))

        def __iter__(self) -> Iterator[FileEvent]:
            yield b"x" * 10
            yield FileEnd("a.txt")
            self.waited = 25.0

    monkeypatch.setattr(containers, "PdfFiles", Slow)
    hybrid = pdf(Holding("a.txt", b"a"))
    found = process(mail_with(*[(f"{number}.pdf", "application/pdf", hybrid) for number in range(4)]))
    assert allowed == [(LIMITS.max_bytes - 10 * number, 60.0 - 25.0 * number) for number in range(3)]
    assert found.parts["5"].defects == ["container_stopped"]


OUTLOOK = ("order.msg", "application/vnd.ms-outlook", saved_message(("a.txt", b"a")))


@pytest.mark.parametrize(
    "file", [("i.pdf", "application/pdf", pdf(Holding("a.xml", b"<a/>"))), OUTLOOK], ids=["pdf", "msg"]
)
def test_no_time_left_for_guarded_processes_leaves_files_unopened(file: tuple[str, str, bytes]) -> None:
    found = process(mail_with(file), containers=replace(LIMITS, seconds=0.0))
    assert [(part, each.defects) for part, each in found.parts.items()] == [("2", ["container_stopped"])]
    assert found.manifest.parse.status == "partial"


def test_no_process_is_started_for_a_file_that_may_hold_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MessageFiles", None)
    found = process(mail_with(winmail(attached("a", PDF)), OUTLOOK), containers=replace(LIMITS, all_children=1))
    assert [(part, each.defects) for part, each in found.parts.items()] == [
        ("2", []),
        ("2.1", []),
        ("3", ["container_limit"]),
    ]


@pytest.mark.parametrize(
    "file", [(*SMIME, signed(OFFER)), ("a.eml", "message/x-eml", b"From: a@example.com\r\n" + OFFER)]
)
def test_messages_count_as_containers_too(file: tuple[str, str, bytes]) -> None:
    found = process(mail_with(file), containers=replace(LIMITS, depth=0))
    assert [(part, each.defects) for part, each in found.parts.items()] == [("2", ["container_limit"])]


def nested(levels: int) -> bytes:
    data = b"%PDF"
    for _ in range(levels):
        data = tnef(attached("x", data))
    return data


def test_nested_containers_are_opened_down_to_a_limit() -> None:
    found = process(mail_with((*WINMAIL, nested(3))))
    assert [part for part, *_ in found.described] == ["2", "2.1", "2.1.1", "2.1.1.1"]
    assert found.manifest.parse.status == "complete"
    found = process(mail_with((*WINMAIL, nested(500))))
    assert [part for part, *_ in found.described] == ["2", "2.1", "2.1.1", "2.1.1.1"]
    assert found.parts["2.1.1.1"].defects == ["container_limit"]
    assert found.manifest.parse.status == "partial"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (replace(LIMITS, children=2), ["1", "1.1", "1.2", "2", "2.1", "2.2"]),
        (replace(LIMITS, all_children=4), ["1", "1.1", "1.2", "1.3", "2", "2.1"]),
        (replace(LIMITS, max_bytes=4 * len(PDF)), ["1", "1.1", "1.2", "1.3", "2", "2.1"]),
        (replace(LIMITS, max_bytes=4 * len(PDF) + 1), ["1", "1.1", "1.2", "1.3", "2", "2.1"]),
        (replace(LIMITS, ratio=0, ratio_free=2 * len(PDF)), ["1", "1.1", "1.2", "2", "2.1", "2.2"]),
        (replace(LIMITS, ratio=1, ratio_free=0), ["1", "1.1", "1.2", "1.3", "2", "2.1", "2.2", "2.3"]),
        (replace(LIMITS, depth=0), ["1", "2"]),
    ],
)
def test_limits_stop_extraction_and_never_storage(limits: ContainerLimits, expected: list[str]) -> None:
    files = [attached(f"{number}", PDF) for number in range(3)]
    found = process(mail_with(winmail(*files), winmail(*files), text=None), containers=limits)
    assert [part for part, *_ in found.described] == expected
    assert found.contents["1"] == found.contents["2"] == tnef(*files)
    limited = [part for part in ("1", "2") if found.parts[part].defects == ["container_limit"]]
    assert limited == [part for part in ("1", "2") if f"{part}.3" not in expected]
    assert found.manifest.parse.status == ("partial" if limited else "complete")


def test_parts_of_signed_mail_count_too() -> None:
    found = process(mail_with((*SMIME, signed(OFFER)), text=None), containers=replace(LIMITS, children=2))
    assert found.bodies == {"text": b"Signed.", "html": b"<p>Signed."}
    assert found.parts["1"].defects == ["container_limit"]
    limits = MimeLimits(parts=2)
    found = process(mail_with((*SMIME, signed(OFFER)), text=None), limits=limits)
    assert found.parts["1"].defects == ["parts_limit"]
    assert found.manifest.parse.status == "partial"


def test_number_of_deferred_signed_messages_is_limited() -> None:
    mail = mail_with(*[(*SMIME, signed(OFFER))] * 4)
    found = process(mail, containers=replace(LIMITS, messages=2))
    opened = [part for part, *_ in found.described if part.endswith(".3")]
    assert opened == ["2.3", "3.3"]
    assert [found.parts[part].defects for part in "2345"] == [[], [], ["container_limit"], ["container_limit"]]


def test_no_two_parts_have_the_same_path() -> None:
    """A text that contains uuencoded files, and is CMS too."""
    uuencoded = b"begin 644 x\r\n#86)C\r\n`\r\nend\r\n"
    odd = pem(signed(b"x")) + uuencoded
    both = b"--b\r\nContent-Type: text/plain\r\n\r\n" + odd + b"\r\n--b--\r\n"
    found = process(mail_with().replace(b"--b--\r\n", both))
    assert [(part, name) for part, _, _, name in found.described] == [("2", "part-2.p7m"), ("2.1", "x")]


@pytest.mark.parametrize(
    ("bug", "defect"),
    [
        *[(bug("a bug"), "container_broken") for bug in (ValueError, IndexError, RecursionError, AssertionError)],
        (MemoryError(), "container_stopped"),
    ],
)
def test_a_bug_in_a_reader_loses_neither_message_nor_container(
    monkeypatch: pytest.MonkeyPatch, bug: Exception, defect: str
) -> None:
    def read(chunks: Iterable[bytes], defects: set[Defect]) -> Iterator[FileEvent]:
        yield b"half of a file"
        raise bug

    monkeypatch.setattr(containers, "read_tnef", read)
    found = process(mail_with(winmail(attached("a", PDF)), ("a.pdf", "application/pdf", PDF)))
    assert [(each.part, each.defects) for each in found.manifest.attachments] == [("2", [defect]), ("3", [])]


@pytest.mark.parametrize("name", ["recognise", "kind_of", "PdfScan"])
def test_bug_while_inspecting_an_attachment_leaves_it_unchanged(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def look(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr(containers, name, look)
    found = process(
        mail_with(
            ("a.pdf", "application/pdf", PDF),
            ("b.p7m", "application/pkcs7-mime", signed(b"x")),
            (*WINMAIL, nested(1)),
        )
    )
    assert [part for part, *_ in found.described][:3] == ["2", "3", "3.1" if name == "PdfScan" else "4"]
    assert found.contents["2"] == PDF
    assert any(each.defects == ["container_broken"] for each in found.manifest.attachments)


def test_time_limit_interrupt_is_not_caught_as_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    class TimeIsUpError(Exception):
        pass

    def read(chunks: Iterable[bytes], defects: set[Defect]) -> Iterator[FileEvent]:
        yield b"half of a file"
        raise TimeIsUpError

    monkeypatch.setattr(containers, "read_tnef", read)
    with pytest.raises(TimeIsUpError):
        process(mail_with(winmail(attached("a", PDF)), (*SMIME, signed(OFFER))))


def test_processing_again_writes_the_same_keys() -> None:
    mail = mail_with(
        winmail(attached("a.pdf", PDF)), (*SMIME, signed(OFFER)), ("x.p7m", "text/plain", der(0x30, b""))
    )
    first, second = process(mail), process(mail)
    assert first.store.objects.keys() == second.store.objects.keys()
    assert first.manifest == second.manifest


@settings(max_examples=60)
@given(st.data())
def test_any_damage_to_nested_containers_loses_no_message(data: st.DataObject) -> None:
    """Damage at any place and depth: the message is complete, and no stored byte is invented."""
    inner = signed_ber(in_segments([OFFER[:60], OFFER[60:]]))
    content = bytearray(
        tnef(attached("a.p7m", inner), attached("b.dat", tnef(attached("c.p7m", signed_ber(der(4, PDF))))))
    )
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    found = process(mail_with((*WINMAIL, bytes(content[:cut])), ("a.pdf", "application/pdf", PDF)))
    assert found.contents["2"] == content[:cut]
    assert found.contents["3"] == PDF
    assert found.bodies["text"] == b"Hello."
    assert len(set(found.contents)) == len(found.manifest.attachments)
    assert all(each.parent in found.contents for each in found.manifest.attachments[1:] if "." in each.part)
    assert sum(map(len, found.contents.values())) <= 5 * len(content) + len(PDF)


def test_memory_does_not_grow_with_extracted_size(tmp_path: Path) -> None:
    """A file of 24 MiB in a signed file in a winmail.dat: the spools are on disk, and chunks pass."""
    content = bytes(range(256)) * 4096 * 24

    def peak(size: int) -> int:
        data = tnef(attached("a.bin.p7m", signed_ber(der(4, content[:size]))))
        store = FolderStore(tmp_path)
        tracemalloc.start()
        with ThreadPoolExecutor(1) as uploads:
            parts = PartAssembler(store, f"{size}", uploads, containers.Containers("k"))
            parts.feed(PartBegun("1", None, "attachment", "application/ms-tnef"))
            for at in range(0, len(data), 65_536):
                parts.feed(PartData("1", data[at : at + 65_536]))
            parts.feed(PartEnded("1"))
            parts.feed(MessageEnded(MessageHeader(b"", MimeLimits()), "complete"))
            _, attachments = parts.finish()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert [each.size for each in attachments][-1] == size
        return most

    assert peak(len(content)) < peak(len(content) // 8) + 2**20


def test_few_parts_wait_in_memory_for_a_slow_store(tmp_path: Path) -> None:
    under_way, most, go = 0, 0, threading.Event()

    class Uploads(ThreadPoolExecutor):
        def submit(self, *what: Any, **how: Any) -> Future[Any]:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            future = super().submit(*what, **how)
            future.add_done_callback(ended)
            return future

    def ended(_: Future[Any]) -> None:
        nonlocal under_way
        under_way -= 1

    def slow(operation: str, key: str) -> None:
        go.wait(30)

    store = MemoryStore(fault=slow)
    with Uploads(1) as uploads, ThreadPoolExecutor(1) as reading:
        parts = PartAssembler(store, "m", uploads, containers.Containers("k"))

        def read() -> None:
            for event in parse([mail_with(*[("a.txt", "text/plain", b"x")] * 200)]):
                parts.feed(event)

        whole = reading.submit(read)
        try:
            eventually(lambda: under_way >= 32)
        finally:
            go.set()
        whole.result(30)
        assert len(parts.finish()[1]) == 200
    assert most <= 33


def test_everything_is_released_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that wait for their upload, that are being inspected, and texts that are no bodies."""
    begin, close = Spool.__init__, Spool.close
    opened: list[Spool] = []
    closed: list[Spool] = []

    def begun(self: Spool) -> None:
        begin(self)
        opened.append(self)

    def ended(self: Spool) -> None:
        close(self)
        closed.append(self)

    class Never(ThreadPoolExecutor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            return Future()

    def full(*_: Any) -> str:
        raise SpoolError("make room")

    monkeypatch.setattr(Spool, "__init__", begun)
    monkeypatch.setattr(Spool, "close", ended)
    mail = mail_with(("a.pdf", "application/pdf", PDF), ("b.txt", "text/plain", b"b"), ("c.txt", "text/plain", b"c"))
    with Never(1) as uploads:
        parts = PartAssembler(MemoryStore(), "m", uploads, containers.Containers("k"))
        for event in parse([mail]):
            parts.feed(event)
        monkeypatch.setattr("ingest.usecases.process.assembly.detect_type", full)
        with pytest.raises(SpoolError):
            parts.finish()
        parts.abandon()
    assert len(opened) >= 4
    assert {id(spool) for spool in closed} == {id(spool) for spool in opened}
