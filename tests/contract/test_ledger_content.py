"""Which message had the same content first, on the twin and on Valkey."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ingest.ports.content import GENERATIONS, ContentLimits

if TYPE_CHECKING:
    from tests.support.valkey import LedgerBench

LIMITS = ContentLimits(window=0.7, entries=8 * GENERATIONS)
LONG = ContentLimits(window=3600.0, entries=8 * GENERATIONS)


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:16]


def key(number: int) -> str:
    return f"{number:032x}"


def first(bench: LedgerBench, number: int, *names: str, limits: ContentLimits = LONG) -> list[int]:
    found = bench.ledger.first_messages([(digest(name), key(number)) for name in names], limits)
    return [int(one, 16) for one in found]


def test_first_message_stays_the_first(bench: LedgerBench) -> None:
    assert first(bench, 1, "a", "b") == [1, 1]
    assert first(bench, 2, "b", "c", "a") == [1, 2, 1]
    assert first(bench, 1, "a", "b") == [1, 1], "processed again"
    assert first(bench, 2, "b", "c", "a") == [1, 2, 1], "processed again"
    assert first(bench, 3, "c") == [2]
    assert first(bench, 3) == []


def test_one_of_several_at_once_is_the_first_for_all(bench: LedgerBench) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: first(bench, number, "a", "b"), range(1, 33)))
    (winner,) = {answer for pair in answers for answer in pair}
    assert 1 <= winner <= 32


def test_digest_is_forgotten_after_the_window(bench: LedgerBench) -> None:
    assert first(bench, 1, "a", limits=LIMITS) == [1]
    bench.pass_time(LIMITS.window + 2 * LIMITS.span)
    assert first(bench, 3, "a", limits=LIMITS) == [3]


def test_digest_is_kept_for_its_window_while_generations_follow_each_other(bench: LedgerBench) -> None:
    quick = ContentLimits(window=LIMITS.window, entries=LONG.entries)
    assert first(bench, 1, "a", limits=LONG) == [1]
    for number in range(2, GENERATIONS):
        bench.pass_time(quick.span)
        assert first(bench, number, f"b{number}", limits=quick) == [number], "a generation begins"
    assert first(bench, GENERATIONS, "a", limits=quick) == [1]


def test_digests_are_no_more_than_the_limit_and_the_oldest_go_first(bench: LedgerBench) -> None:
    for number in range(1, LONG.entries):
        assert first(bench, number, f"name-{number}") == [number]
    assert first(bench, 1000, "name-1") == [1], "there is room for all"
    assert first(bench, LONG.entries, f"name-{LONG.entries}") == [LONG.entries]
    assert first(bench, 1001, "name-1") == [1001], "the oldest generation was dropped as a whole"
    assert first(bench, 1002, f"name-{LONG.per_generation + 1}") == [LONG.per_generation + 1]
    for number in range(2000, 2000 + LONG.entries):
        first(bench, number, f"other-{number}")
    assert first(bench, 3000, f"name-{LONG.entries}") == [3000], "none of the first ones is left"


def test_purged_messages_are_forgotten_and_others_are_not(bench: LedgerBench) -> None:
    first(bench, 1, "a", "b")
    first(bench, 2, "c")
    bench.ledger.record_quarantined(key(1))
    assert bench.ledger.forget_messages([key(1), key(9)]) == 2
    assert bench.ledger.forget_messages([key(1)]) == 0
    assert bench.ledger.forget_messages([]) == 0
    assert first(bench, 3, "a", "b", "c") == [3, 3, 2]
    assert bench.ledger.counts()["quarantined"] == 0


def test_mailbox_is_restored_until_all_digests_are_lost(bench: LedgerBench) -> None:
    assert not bench.ledger.is_content_restored("box")
    bench.ledger.mark_content_restored("box")
    assert bench.ledger.is_content_restored("box")
    assert not bench.ledger.is_content_restored("other")
    first(bench, 1, "a")
    assert bench.ledger.is_content_restored("box")
    bench.ledger.mark_content_restored("other")
    assert bench.ledger.is_content_restored("box")
    bench.lose()
    assert not bench.ledger.is_content_restored("box")
    assert first(bench, 2, "a") == [2]


def test_message_in_quarantine_counts_once(bench: LedgerBench) -> None:
    for number in (1, 2, 1):
        bench.ledger.record_quarantined(key(number))
    assert bench.ledger.counts()["quarantined"] == 2


def test_message_that_was_handed_on_is_no_longer_in_quarantine(bench: LedgerBench) -> None:
    for number in (1, 2):
        bench.ledger.record_quarantined(key(number))
    bench.ledger.release_quarantined([key(1), key(9)])
    bench.ledger.release_quarantined([])
    assert bench.ledger.counts()["quarantined"] == 1
