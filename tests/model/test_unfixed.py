"""The model finds each known fault: taken out of the product again, its fix is missed within a few examples.

Each case takes out one defence and lets only those things happen that matter for it.
"""

from __future__ import annotations

import hashlib
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from ingest.errors import ObjectExistsError
from ingest.ports.maildrop import Fetched
from ingest.ports.schedule import Precedence
from ingest.ports.seen import Registration, Seen
from ingest.testing import MemoryEventLog, MemoryLedger
from ingest.usecases.poll.deletions import Deletions
from ingest.usecases.poll.poller import Poller
from ingest.usecases.poll.progress import PollProgress
from ingest.usecases.poll.proof import StoreProof
from ingest.usecases.process.retraction import Retraction
from ingest.usecases.process.stage import ProcessStage
from ingest.usecases.recover import content, rebuild, republish
from ingest.usecases.recover.republish import StreamIds
from ingest.usecases.recover.watermark import DeliveryWatermark
from ingest.usecases.store_identity import StoreIdentity
from tests.model.machine import Machine

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from ingest.domain.message import OpenMessage
    from ingest.ports.claims import Claim

# Each fault takes fewer than 300, but what Hypothesis draws depends on the modules that other tests have loaded.
EXAMPLES = 2_000
RULES = frozenset(name for name in vars(Machine) if hasattr(getattr(Machine, name), "hypothesis_stateful_rule"))

SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


def by_unique_id_alone(maildrop: bytes, unique_id: bytes, size: int | None) -> bytes:
    return hashlib.sha256(unique_id).digest()[:16]


def by_size_and_unique_id_alone(maildrop: bytes, unique_id: bytes, size: int | None) -> bytes:
    return hashlib.sha256(b"%d %s" % (size or 0, unique_id)).digest()[:16]


def unverified_chunks(raw: io.BufferedReader, source: object) -> Iterator[bytes]:
    yield raw.read()


def any_object_will_do(found: object, **_: object) -> None:
    raise ObjectExistsError("there is something under this key")


def retract_what_is_empty(
    retraction: Retraction, message: OpenMessage, now: datetime, retract: Any = Retraction.retract, **_: object
) -> bool:
    return bool(retract(retraction, message, now, written=True))


def always_newest(ledger: MemoryLedger, digest: str, epoch: int = 0, silence: float = 0.0) -> Precedence:
    ledger._last_epoch += 1
    ledger._newest = ledger._last_epoch, digest, 0.0
    return Precedence(ledger._last_epoch, newest=True)


def retire_at_once(trim: Callable[..., int]) -> Callable[..., int]:
    return lambda log, sinks, **_: trim(log, sinks, 0.0)


def begun_after_quit(ledger: MemoryLedger, claim: Claim, digests: Collection[bytes], _: object) -> None:
    ledger.__dict__["_begun"] = digests


def forgotten_after_quit(ledger: MemoryLedger, claim: Claim, _: object) -> None:
    ledger.forget(claim, vars(ledger).pop("_begun", ()))


def unmarked_record(registration: Registration, second: int, record: Any = Registration.record) -> Any:
    return record(replace(registration, is_doubtful=False), second)


# In place of a field of a dataclass.
NEVER = property(lambda _: False, lambda *_: None)


@contextmanager
def played() -> Iterator[Machine]:
    """A machine whose rules are called in an order that is written down; nothing of it stays open if one raises."""
    with closing(Machine()) as state:
        yield state
        state.teardown()


class Unfixed(NamedTuple):
    """A defence that is taken out.

    Attributes:
        changes: what replaces the functions that make up the defence.
        rules: what may happen, in an order that Hypothesis draws; or one order, where it rarely draws the right one.
        broken: the words of the promise that is broken.
    """

    changes: list[tuple[Any, str, Any]]
    rules: str | Callable[[Machine], None]
    broken: str

    def run(self) -> None:
        """Let happen what breaks the promise."""
        if isinstance(self.rules, str):
            run_state_machine_as_test(machine_with(self.rules), settings=SETTINGS)
            return
        with played() as state:
            self.rules(state)


def receive_another_message_twice(state: Machine) -> None:
    """The server sends the message behind it for the first one, until it answers for the second one alone."""
    state.first_mail(box="later")
    state.deliver(box="later", count=1)
    for _ in range(2):
        state.server_sends_another_message(box="later", pick=1)
        state.service_works(seconds=1)


