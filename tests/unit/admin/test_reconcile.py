"""Reconciling: what the ledger lost is restored, what it knows is unchanged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ingest.admin.mailbox_claim import MailboxBusyError
from ingest.admin.reconcile import Reconciled, Reconciler
from ingest.domain.retry import MESSAGE_TRIES
from ingest.errors import LedgerUnavailableError, StoreUnavailableError
from tests.support.bench import Bench, bench, mail, mailbox, never

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from ingest.ports.store import Stored


def reconcile(b: Bench) -> dict[str, Reconciled]:
    """Reconcile every mailbox, without waiting for claims."""
    reconciler = Reconciler(b.ledger, b.keeper, b.rebuilder, b.events, patience=0.0)
    return {one.mailbox: one for one in reconciler.run(b.mailboxes.values(), never)}


def fetched(b: Bench, count: int, id_: str = "a") -> None:
    b.maildrops[id_].messages |= {f"{id_}{n}".encode(): mail(f"{id_} {n}") for n in range(count)}
    b.poll_all()


def test_complete_ledger_is_left_unchanged() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        fetched(b, 3)
        b.process_stage.run(never)
        fetched(b, 5)  # two of them open
        found = reconcile(b)
        assert found == {"a": Reconciled("a", messages=5), "b": Reconciled("b")}
        b.everything()
        assert len(b.published()) == 5
        assert reconcile(b) == found


def test_empty_ledger_is_rebuilt_without_contacting_the_server() -> None:
    with bench() as b:
        fetched(b, 4)
        b.process_stage.run(never)
        fetched(b, 6)
        published = b.published()
        b.ledger.lose()
        sessions = b.maildrops["a"].sessions
        assert reconcile(b)["a"] == Reconciled("a", messages=6, reopened=2, republished=4, restored=4)
        assert b.maildrops["a"].sessions == sessions
        assert reconcile(b)["a"] == Reconciled("a", messages=6)
        b.everything()
        assert len({event["id"] for event in b.published()}) == 6
        assert {event["id"] for event in published} <= {event["id"] for event in b.published()}


def test_partly_lost_ledger_is_completed() -> None:
    """As after a failover to a replica that lagged by minutes: a done message is unknown, another is open."""
    with bench() as b:
        fetched(b, 2)
        b.everything()
        seen = b.ledger.seen("a").records
        fetched(b, 4)
        b.process_stage.run(never)
        b.ledger.lose()
        claim = b.ledger.mailboxes.claim_one("a", 60)
        assert claim is not None
        b.ledger.restore_seen(claim, seen, b.ledger.incarnation())
        b.ledger.mailboxes.release(claim, 0.0)
        found = reconcile(b)["a"]
        assert (found.messages, found.reopened) == (4, 0)
        assert found.republished >= 2
        b.everything()
        assert len({event["id"] for event in b.published()}) == 4


@pytest.mark.parametrize("listed", ["afterwards", "before"])
def test_message_completed_meanwhile_is_neither_republished_nor_reopened(
    listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a running service, messages are completed while the store is listed."""
    with bench() as b:
        fetched(b, 3)
        look_through = b.store.stored

        def finishing(prefix: str) -> list[Stored]:
            before = list(look_through(prefix))
            b.process_stage.run(never)
            return before if listed == "before" else list(look_through(prefix))

        monkeypatch.setattr(b.store, "stored", finishing)
        assert reconcile(b)["a"] == Reconciled("a", messages=3)
        assert b.ledger.counts()["open"] == 0
        b.everything()
        assert len(b.published()) == 3


def test_done_unique_ids_are_restored() -> None:
    with bench() as b:
        fetched(b, 3)
        b.everything()
        b.everything()  # writes the checkpoint
        b.ledger.lose()
        assert reconcile(b)["a"].restored == 3
        retrieved = len(b.maildrops["a"].retrieved)
        b.everything()
        assert len(b.maildrops["a"].retrieved) == retrieved


