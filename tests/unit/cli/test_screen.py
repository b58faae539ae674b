"""The live view fits its terminal and says what is the matter."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ingest.admin.status import MailboxRow, Status
from ingest.cli.screen import Places, ago, format_size, plain, render
from ingest.cli.supervisor import ChildState
from ingest.cli.watch import Snapshot, Totals
from ingest.ports.claims import Backlog
from ingest.ports.eventlog import GroupLag
from ingest.ports.status import MailboxStatus, Memory

PLACES = Places([("objects", "/srv/mail"), ("to stop", "Ctrl-C")])


def snapshot(mailboxes: int = 5, *, ledger: bool = True) -> Snapshot:
    rows = [
        MailboxRow(
            f"box-{n}",
            n != 1,
            60.0,
            MailboxStatus(1000.0, "success" if n else "auth_error", 1000.0, 12, 3, 4096),
            1000.0 if n == 2 else None,
        )
        for n in range(mailboxes)
    ]
    backlog = Backlog(0, 0, 0, 0.0)
    status = Status(
        rows,
        backlog,
        backlog,
        None,
        {"open": 2, "failed": 1, "events": 9, "dead_letters": 0},
        {"jsonl": GroupLag(4, 1.5)},
        1000.0,
    )
    totals = Totals(
        stored=12,
        processed=10,
        attachments=7,
        attachment_bytes=2**21,
        delivered={"jsonl": 8},
        latency_p50=0.4,
        latency_p95=1.25,
    )
    processes = [ChildState("poller", 100, 0), ChildState("relay", None, 2)]
    return Snapshot(1005.0, 3725.0, 3.21, totals, status if ledger else None, processes)


def shown(view: Snapshot, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(render(view, PLACES, height))
    output = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    return str(output).splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
@pytest.mark.parametrize("mailboxes", [0, 1, 5, 100])
def test_it_fits(width: int, height: int, mailboxes: int) -> None:
    lines = shown(snapshot(mailboxes), width, height)
    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width


def test_mailboxes_that_find_no_room_are_counted() -> None:
    lines = shown(snapshot(100), 80, 24)
    visible = sum("box-" in line for line in lines)
    assert any(f"and {100 - visible} more" in line for line in lines)


def test_where_not_all_have_room_those_in_trouble_come_first() -> None:
    view = snapshot(100)
    assert view.status is not None
    rows = list(reversed(view.status.mailboxes))
    lines = shown(replace(view, status=replace(view.status, mailboxes=rows)), 80, 24)
    first = next(line for line in lines if "box-" in line)
    assert "box-0 " in first
    assert "auth error" in first


def test_the_demonstration_has_room_for_its_mailboxes_on_the_smallest_terminal() -> None:
    places = Places([(name, "/srv/mailhaul-demo/" + "x" * 40) for name in ("a", "b", "c", "d", "e")])
    console = Console(file=io.StringIO(), width=80, height=24)
    console.print(render(snapshot(5), places, 24))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert all(f"box-{number}" in text for number in range(5))
    assert len(text.splitlines()) < 24


def test_a_wide_terminal_shows_processes_with_pid_and_restarts() -> None:
    lines = shown(snapshot(), 120, 40)
    (poller,) = [line for line in lines if "● poller" in line]
    assert poller.split("● poller")[1].split()[:2] == ["100", "0"]
    (relay,) = [line for line in lines if "● relay" in line]
    assert relay.split("● relay")[1].split()[:2] == ["down", "2"]


def test_figures_and_troubles_are_there() -> None:
    text = "\n".join(shown(snapshot(), 100, 30))
    for words in (
        "1:02:05",
        "3.2 messages/s",
        "12 stored",
        "10 processed",
        "1 failed",
        "7 stored, 2.0 MiB",
        "8 to jsonl",
        "4 waiting",
        "50 % within 0.4 s",
        "auth error",
        "disabled",
        "paused",
        "relay (2 restarts)",
    ):
        assert words in text, words


def test_a_disabled_sink_is_shown_differently_from_one_that_lags() -> None:
    view = snapshot()
    assert view.status is not None
    assert "4 waiting" in "\n".join(shown(view, 100, 30))
    gone = replace(view, status=replace(view.status, disabled=["jsonl"]))
    assert "4 disabled (410 Gone)" in "\n".join(shown(gone, 100, 30))


def nearly_full(mailboxes: int = 5) -> Snapshot:
    view = snapshot(mailboxes)
    assert view.status is not None
    return replace(view, status=replace(view.status, polling_stopped=True, memory=Memory(83 * 2**20, 100 * 2**20)))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_stopped_polling_is_shown_with_its_remedy(width: int, height: int) -> None:
    lines = shown(nearly_full(), width, height)
    text = " ".join(" ".join(lines).split())
    assert "no mailbox is polled: the ledger uses 83% of its memory (workers.stop_polling_at)" in text
    assert "see to the sinks with events to deliver, or raise maxmemory" in text
    assert len(lines) <= height
    assert "polling=stopped" in plain(nearly_full())
    assert "no mailbox is polled" not in "\n".join(shown(snapshot(), width, height))


def test_an_unavailable_ledger_is_reported() -> None:
    assert "does not answer" in "\n".join(shown(snapshot(ledger=False), 80, 24))
    assert "ledger=unavailable" in plain(snapshot(ledger=False))


def test_without_a_terminal_it_is_one_line_of_pairs() -> None:
    line = plain(snapshot())
    assert dict(pair.split("=") for pair in line.split()) == {
        "mailboxes": "5",
        "stored": "12",
        "processed": "10",
        "attachments": "7",
        "events": "8",
        "pending": "2",
        "undelivered": "4",
        "dead_letters": "0",
        "failed": "1",
        "ledger": "up",
        "polling": "on",
        "starting": "-",
        "down": "relay",
    }


def test_view_says_which_processes_it_waits_for() -> None:
    waiting = replace(snapshot(), starting=["poller", "processor"])
    assert "waiting for poller, processor to answer" in "\n".join(shown(waiting, 80, 24))
    assert "starting=poller,processor" in plain(waiting)


def test_sink_that_got_nothing_yet_is_not_taken_for_none() -> None:
    before = replace(snapshot(), totals=Totals())
    assert "none to jsonl yet" in "\n".join(shown(before, 80, 24))


def test_narrow_terminal_shows_plain_figures() -> None:
    lines = shown(snapshot(), 20, 24)
    assert "pending 2" in lines
    assert "down relay" in lines


def test_sizes_and_ages_are_for_people() -> None:
    assert [format_size(size) for size in (0, 999, 2048, 5 * 2**30)] == ["0 B", "999 B", "2.0 KiB", "5.0 GiB"]
    assert [ago(seconds) for seconds in (-1, 5, 600, 7300, 200_000)] == ["0 s", "5 s", "10 min", "2 h", "2 d"]
