"""Work that fills the ledger stops before its memory is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.errors import LedgerUnavailableError
from ingest.ports.status import Memory
from ingest.ports.wakeups import Queue
from ingest.usecases.backpressure import LOOK_EVERY, MemoryPressure, process_share
from tests.support.bench import Bench, bench, mail, never

if TYPE_CHECKING:
    from tests.support.clock import Clock

LIMIT = 1_000


def use(b: Bench, used: int, limit: int | None = LIMIT) -> None:
    """Let the ledger use so much memory, and everybody notice it."""
    b.ledger.server_memory = Memory(used, limit)
    b.clock.time += LOOK_EVERY


def test_polling_stops_at_its_share_and_resumes_some_way_below() -> None:
    with bench() as b:
        pressure = MemoryPressure(b.ledger, 0.8, monotonic=b.clock)
        found = []
        for used in (799, 800, 770, 760, 759, 799, 800):
            use(b, used)
            found.append(pressure.high())
        assert found == [False, True, True, True, False, False, True]


@pytest.mark.parametrize("memory", [None, Memory(LIMIT, None)])
def test_ledger_without_a_known_limit_never_stops_anything(memory: Memory | None) -> None:
    with bench() as b:
        b.ledger.server_memory = memory
        assert not MemoryPressure(b.ledger, 0.8, monotonic=b.clock).high()


def test_ledger_that_does_not_answer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> Memory:
        raise LedgerUnavailableError("unavailable")

    with bench() as b:
        pressure = MemoryPressure(b.ledger, 0.8, monotonic=b.clock)
        use(b, 900)
        assert pressure.high()
        monkeypatch.setattr(b.ledger, "memory", unavailable)
        b.clock.time += LOOK_EVERY
        assert pressure.high()


def test_memory_is_asked_for_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def memory() -> None:
        asked.append(1)

    with bench() as b:
        monkeypatch.setattr(b.ledger, "memory", memory)
        pressure = MemoryPressure(b.ledger, 0.8, monotonic=b.clock)
        for _ in range(10):
            pressure.high()
        assert len(asked) == 1


def test_no_mailbox_is_claimed_and_no_wakeup_sent_while_memory_is_high() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u"] = mail("1")
        use(b, 800)
        b.ticker.tick(b.schedule())
        assert b.wakeups.sent[Queue.POLL] == 0
        assert b.poll_stage.run(never) == 0
        use(b, 500)
        b.ticker.tick(b.schedule())
        assert b.wakeups.sent[Queue.POLL] == 1
        assert b.poll_stage.run(never) == 1


def test_poll_ends_early_and_registers_what_it_has_when_memory_runs_out() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {b"u%d" % number: mail(str(number)) for number in range(5)}
        fill_after(b, b.clock, fetched=2)
        b.ticker.tick(b.schedule())
        b.poll_stage.run(never)
        assert 2 <= b.ledger.counts()["open"] < 5
        use(b, 500)
        b.poll_stage.run(never)
        assert b.ledger.counts()["open"] == 5


def fill_after(b: Bench, clock: Clock, fetched: int) -> None:
    """Let the memory run out once so many messages were put into the store."""
    puts: list[str] = []

    def fault(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("raw.eml"):
            puts.append(key)
            if len(puts) == fetched:
                b.ledger.server_memory = Memory(LIMIT, LIMIT)
            clock.time += LOOK_EVERY

    b.store.fault = fault


def test_processing_goes_on_until_half_of_the_rest_is_used() -> None:
    assert process_share(0.8) == pytest.approx(0.9)
    with bench() as b:
        b.maildrops["a"].messages[b"u"] = mail("1")
        b.poll_all()
        use(b, 900)
        assert b.process_stage.run(never) == 0
        use(b, 850)
        assert b.process_stage.run(never) == 1


def test_delivery_never_stops() -> None:
    with bench() as b:
        b.maildrops["a"].messages[b"u"] = mail("1")
        b.poll_all()
        b.process_stage.run(never)
        use(b, LIMIT)
        b.relay_stage.run(never)
        assert len(b.published()) == 1