def rebuild_from_a_store_that_cuts(state: Machine) -> None:
    state.first_mail(box="del")
    state.service_delivers_nothing(seconds=1)
    state.ledger_loses_everything()
    state.store_cuts_what_it_returns(cuts=True)
    state.service_delivers_nothing(seconds=1)


def lose_the_ledger_after_the_clock_was_set_back(state: Machine) -> None:
    state.first_mail(box="del")
    state.service_delivers_nothing(seconds=1)
    state.only_the_relay_works()
    state.clock_steps(seconds=-86_400)
    state.deliver(box="del", count=1)
    state.service_delivers_nothing(seconds=1)
    state.ledger_loses_everything()


CASES = {
    "1 unique-id alone": Unfixed(
        [("ingest.usecases.poll.identity", "listing_digest", by_unique_id_alone)],
        "deliver_under_a_used_id service_works somebody_else_deletes",
        "is not stored|DELE of",
    ),
    "1 maildrops have no identity": Unfixed(
        [("ingest.usecases.poll.identity", "listing_digest", by_size_and_unique_id_alone)],
        "deliver service_works mailbox_moves_to_another_server",
        "is not stored|DELE of",
    ),
    "1 deleted ids are kept": Unfixed(
        # That they are gone from the server would show that later messages may be others.
        [(MemoryLedger, "forget", lambda *_: 0), (Poller, "_compact", lambda *_: None)],
        "deliver deliver_in_place_of_a_deleted_message service_works",
        "DELE of .* whose bytes are not in the store",
    ),
    "1 deletions are recorded after QUIT": Unfixed(
        [
            (MemoryLedger, "begin_deletions", begun_after_quit),
            (MemoryLedger, "record_deleted", forgotten_after_quit),
        ],
        "deliver deliver_in_place_of_a_deleted_message server_loses_its_answer_to_quit service_works",
        "DELE of .* whose bytes are not in the store",
    ),
    "1 restored records are believed": Unfixed(
        [(Deletions, "_confirmed", lambda *of: of[-1])],
        "deliver deliver_in_place_of_a_deleted_message ledger_loses_its_last_second ledger_loses_everything "
        "service_works",
        "DELE of .* whose bytes are not in the store",
    ),
    "1 message numbers": Unfixed(
        [
            ("ingest.usecases.poll.identity", "listing_digest", by_unique_id_alone),
            ("ingest.usecases.poll.identity", "unreliable", lambda _: set()),
        ],
        "deliver server_changes_a_habit somebody_else_deletes service_works",
        "is not stored|DELE of|times",
    ),
    "1 whatever RETR sends is the message": Unfixed(
        [(PollProgress, "has_size_of_another", lambda *_: False)],
        "deliver server_sends_another_message service_works",
        "is not stored|DELE of .* whose bytes are not in the store",
    ),
    "1 another message is only fetched once more": Unfixed(
        # That it has another size than the one that was fetched would hold its deletion back, too.
        [(Registration, "record", unmarked_record), (StoreProof, "contradicts", lambda *_: False)],
        receive_another_message_twice,
        "DELE of .* whose bytes are not in the store",
    ),
    "1 a size that is an estimate shows no other message": Unfixed(
        [(StoreProof, "contradicts", lambda *_: False)],
        "deliver deliver_with_a_wrong_size server_sends_another_message service_works",
        "DELE of .* whose bytes are not in the store",
    ),
    "2 stores have no identity": Unfixed(
        [(StoreIdentity, "read", lambda _: b"0" * 16)],
        "deliver service_works store_is_swapped store_is_emptied",
        "is not stored",
    ),
    "2 no proof": Unfixed(
        [(StoreProof, "held", lambda _self, _box, due: [True] * len(due))],
        "deliver service_works store_is_emptied store_loses_an_object",
        # A proof covers both objects: which of them was lost depends on what Hypothesis draws.
        "DELE of .* (whose bytes are not in the store|which has no manifest)",
    ),
    "3 acknowledged is stored": Unfixed(
        [(StoreProof, "held", lambda _self, _box, due: [True] * len(due))],
        "deliver service_works store_forgets_what_it_acknowledges",
        "DELE of",
    ),
    "3 any object is the mail": Unfixed(
        [("ingest.adapters.stores.memory", "raise_exists", any_object_will_do)],
        "deliver service_works somebody_writes_an_empty_object",
        "describes another message",
    ),
    "3 raw is not compared": Unfixed(
        [("ingest.usecases.process.processor", "_verified_chunks", unverified_chunks)],
        "deliver process_works store_alters_unprocessed_mail",
        "describes another message",
    ),
    "3 an empty object was purged": Unfixed(
        [(Retraction, "retract", retract_what_is_empty)],
        "deliver process_works service_works store_alters_unprocessed_mail ledger_loses_everything",
        "DELE of .* whose bytes are not in the store|has not reached",
    ),
    "3 whatever is read is whole": Unfixed(
        [(module, "raise_if_cut", lambda *_: None) for module in (content, rebuild, republish)],
        rebuild_from_a_store_that_cuts,
        "has not reached",
    ),
    "4 every message is whole": Unfixed(
        [(Fetched, "may_be_cut", False)],
        "deliver_without_dot_stuffing service_works",
        "DELE of .* whose bytes are not in the store",
    ),
    "5 the watermark does not wait": Unfixed(
        [(MemoryLedger, "unknown", lambda *_: 0)],
        "deliver service_delivers_nothing only_the_relay_works ledger_loses_its_last_second",
        "the event of .* has not reached",
    ),
    "5 a clock that is set back moves no watermark": Unfixed(
        [(MemoryLedger, "clock_step", lambda _: None), (DeliveryWatermark, "lower", lambda *_: None)],
        lose_the_ledger_after_the_clock_was_set_back,
        "the event of .* has not reached",
    ),
    "6 every configuration is the newest": Unfixed(
        [
            (MemoryLedger, "announce", always_newest),
            (MemoryEventLog, "trim", retire_at_once(MemoryEventLog.trim)),
        ],
        "deliver process_works scheduler_ticks",
        r"the event of .* has not reached \['added'\]|added got .* times",
    ),
    "7 no proof and keys are lost": Unfixed(
        [
            (StoreProof, "held", lambda _self, _box, due: [True] * len(due)),
            (StoreProof, "has_header", lambda *_: True),
        ],
        "deliver process_works time_passes ledger_loses_a_key",
        "DELE of .* which has no manifest",
    ),
    "7 lost keys are not noticed": Unfixed(
        [(MemoryLedger, "restart", lambda _: None)],
        "deliver process_works ledger_loses_a_key",
        "was not processed|has not reached",
    ),
    "9 the stream is not asked": Unfixed(
        [
            (StreamIds, "read", lambda _: frozenset()),
            (Seen, "notices_losses", property(lambda *_: False, lambda *_: None)),
        ],
        "deliver service_works server_changes_all_ids",
        "times",
    ),
}


