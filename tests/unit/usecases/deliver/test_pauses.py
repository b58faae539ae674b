"""The pause of an unavailable sink ends when its configuration changes; the reason is kept for people."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ingest.domain.events import Event
from ingest.errors import SinkUnavailableError
from ingest.ports.sink import Outcome, Verdict
from ingest.testing.sink import MemorySink
from tests.support.bench import Bench, bench, never

if TYPE_CHECKING:
    import pytest

    from ingest.usecases.deliver.stage import RelayStage


class Relays:
    """A sink that takes nothing, and relays with a configuration each."""

    def __init__(self, b: Bench) -> None:
        self.b = b
        self.tried = 0
        b.ledger.sinks.add(b.sinks)
        b.events.append(Event("e1", "dev.mailhaul.message.received.v1", "a", b"{}"))
        b.sinks["main"].verdict = self._refuse

    def relay(self, configuration: bytes) -> RelayStage:
        return replace(self.b.relay_stage, fingerprint=lambda _: configuration, _resumed={})

    def _refuse(self, _: Event) -> Outcome:
        self.tried += 1
        return Outcome(Verdict.UNAVAILABLE, "http_401")

    def fail_for_hours(self, relay: RelayStage) -> None:
        """Let the pauses grow to minutes; the last one has just begun."""
        for _ in range(30):
            self.b.clock.time += 600
            relay.run(never)
        assert (self.b.ledger.sinks.due_in("main") or 0) > 60


def test_pause_does_not_survive_the_roll_out_of_a_fix() -> None:
    with bench() as b:
        relays = Relays(b)
        relays.fail_for_hours(relays.relay(b"wrong secret"))
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        assert relays.relay(b"right secret").run(never) == {"main": 1}
        assert b.events.sink_status("main").failing_since is None


def test_pause_is_kept_by_relays_with_the_same_configuration() -> None:
    with bench() as b:
        relays = Relays(b)
        relays.fail_for_hours(relays.relay(b"wrong secret"))
        assert relays.relay(b"wrong secret").run(never) == {}


def test_secret_that_changes_while_the_relay_runs_ends_the_pause() -> None:
    with bench() as b:
        relays, secret = Relays(b), [b"wrong"]
        relay = replace(b.relay_stage, fingerprint=lambda _: secret[0])
        relays.fail_for_hours(relay)
        secret[0] = b"right"
        before = relays.tried
        assert relay.run(never) == {"main": 0}
        assert relays.tried == before + 1
        assert relay.run(never) == {}, "it has failed with this one too"


def test_two_configurations_at_once_do_not_end_each_others_pauses_again_and_again() -> None:
    with bench() as b:
        relays = Relays(b)
        old, new = relays.relay(b"old"), relays.relay(b"new")
        relays.fail_for_hours(old)
        before = relays.tried
        for _ in range(10):
            old.run(never)
            new.run(never)
        assert relays.tried <= before + 2


def test_disabled_sink_is_tried_once_its_configuration_changes() -> None:
    with bench() as b:
        relays = Relays(b)
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.GONE, "http_410")
        relays.relay(b"old").run(never)
        b.clock.time += 86_400
        assert relays.relay(b"old").run(never) == {}
        b.sinks["main"].verdict = lambda _: Outcome(Verdict.DELIVERED)
        assert relays.relay(b"new").run(never) == {"main": 1}


def test_ledger_gets_nothing_from_which_a_secret_could_be_guessed() -> None:
    with bench() as b:
        relays = Relays(b)
        relays.relay(b"secret").run(never)
        first = b.events.sink_status("main").config
        b.clock.time += 600
        relays.relay(b"secret").run(never)
        assert first != b.events.sink_status("main").config, "it is salted anew"
        assert len(first.partition(":")[2]) == 4


def test_reason_of_a_sink_that_cannot_be_used_is_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    class Unusable(MemorySink):
        def check(self) -> None:
            raise SinkUnavailableError("hook.example: the signing secret must be ...", "secret_invalid")

    with bench() as b:
        b.sinks["main"] = Unusable("main")
        Relays(b).relay(b"").run(never)
        status = b.events.sink_status("main")
        assert (status.answer, status.words) == ("secret_invalid", "has a signing secret of the wrong form")
        assert '"error": "secret_invalid"' in capsys.readouterr().out