def test_failed_messages_stay_failed() -> None:
    with bench() as b:
        fetched(b, 1)
        for _ in range(MESSAGE_TRIES):
            (claim,) = b.ledger.messages.claim(1, 60)
            assert b.ledger.messages.begin_attempt(claim), "and its worker is killed"
            b.clock.time += 61
        b.process_stage.run(never)
        assert b.ledger.counts()["failed"] == 1
        assert reconcile(b)["a"].reopened == 0
        assert (b.ledger.counts()["failed"], b.ledger.counts()["open"]) == (1, 0)


def test_failing_mailbox_delays_no_other() -> None:
    with bench(mailbox("a"), mailbox("b"), mailbox("c")) as b:
        for id_ in "abc":
            fetched(b, 1, id_)
        b.ledger.lose()
        assert b.ledger.mailboxes.claim_one("a", 60)

        def trouble(_operation: str, key: str) -> None:
            if "/b/" in key:
                raise StoreUnavailableError("The store is unavailable.")

        b.store.fault = trouble
        found = reconcile(b)
        assert isinstance(found["a"].error, MailboxBusyError)
        assert isinstance(found["b"].error, StoreUnavailableError)
        assert found["c"] == Reconciled("c", messages=1, reopened=1)
        assert b.ledger.unknown("abc") == 2


def test_schedule_is_unchanged() -> None:
    with bench(mailbox("a", interval=600.0), mailbox("paused"), mailbox("off", enabled=False)) as b:
        b.everything()
        b.ledger.pause("paused")
        b.poll_stage.run(never)
        b.clock.time += 100
        reconcile(b)
        assert b.ledger.mailboxes.due_in("a") == pytest.approx(500.0)
        b.poll_stage.run(never)
        assert b.ledger.mailboxes.members() == {"a"}
        assert not b.ledger.unknown(["a", "paused", "off"])


def test_mailboxes_reconciled_before_a_ledger_outage_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run again, it does the rest."""
    with bench(mailbox("a"), mailbox("b")) as b:
        for id_ in "ab":
            fetched(b, 1, id_)
        b.ledger.lose()
        run = Reconciler(b.ledger, b.keeper, b.rebuilder, b.events, patience=0.0).run(b.mailboxes.values(), never)
        assert next(run) == Reconciled("a", messages=1, reopened=1)

        def unavailable(_keys: Sequence[str]) -> NoReturn:
            raise LedgerUnavailableError("The ledger is unavailable.")

        monkeypatch.setattr(b.ledger, "open_messages", unavailable)
        with pytest.raises(LedgerUnavailableError):
            next(run)
        monkeypatch.undo()
        assert reconcile(b) == {"a": Reconciled("a", messages=1), "b": Reconciled("b", messages=1, reopened=1)}


def test_reconcile_stops_between_mailboxes() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        asked = iter([False, True])
        reconciler = Reconciler(b.ledger, b.keeper, b.rebuilder, b.events)
        assert [one.mailbox for one in reconciler.run(b.mailboxes.values(), lambda: next(asked))] == ["a"]


def test_progress_of_large_mailboxes_is_reported() -> None:
    with bench() as b:
        fetched(b, 1)
        b.everything()
        (manifest,) = b.keys("message.json")
        folder = manifest.rpartition("/")[0].rpartition("/")[0]
        for number in range(2_500):
            b.store.objects[f"{folder}/{number:032x}/message.json"] = replace(b.store.objects[manifest])
        heard: list[int] = []
        for _ in Reconciler(b.ledger, b.keeper, b.rebuilder, b.events).run(
            b.mailboxes.values(), never, lambda _, looked: heard.append(looked)
        ):
            pass
        assert heard == [1000, 2000]


def test_reconciling_stops_while_it_waits_for_a_mailbox_and_between_mailboxes() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        fetched(b, 1)
        b.ledger.mailboxes.claim_one("b", 60)
        reconciler = Reconciler(b.ledger, b.keeper, b.rebuilder, b.events, patience=60.0)
        asked = iter([False, False, True])
        found = reconciler.run(b.mailboxes.values(), lambda: next(asked, True))
        assert [one.mailbox for one in found] == ["a"]
        assert list(reconciler.run(b.mailboxes.values(), lambda: True)) == []