def machine_with(names: str) -> type[Machine]:
    """Return the machine with some of its rules only."""
    wanted = set(names.split())
    assert wanted <= RULES
    return type("Focused", (Machine,), dict.fromkeys(RULES - wanted))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_model_finds_the_fault_when_its_fix_is_taken_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    for where, attribute, value in case.changes:
        if isinstance(where, str):
            monkeypatch.setattr(f"{where}.{attribute}", value)
        else:
            monkeypatch.setattr(where, attribute, value)
    with pytest.raises(AssertionError, match=case.broken):
        case.run()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if callable(case.rules)])
def test_same_order_breaks_nothing_with_the_fix(name: str) -> None:
    CASES[name].run()


def purge_while_processing_is_stopped(requests: int) -> None:
    """Purge a message whose processing was stopped after so many requests, then let it continue."""
    with played() as state:
        state.first_mail(box="keep")
        state.process_is_stopped(work="process", configuration="new", after=requests)
        state.time_passes(seconds=1_900)  # the claim expires
        state.process_works(work="process", configuration="new")
        state.somebody_purges(pick=0)
        if state.world.stopped():
            state.stopped_process_continues(pick=0, after=None)


# More requests than processing one message takes.
@pytest.mark.parametrize("requests", range(12))
def test_purged_message_stays_purged_wherever_its_processing_was_stopped(requests: int) -> None:
    purge_while_processing_is_stopped(requests)


