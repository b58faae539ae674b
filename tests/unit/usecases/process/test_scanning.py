"""Virus scanning during processing: infected, clean and unscanned attachments, and an unavailable scanner."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from ingest.adapters.scanners.clamd import ClamdScanner
from ingest.testing.scanner import MemoryScanner
from ingest.usecases.process.scanning import BUDGET, Scanning
from ingest.usecases.spool import Spool
from tests.support.bench import Bench, bench, never
from tests.support.clamav import SIGNATURE, VIRUS, Clamd

if TYPE_CHECKING:
    from ingest.domain.manifest import Scan

MAIL = (
    b'Subject: s\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\n\r\nHello.\r\n"
    b'--b\r\nContent-Type: application/pdf; name="../bad.pdf"\r\n\r\n%PDF ' + VIRUS + b"\r\n"
    b'--b\r\nContent-Type: application/pdf; name="good.pdf"\r\n\r\n%PDF good\r\n--b--\r\n'
)


def processed(b: Bench, raw: bytes = MAIL) -> dict[str, Any]:
    """The event's data after one message was polled and processed."""
    b.maildrops["a"].messages[b"u1"] = raw
    b.everything()
    assert b.ledger.counts() == {"open": 0, "failed": 0, "events": 1, "dead_letters": 0, "quarantined": 0}
    data: dict[str, Any] = b.published()[0]["data"]
    assert data["parse"]["status"] == "complete"
    return data


def said(data: dict[str, Any]) -> dict[str, Any]:
    return {attachment["filename"]: attachment["scan"] for attachment in data["attachments"]}


def scanned(b: Bench, result: str) -> float | None:
    return b.metrics.registry.get_sample_value("mailhaul_scans_total", {"result": result})


def test_without_a_scanner_there_is_no_result() -> None:
    with bench() as b:
        data = processed(b)
        assert set(said(data).values()) == {None}
        assert data["scan"] is None


@pytest.mark.parametrize("quarantine", [False, True])
def test_infected_attachment_is_marked_and_quarantined_only_if_configured(*, quarantine: bool) -> None:
    with bench() as b:
        b.scan_with(Scanning(MemoryScanner({VIRUS: SIGNATURE}), quarantine=quarantine))
        data = processed(b)
        assert said(data) == {
            "bad.pdf": {"status": "infected", "signature": SIGNATURE},
            "good.pdf": {"status": "clean", "signature": None},
        }
        assert data["scan"] == {"status": "infected", "infected": 1, "unscanned": 0}
        folder = data["manifest"].rpartition("/")[0]
        apart = "quarantine" if quarantine else "attachments"
        kept = [attachment["object"]["key"] for attachment in data["attachments"]]
        assert kept == [f"{folder}/{apart}/2-bad.pdf", f"{folder}/attachments/3-good.pdf"]
        assert b.store.objects[kept[0]].content == b"%PDF " + VIRUS
        assert not [key for key in b.store.objects if key.endswith("bad.pdf") and key != kept[0]]
        assert data["raw"]["key"] in b.store.objects, "the raw message stays"
        assert (scanned(b, "infected"), scanned(b, "clean"), scanned(b, "unscanned")) == (1, 1, 0)


def test_unavailable_scanner_leaves_the_message_complete_and_unscanned() -> None:
    with bench() as b:
        b.scan_with(Scanning(MemoryScanner(unavailable=True), quarantine=True))
        data = processed(b)
        assert {scan["status"] for scan in said(data).values()} == {"unscanned"}
        assert data["scan"] == {"status": "unscanned", "infected": 0, "unscanned": 2}
        assert {attachment["object"]["key"].split("/")[-2] for attachment in data["attachments"]} == {"attachments"}
        assert scanned(b, "unscanned") == 2


def test_files_inside_a_nested_message_are_scanned_too() -> None:
    with bench() as b:
        b.scan_with(Scanning(MemoryScanner({VIRUS: SIGNATURE})))
        outer = b"Subject: fwd\r\nContent-Type: message/rfc822\r\n\r\n" + MAIL
        found = [(each["part"], each["scan"]["status"]) for each in processed(b, outer)["attachments"]]
        assert found == [("1", "infected"), ("1.2", "infected"), ("1.3", "clean")]


def test_a_message_without_attachments_is_clean() -> None:
    with bench() as b:
        b.scan_with(Scanning(MemoryScanner()))
        assert processed(b, b"Subject: s\r\n\r\nHello.\r\n")["scan"]["status"] == "clean"


def test_slow_scanner_does_not_use_up_the_time_limit_of_a_message() -> None:
    now = [0.0]

    class Slow(MemoryScanner):
        def scan(self, content: BinaryIO, size: int) -> Scan:
            now[0] += BUDGET / 4
            return super().scan(content, size)

    scans = Scanning(Slow(), clock=lambda: now[0]).begin()
    spool = Spool()
    found = [scans.scan(spool) for _ in range(6)]
    spool.close()
    assert [scan.status for scan in found if scan is not None] == ["clean"] * 4 + ["unscanned"] * 2


def test_the_scanner_reads_the_whole_file_and_so_does_the_store() -> None:
    read: list[bytes] = []

    class Recording(MemoryScanner):
        def scan(self, content: BinaryIO, size: int) -> Scan:
            read.append(content.read())
            return super().scan(io.BytesIO(read[-1]), size)

    with bench() as b:
        b.scan_with(Scanning(Recording()))
        data = processed(b)
        assert [b.store.objects[each["object"]["key"]].content for each in data["attachments"]] == sorted(read)


def test_real_clamd_scans_and_its_stop_leaves_files_unscanned(own_clamd: Clamd) -> None:
    with bench() as b:
        scanner = ClamdScanner(own_clamd.unix_url, timeout=20, largest=2**20)
        b.scan_with(Scanning(scanner, quarantine=True))
        data = processed(b)
        assert said(data)["bad.pdf"] == {"status": "infected", "signature": SIGNATURE}
        assert said(data)["good.pdf"]["status"] == "clean"
        assert data["attachments"][0]["object"]["key"].split("/")[-2:] == ["quarantine", "2-bad.pdf"]
        own_clamd.stop()
        b.maildrops["a"].messages[b"u2"] = MAIL.replace(b"Subject: s", b"Subject: t")
        b.clock.time += 3600
        b.poll_all()
        b.process_stage.run(never)
        b.relay_stage.run(never)
        later = b.published()[-1]["data"]
        assert later["headers"]["subject"] == "t"
        assert later["parse"]["status"] == "complete"
        assert later["scan"] == {"status": "unscanned", "infected": 0, "unscanned": 2}
