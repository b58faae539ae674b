"""The first thing a newcomer runs: `mailhaul up` without a configuration."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.service import DeliveredIds, mailhaul, read_events
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from pathlib import Path


def run_until(folder: Path, mails: int, number: signal.Signals) -> tuple[int, str]:
    """Start the demonstration, wait until so many mails are through, end it; its exit code and output."""
    delivered = DeliveredIds(folder / "events.jsonl")
    process = subprocess.Popen(
        [sys.executable, "-m", "ingest.cli", "up", "--folder", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        eventually(
            lambda: len(delivered.read()) >= mails,
            lambda: f"{len(delivered.read())} of {mails} events",
        )
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    return process.returncode, output


def mails_in(folder: Path) -> int:
    return len(list((folder / "maildrops").rglob("*.eml")))


@pytest.mark.e2e
def test_demonstration_needs_no_configuration_and_a_second_start_continues(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    code, output = run_until(folder, 40, signal.SIGINT)
    assert code == 130
    assert "Traceback" not in output
    for words in (
        "console: http://127.0.0.1:",
        "objects:",
        "metrics: http://127.0.0.1:",
        "mailhaul up --config my.yaml",
        "stopped",
    ):
        assert words in output
    first = read_events(folder / "events.jsonl")

    code, output = run_until(folder, len(first) + 1, signal.SIGTERM)
    assert code == 0
    second = read_events(folder / "events.jsonl")
    assert second[: len(first)] == first
    assert len({event["id"] for event in second}) == len(second) <= mails_in(folder), "nothing is ingested twice"
    malformed = [event for event in second if event["data"]["parse"]["defects"]]
    assert malformed, "one of the demonstration's mails is broken, and came through all the same"


@pytest.mark.e2e
def test_configuration_of_the_demonstration_is_usable(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    run_until(folder, 40, signal.SIGTERM)
    done = mailhaul("status", "--config", str(folder / "mailhaul.yaml"))
    assert done.returncode == 0, done.stderr
    assert "invoices-de" in done.stdout
    assert "success" in done.stdout