def test_purged_message_returns_if_a_lost_claim_is_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is written down: few examples that Hypothesis draws stop a process at the right request."""
    first_messages = MemoryLedger.first_messages
    monkeypatch.setattr(MemoryLedger, "first_messages", lambda *of: first_messages(*of[:3]))
    monkeypatch.setattr(Retraction, "retract", lambda *_, **__: False)
    with pytest.raises(AssertionError, match="which was purged"):
        purge_while_processing_is_stopped(4)  # it has asked for its claim and for a tombstone, and writes next


def open_a_purged_message_again() -> None:
    """Purge a message that a stopped process, which had the store before, then stores and opens again."""
    with played() as state:
        state.first_mail(box="del")
        state.process_is_stopped(work="poll", configuration="new", after=0)
        state.store_is_swapped()
        state.service_works(seconds=1)
        state.ledger_loses_everything()
        state.somebody_purges(pick=0)


def test_purged_message_that_was_opened_again_is_closed() -> None:
    open_a_purged_message_again()


def test_purged_message_stays_open_if_its_tombstone_does_not_close_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProcessStage, "_close_purged", lambda *_: None)
    with pytest.raises(AssertionError, match="which was purged, is open"):
        open_a_purged_message_again()


def test_message_in_place_of_which_another_came_is_not_deleted_although_sizes_are_wrong() -> None:
    with played() as state:
        state.first_mail(box="del")
        state.deliver_with_a_wrong_size(box="del", larger=False)
        state.server_sends_another_message(box="del", pick=0)
        state.service_delivers_nothing(seconds=1)
        state.service_delivers_nothing(seconds=61)
        state.no_promise_is_broken()


def reuse_a_unique_id_of_a_message_that_was_deleted_without_one() -> None:
    with played() as state:
        state.first_mail(box="del")
        state.service_works(seconds=1)
        state.server_changes_a_habit(box="del", habit="unique_ids")
        for _ in range(2):
            state.service_works(seconds=61)
        state.server_changes_a_habit(box="del", habit="unique_ids")
        state.deliver_in_place_of_a_deleted_message(box="del")
        state.no_promise_is_broken()


def test_other_identities_of_a_deleted_message_are_forgotten() -> None:
    reuse_a_unique_id_of_a_message_that_was_deleted_without_one()


def test_message_is_deleted_unread_if_other_identities_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PollProgress, "other_digests", lambda *_: set())
    monkeypatch.setattr(Poller, "_compact", lambda *_: None)
    with pytest.raises(AssertionError, match=r"DELE of .* whose bytes are not in the store"):
        reuse_a_unique_id_of_a_message_that_was_deleted_without_one()


def lose_the_ledger_while_clocks_are_ahead_of_the_store() -> None:
    with played() as state:
        state.first_mail(box="keep")
        state.clocks_step_but_not_that_of_the_store(seconds=86_400)
        for name in ("main", "added"):
            state.sink_changes(name=name, state="down")
        state.service_delivers_nothing(seconds=1)
        state.only_the_relay_works()
        state.ledger_loses_everything()
        for name in ("main", "added"):
            state.sink_changes(name=name, state="up")
        state.service_works(seconds=61)


def test_clocks_that_are_ahead_of_the_store_lose_no_event() -> None:
    lose_the_ledger_while_clocks_are_ahead_of_the_store()


def test_event_is_missed_if_the_watermark_counts_by_clocks_that_are_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.usecases.recover.watermark.CLOSE", 1e9)
    with pytest.raises(AssertionError, match="has not reached"):
        lose_the_ledger_while_clocks_are_ahead_of_the_store()


def replay_and_lose_the_ledger_twice() -> None:
    with played() as state:
        state.first_mail(box="keep")
        for name in ("main", "added"):
            state.sink_changes(name=name, state="down")
        state.service_delivers_nothing(seconds=1)
        state.ledger_loses_everything()
        state.time_passes(seconds=1_900)
        state.somebody_replays()
        state.service_delivers_nothing(seconds=61)
        state.only_the_relay_works()
        state.ledger_loses_everything()


def test_replayed_event_survives_two_losses_of_the_ledger() -> None:
    replay_and_lose_the_ledger_twice()


def test_replayed_event_is_missed_if_the_watermark_passes_its_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryLedger, "_note_republished", lambda *_: None)
    with pytest.raises(AssertionError, match="has not reached"):
        replay_and_lose_the_ledger_twice()


def test_neighbour_of_cut_mail_that_came_in_its_place_is_not_cut() -> None:
    with played() as state:
        state.first_mail(box="del")
        state.deliver_without_dot_stuffing(box="keep")
        state.deliver(box="keep", count=1)
        state.store_loses_answers(lost=True)
        state.server_sends_another_message(box="keep", pick=0)
        state.service_delivers_nothing(seconds=1)


def test_cut_mail_of_a_server_that_is_gone_needs_no_processing() -> None:
    """The store took it, its answer was lost, and then the server was exchanged: only a rebuild would find it."""
    with played() as state:
        state.first_mail(box="del")
        state.deliver_without_dot_stuffing(box="keep")
        state.store_loses_answers(lost=True)
        state.process_works(work="poll", configuration="new")
        state.mailbox_moves_to_another_server(box="keep")


def swap_the_store_under_a_stopped_process(requests: int) -> None:
    """Let a process that had the store before finish a message that is open for the new one."""
    with played() as state:
        state.first_mail(box="keep")
        state.process_is_stopped(work="process", configuration="new", after=requests)
        state.store_is_swapped()
        state.service_delivers_nothing(seconds=1)


# More requests than processing one message takes.
@pytest.mark.parametrize("requests", range(12))
def test_message_is_processed_in_the_new_store_wherever_its_processing_was_stopped(requests: int) -> None:
    swap_the_store_under_a_stopped_process(requests)


def open_a_message_for_a_new_store_before_an_old_process_claims_it(requests: int) -> None:
    """It was processed in the store before, so that the process finds it there."""
    with played() as state:
        state.first_mail(box="keep")
        state.service_works(seconds=1)
        state.process_is_stopped(work="process", configuration="new", after=requests)
        state.store_is_swapped()
        state.process_works(work="poll", configuration="new")


@pytest.mark.parametrize("requests", range(3))
def test_message_that_an_old_process_claims_is_processed_in_the_new_store(requests: int) -> None:
    open_a_message_for_a_new_store_before_an_old_process_claims_it(requests)


def test_message_stays_unprocessed_in_the_new_store_if_the_ledger_does_not_know_its_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.testing.ledger._of_another", lambda *_: False)
    with pytest.raises(AssertionError, match="was not processed"):
        swap_the_store_under_a_stopped_process(5)
    with pytest.raises(AssertionError, match="was not processed"):
        open_a_message_for_a_new_store_before_an_old_process_claims_it(0)


def reuse_the_unique_id_and_size_of_a_message_that_somebody_else_deleted(box: str, *, others: int) -> None:
    """A poll has seen the mailbox without the first message, before another one gets what identified it."""
    with played() as state:
        state.first_mail(box=box)
        if others:
            state.deliver(box=box, count=others)
        state.service_works(seconds=1)
        state.somebody_else_deletes(pick=0)
        state.service_works(seconds=61)
        gone = state.world.sent[0]
        state.world.deliver(box, gone.drop_id, size_of=gone)
        for _ in range(3):
            state.service_works(seconds=420)
            state.no_promise_is_broken()


@pytest.mark.parametrize(("box", "others"), [("keep", 2), ("later", 2), ("later", 0)])
def test_message_with_the_unique_id_and_size_of_one_that_is_gone_is_fetched(box: str, others: int) -> None:
    reuse_the_unique_id_and_size_of_a_message_that_somebody_else_deleted(box, others=others)


@pytest.mark.parametrize(
    ("box", "others", "broken"),
    [("keep", 2, "is not stored"), ("later", 0, "DELE of .* whose bytes are not in the store")],
)
def test_it_is_missed_or_deleted_if_gone_messages_are_believed(
    monkeypatch: pytest.MonkeyPatch, box: str, others: int, broken: str
) -> None:
    monkeypatch.setattr(Poller, "_compact", lambda *_: None)
    with pytest.raises(AssertionError, match=broken):
        reuse_the_unique_id_and_size_of_a_message_that_somebody_else_deleted(box, others=others)
