"""When to try again follows from the error and the number of tries, and from nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.retry import (
    AUTH_BACKOFF,
    MAILBOX_BACKOFF,
    MESSAGE_TRIES,
    Backoff,
    GiveUp,
    TryAgain,
    after_mailbox_error,
    after_message_error,
)
from ingest.errors import LedgerUnavailableError, MessageError, StoreRefusedError, StoreUnavailableError

RANDOM = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), RANDOM)
def test_pauses_stay_between_the_first_and_the_cap_whatever_the_tries(tries: int, random: float) -> None:
    pause = Backoff(first=5, cap=100, jitter=0.2).pause(tries, random)
    assert 4 <= pause <= 120


def test_pauses_double_until_the_cap() -> None:
    backoff = Backoff(first=5, cap=60, jitter=0)
    assert [backoff.pause(tries, 0.3) for tries in (1, 2, 3, 4, 5)] == [5, 10, 20, 40, 60]


@given(st.integers(1, MESSAGE_TRIES - 1), RANDOM)
def test_a_message_is_tried_again_until_its_last_try(tries: int, random: float) -> None:
    decision = after_message_error(MessageError("broken"), tries, random)
    assert isinstance(decision, TryAgain)
    assert decision.counted


def test_after_the_last_try_a_message_is_given_up() -> None:
    assert after_message_error(MessageError("broken"), MESSAGE_TRIES, 0.5) == GiveUp()


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("away"), StoreRefusedError("full"), LedgerUnavailableError("")]
)
@given(tries=st.integers(1, 10_000), random=RANDOM)
def test_a_message_is_never_given_up_for_what_is_not_its_fault(
    error: StoreUnavailableError, tries: int, random: float
) -> None:
    decision = after_message_error(error, tries, random)
    assert isinstance(decision, TryAgain)
    assert not decision.counted


def test_a_refused_password_is_tried_far_less_often_than_a_server_that_is_away() -> None:
    """Accounts get locked: after the first hour, three tries a day at most."""
    pauses = [after_mailbox_error("auth", tries, 0.5) for tries in range(1, 8)]
    assert pauses[0] == AUTH_BACKOFF.first
    assert all(pause >= 8 * 3600 for pause in pauses[4:])
    assert after_mailbox_error("connect", 1, 0.5) == MAILBOX_BACKOFF.first
