"""The state machine: what people, servers, stores, the ledger and processes may do, in any order."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from ingest.domain.keys import MANIFEST, RAW
from ingest.errors import MailhaulError, StoreUnavailableError
from ingest.ports.sink import Outcome, Verdict
from ingest.testing.ledger import EVICTABLE
from ingest.usecases.schedule import REPAIR_EVERY
from tests.model.promises import broken_promises
from tests.model.world import NEW, OLD, POLICIES, World

BUGS = {"poll.bug", "message.bug", "sink.bug"}
# Seconds between the last polls: enough for every backoff.
LAST_ROUNDS = (11, 61, 61, 400, 400, 2_000, 2_000, 4_000, 4_000, 61)
DAY = 86_400

boxes = st.sampled_from(sorted(POLICIES))
picks = st.integers(0, 30)
requests = st.one_of(st.integers(0, 8), st.integers(0, 40))
works = st.sampled_from(["poll", "process", "relay"])
configurations = st.sampled_from([NEW, NEW, NEW, OLD])


class Machine(RuleBasedStateMachine):
    """Every example ends with `quiesce`: the faults end, the processes work on, and all promises are compared."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self._open = ExitStack()
        self._logs = self._open.enter_context(capture_logs())
        self.world.run("tick", OLD)
        self.world.wait(2)
        self.world.run("tick", NEW)

    # --- mail and servers --------------------------------------------------------------------------------------

    @initialize(box=boxes)
    def first_mail(self, box: str) -> None:
        self.world.deliver(box)

    @rule(box=boxes, count=st.integers(1, 3))
    def deliver(self, box: str, count: int) -> None:
        for _ in range(count):
            self.world.deliver(box)

    @rule(box=boxes, pick=picks)
    def deliver_under_a_used_id(self, box: str, pick: int) -> None:
        """The server gives an id again: of a message that it no longer has, or, wrongly, of one that it has."""
        used = [sent.drop_id for sent in self.world.sent if sent.box == box]
        self.world.deliver(box, used[pick % len(used)] if used else None)

    @rule(box=boxes)
    def deliver_in_place_of_a_deleted_message(self, box: str) -> None:
        """The server gives the id of a message that we deleted to another one, which happens to have its size."""
        if deleted := self.world.deleted_messages(box):
            drop = self.world.drops[box]
            shown = drop.alias.get(deleted[-1].drop_id, deleted[-1].drop_id)
            self.world.deliver(box, shown, size_of=deleted[-1])
            for _ in range(2):
                self._round(11)

    @rule(box=boxes)
    def deliver_without_dot_stuffing(self, box: str) -> None:
        self.world.deliver(box, cut=True)

    @rule(box=boxes, larger=st.booleans())
    def deliver_with_a_wrong_size(self, box: str, *, larger: bool) -> None:
        sent = self.world.deliver(box)
        size = len(sent.raw) * 9 if larger else len(self.world.sent)
        self.world.drops[box].sizes[sent.drop_id] = size
        sent.may_be_cut = sent.may_be_cut or larger

    @precondition(lambda self: self.world.sent)
    @rule(pick=picks)
    def somebody_else_deletes(self, pick: int) -> None:
        sent = self.world.sent[pick % len(self.world.sent)]
        drop = self.world.drops[sent.box]
        if drop.session is None and drop.messages.pop(sent.drop_id, None) is not None:
            sent.removed = True

    @rule(box=boxes, habit=st.sampled_from(["numbered", "keeps_deleted", "tops", "shifts_tops", "unique_ids"]))
    def server_changes_a_habit(self, box: str, habit: str) -> None:
        drop = self.world.drops[box]
        setattr(drop, habit, not getattr(drop, habit))

    @rule(box=boxes, pick=picks)
    def server_sends_another_message(self, box: str, pick: int) -> None:
        """RETR sends the next message in place of one, as if the server numbered its messages anew meanwhile."""
        drop = self.world.drops[box]
        listed = list(drop.messages)
        if len(listed) > 1:
            number = pick % len(listed)
            drop.sends_instead[listed[number]] = listed[(number + 1) % len(listed)]
            sent = next(sent for sent in self.world.sent if sent.drop_id == listed[number])
            # Where sizes are wrong, only the comparison before a deletion shows it.
            sent.may_be_cut = sent.may_be_cut or sent.replaced or bool(drop.sizes)
            sent.replaced = True

    @rule(box=boxes, lost=st.booleans())
    def server_loses_its_answer_to_quit(self, box: str, *, lost: bool) -> None:
        """It has deleted the messages, and nobody learns of it."""
        self.world.drops[box].loses_quit = lost

    @rule(box=boxes, generation=picks)
    def server_changes_all_ids(self, box: str, generation: int) -> None:
        drop = self.world.drops[box]
        drop.alias = {drop_id: b"g%d-%s" % (generation, drop_id) for drop_id in drop.messages}

    @rule(box=boxes)
    def mailbox_moves_to_another_server(self, box: str) -> None:
        self.world.move_mailbox(box)

    @rule(box=boxes, messages=st.sampled_from([None, 0, 1, 2]))
    def server_ends_sessions(self, box: str, messages: int | None) -> None:
        self.world.drops[box].session_ends_after = messages

    @precondition(lambda self: self.world.sent)
    @rule(pick=picks, breaks=st.booleans())
    def server_has_trouble_with_a_message(self, pick: int, *, breaks: bool) -> None:
        sent = self.world.sent[pick % len(self.world.sent)]
        drop = self.world.drops[sent.box]
        (drop.breaks_after if breaks else drop.refused).add(sent.drop_id)
        sent.may_be_cut = sent.may_be_cut or breaks

    # --- processes ---------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 11, 61]))
    def service_works(self, seconds: int) -> None:
        """Poll, process and deliver everything."""
        self._round(seconds)

    @rule(seconds=st.sampled_from([1, 61]))
    def service_delivers_nothing(self, seconds: int) -> None:
        """Poll and process everything; the relay is not there."""
        self._round(seconds, "tick", "poll", "process")

    @rule()
    def only_the_relay_works(self) -> None:
        """For some minutes nothing is polled."""
        for _ in range(8):
            self.world.wait(61)
            self.world.run("relay")

    @rule(work=works, configuration=configurations)
    def process_works(self, work: str, configuration: str) -> None:
        if work == "poll":
            self._all_due()
        self.world.run(work, configuration)

    @rule(work=works, configuration=configurations, after=requests)
    def process_is_stopped(self, work: str, configuration: str, after: int) -> None:
        self._all_due()
        if work == "process":
            self.world.run("poll")
        self.world.run(work, configuration, after)

    @precondition(lambda self: self.world.stopped())
    @rule(pick=picks, after=st.one_of(st.none(), requests))
    def stopped_process_continues(self, pick: int, after: int | None) -> None:
        stopped = self.world.stopped()
        self.world.go_on(stopped[pick % len(stopped)], after)

    @precondition(lambda self: self.world.stopped())
    @rule(pick=picks)
    def stopped_process_is_killed(self, pick: int) -> None:
        stopped = self.world.stopped()
        self.world.kill(stopped[pick % len(stopped)])

    @rule(configuration=configurations)
    def scheduler_ticks(self, configuration: str) -> None:
        for _ in range(10):
            self.world.run("tick", configuration)

    @rule(seconds=st.sampled_from([0.3, 1, 6, 61, 420, 1_900]))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(seconds=st.sampled_from([-DAY, -4_000, -400, -30, 30, 400, 4_000, DAY]))
    def clock_steps(self, seconds: float) -> None:
        self.world.step_clock(seconds)

    @rule(seconds=st.sampled_from([-4_000, -30, 30, 4_000, DAY]))
    def clocks_step_but_not_that_of_the_store(self, seconds: float) -> None:
        self.world.store_behind += seconds
        self.world.step_clock(seconds)

    # --- the store ---------------------------------------------------------------------------------------------

    @rule(names=st.sampled_from([frozenset[str](), frozenset({RAW}), frozenset({MANIFEST}), frozenset({"body.txt"})]))
    def store_forgets_what_it_acknowledges(self, names: frozenset[str]) -> None:
        self.world.repeats_allowed = True
        self.world.store.forgets = names

    @rule(page=st.booleans())
    def store_answers_with_a_page(self, *, page: bool) -> None:
        self.world.store.page = b"<html>We are back soon.</html>" if page else None

    @rule(lost=st.booleans())
    def store_loses_answers(self, *, lost: bool) -> None:
        self.world.store.loses_answers = lost

    @rule(cuts=st.booleans())
    def store_cuts_what_it_returns(self, *, cuts: bool) -> None:
        self.world.store.cuts = cuts

    @rule(operation=st.sampled_from(["", "put", "get", "stat", "list"]))
    def store_is_unavailable(self, operation: str) -> None:
        def fault(requested: str, key: str) -> None:
            if requested == operation:
                raise StoreUnavailableError("busy")

        self.world.store.fault = fault if operation else None

    @precondition(lambda self: self.world.store.objects)
    @rule(pick=picks)
    def store_loses_an_object(self, pick: int) -> None:
        at = sorted(self.world.store.objects)[pick % len(self.world.store.objects)]
        self.world.lose_object(at)

    @precondition(lambda self: self.world.sent)
    @rule(pick=picks, emptied=st.booleans())
    def store_alters_unprocessed_mail(self, pick: int, *, emptied: bool) -> None:
        """The size stays, so that only the hash can show it; or nothing is left."""
        sent = self.world.sent[pick % len(self.world.sent)]
        at = self.world.find(sent.key, RAW)
        if at and not self.world.find(sent.key, MANIFEST) and self.world.store.objects[at].content == sent.raw:
            self.world.alter(sent, at, emptied=emptied)

    @precondition(lambda self: self.world.sent)
    @rule(pick=picks)
    def somebody_writes_an_empty_object(self, pick: int) -> None:
        """It lies under the key of a message that was not stored yet."""
        sent = self.world.sent[pick % len(self.world.sent)]
        if self.world.find(sent.key, RAW) is None and self.world.find(sent.key, MANIFEST) is None:
            with suppress(StoreUnavailableError):
                self.world.plant(sent)

    @rule()
    def store_is_emptied(self) -> None:
        self.world.empty_store()

    @rule()
    def store_is_swapped(self) -> None:
        self.world.swap_store()

    # --- the ledger and the sinks ------------------------------------------------------------------------------

    @rule()
    def ledger_restarts(self) -> None:
        self.world.repeats_allowed = True
        self.world.ledger.restart()

    @rule()
    def ledger_loses_its_last_second(self) -> None:
        self.world.repeats_allowed = True
        self.world.restore()

    @rule()
    def ledger_loses_everything(self) -> None:
        self.world.repeats_allowed = True
        self.world.ledger.lose()
        self.world.run("tick", NEW)

    @rule(part=st.sampled_from(EVICTABLE))
    def ledger_loses_a_key(self, part: str) -> None:
        self.world.repeats_allowed = True
        self.world.ledger.evict(part)

    @rule(name=st.sampled_from(["main", "added"]), state=st.sampled_from(["up", "down", "rejects"]))
    def sink_changes(self, name: str, state: str) -> None:
        sink = self.world.sinks[name]
        sink.unavailable = state == "down"
        verdict = Verdict.REJECTED if state == "rejects" else Verdict.DELIVERED
        sink.verdict = lambda _: Outcome(verdict, "http_400")

    # --- people ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.sent)
    @rule(pick=picks)
    def somebody_purges(self, pick: int) -> None:
        sent = self.world.sent[pick % len(self.world.sent)]
        if not sent.may_be_cut and not self.world.store.forgets:
            with suppress(MailhaulError):
                self.world.purge(sent)

    @rule()
    def somebody_replays(self) -> None:
        with suppress(MailhaulError):
            self.world.replay()

    # --- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def no_promise_is_broken(self) -> None:
        Machine.steps += 1
        self.world.violations += [str(entry) for entry in self._logs if entry["event"] in BUGS]
        self._logs.clear()
        assert not self.world.violations, "\n".join(self.world.violations)

    def teardown(self) -> None:
        try:
            if not self.world.violations:
                self.quiesce()
                self.no_promise_is_broken()
        finally:
            self.close()

    def close(self) -> None:
        """End the processes that are stopped, and give the log back."""
        for host in self.world.stopped():
            self.world.kill(host)
        self._open.close()

    def quiesce(self) -> None:
        """End all faults, let every process work for a bounded number of polls, and compare."""
        self.world.end_faults()
        for number, host in enumerate(self.world.stopped()):
            (self.world.kill if number % 3 == 2 else self.world.go_on)(host)
        for _ in range(REPAIR_EVERY):
            self.world.run("tick", NEW)
        # What was registered while the clock was ahead is old enough to be deleted only then.
        ahead = self.world.most_ahead
        for seconds in (*LAST_ROUNDS, *([ahead, 61] if ahead > max(LAST_ROUNDS) else [])):
            self.world.repair()
            self._round(seconds)
        broken = [*self.world.violations, *broken_promises(self.world)]
        assert not broken, "\n".join(broken)

    def _round(self, seconds: float, *works: str) -> None:
        self.world.wait(seconds)
        self._all_due()
        for work in works or ("tick", "poll", "process", "relay"):
            self.world.run(work)

    def _all_due(self) -> None:
        for box in self.world.boxes:
            self.world.ledger.mailboxes.run_now(box)
