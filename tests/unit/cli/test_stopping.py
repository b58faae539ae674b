"""Being asked to end: once, and again."""

from __future__ import annotations

import signal

import pytest

from ingest.cli.stopping import Stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_only_asks(number: signal.Signals) -> None:
    with Stopping() as stopping:
        assert not stopping.asked
        signal.raise_signal(number)
        assert (stopping.asked, stopping.again) == (True, False)
        assert stopping.interrupted == (number is signal.SIGINT)


def test_the_first_signal_says_why_whatever_follows() -> None:
    with Stopping() as stopping:
        stopping.abrupt = False
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert (stopping.again, stopping.interrupted) == (True, False)


def test_the_second_one_interrupts_what_waits_without_asking() -> None:
    with Stopping():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_command_that_was_asked_to_stop_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    with Stopping() as stopping:
        stopping.wait(0)
        signal.raise_signal(signal.SIGTERM)
        stopping.wait(600)
        assert stopping.asked
    assert slept == []


def test_signals_do_afterwards_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Stopping():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
