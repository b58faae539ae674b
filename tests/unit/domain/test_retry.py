"""When to try again follows from the error and the number of tries, and from nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.retry import (
    MESSAGE_TRIES,
    Backoff,
    Fail,
    TryAgain,
    after_mailbox_error,
    after_message_error,
)
from ingest.errors import (
    LedgerUnavailableError,
    LoginDelayError,
    MaildropAuthError,
    MaildropConnectError,
    MaildropDeferredError,
    MaildropInUseError,
    MaildropRefusedError,
    MaildropTemporaryError,
    MaildropThrottledError,
    MaildropTlsError,
    MailhaulError,
    MessageError,
    NoUniqueIdsError,
    StoreRefusedError,
    StoreUnavailableError,
)

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


def test_message_fails_after_the_last_try() -> None:
    assert after_message_error(MessageError("broken"), MESSAGE_TRIES, 0.5) == Fail()


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("unavailable"), StoreRefusedError("full"), LedgerUnavailableError("")]
)
@given(tries=st.integers(1, 10_000), random=RANDOM)
def test_message_never_fails_for_a_fault_that_is_not_its_own(
    error: StoreUnavailableError, tries: int, random: float
) -> None:
    decision = after_message_error(error, tries, random)
    assert isinstance(decision, TryAgain)
    assert not decision.counted


@given(st.lists(RANDOM, min_size=20, max_size=20))
def test_a_refused_password_is_tried_three_times_in_the_first_hour_then_at_most_three_times_a_day(
    randoms: list[float],
) -> None:
    """Accounts get locked."""
    error, times = MaildropAuthError("no"), [0.0]
    for tries, random in enumerate(randoms, 1):
        times.append(times[-1] + after_mailbox_error(error, tries, random))
    assert sum(time <= 3600 for time in times) == 3
    later = [time for time in times if time > 3600]
    assert all(third - first >= 86_400 - 1 for first, third in zip(later, later[3:], strict=False))


@pytest.mark.parametrize(
    ("error", "first", "cap"),
    [
        (MaildropConnectError(""), 15, 900),
        (MaildropTlsError(""), 15, 900),
        (MaildropTemporaryError(""), 15, 900),
        (MaildropInUseError(""), 30, 600),
        (MaildropThrottledError(""), 60, 1800),
        (LoginDelayError(""), 60, 1800),
        (MaildropRefusedError(""), 300, 3600),
        (NoUniqueIdsError(""), 300, 3600),
        (StoreUnavailableError(""), 15, 900),
    ],
)
def test_each_failure_of_a_poll_has_its_own_pause(error: MailhaulError, first: float, cap: float) -> None:
    assert after_mailbox_error(error, 1, 0.5) == first
    assert after_mailbox_error(error, 1000, 0.5) == cap


def test_pause_for_a_connection_slot_does_not_grow() -> None:
    pauses = {after_mailbox_error(MaildropDeferredError(""), tries, 0.5) for tries in (1, 2, 100)}
    assert pauses == {4}
