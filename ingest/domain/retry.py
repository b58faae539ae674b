"""When to try again: pure functions of the error and the number of tries.

Pauses are kept in the ledger as due times, never as Celery's ETA (which Redis loses).
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.errors import (
    Fault,
    MaildropAuthError,
    MaildropDeferredError,
    MaildropInUseError,
    MaildropRefusedError,
    MaildropThrottledError,
    MailhaulError,
    ObjectMissingError,
    StoreCorruptError,
)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing pauses: `first * factor ** (tries - 1)` seconds, at most `cap`, spread by plus or minus `jitter`."""

    first: float
    cap: float
    factor: float = 2.0
    jitter: float = 0.2

    def pause(self, tries: int, random: float) -> float:
        """Return the seconds to wait after the given number of failed tries.

        Args:
            tries: how many tries have failed so far, at least 1.
            random: a number in [0, 1), passed in so that the function stays pure.
        """
        # The exponent is bounded because 2.0 ** 2000 overflows.
        grown = self.first * self.factor ** min(max(tries - 1, 0), 64)
        spread = 1.0 + self.jitter * (2.0 * random - 1.0)
        return min(grown, self.cap) * spread


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Try again after `pause` seconds; `counted` says whether this try counts towards the maximum."""

    pause: float
    counted: bool


@dataclass(frozen=True, slots=True)
class Fail:
    """The message has failed: it is not tried again until a person retries it."""


MESSAGE_TRIES = 6
MESSAGE_BACKOFF = Backoff(first=5, cap=1800)
INFRASTRUCTURE_PAUSE = Backoff(first=10, cap=10)
MAILBOX_BACKOFF = Backoff(first=15, cap=900)
IN_USE_BACKOFF = Backoff(first=30, cap=600)
# A server that reports too many logins must not get more of them.
THROTTLED_BACKOFF = Backoff(first=60, cap=1800)
# Only a person can fix it.
REFUSED_BACKOFF = Backoff(first=300, cap=3600)
# A message that ended this many sessions is postponed: it is tried after an hour, and at last once a day.
POSTPONED_AFTER = 5
POSTPONED_BACKOFF = Backoff(first=3600, cap=86_400)
# A wrong password tried too often locks the account: three tries in the first hour, then at most three a day.
AUTH_PAUSES = (600.0, 1800.0, 8 * 3600.0)
# Credentials that worked within a day deserve doubt: that many refusals without a code that blames them are taken for
# a fault of the server. There are no more than three tries in the first hour here either.
DOUBTED_FOR = 86_400.0
DOUBT_BACKOFF = Backoff(first=300, cap=2700, factor=3, jitter=0)
DOUBTED_TIMES = 3
# Our own limit of connections: a slot becomes free as soon as another poll ends.
DEFERRED_PAUSE = Backoff(first=4, cap=4, jitter=0.5)
SINK_BACKOFF = Backoff(first=1, cap=300)
# A sink that is disabled until a person resumes it: ten years.
DISABLED_PAUSE = 3650 * 86_400.0
# An event that its sink rejected: pauses up to an hour, for three days in all, then it is dead-lettered.
REDELIVERY_BACKOFF = Backoff(first=10, cap=3600)
REDELIVERY_ATTEMPTS = 80


def after_message_error(error: MailhaulError, tries: int, random: float) -> TryAgain | Fail:
    """Decide what to do with a message that could not be processed.

    A message only fails for a fault of its own, or of its raw object. While the store or the ledger is unavailable,
    tries do not count.

    Args:
        error: why it could not be processed.
        tries: how many times the message has been claimed, this one included.
        random: a number in [0, 1).
    """
    # A raw object that is damaged or gone concerns this message only, so that a person has to see it as failed.
    if error.fault is not Fault.MESSAGE and not isinstance(error, StoreCorruptError | ObjectMissingError):
        return TryAgain(INFRASTRUCTURE_PAUSE.pause(1, random), counted=False)
    if tries >= MESSAGE_TRIES:
        return Fail()
    return TryAgain(MESSAGE_BACKOFF.pause(tries, random), counted=True)


def after_doubted_refusal(times: int, random: float) -> float:
    """Return the seconds until credentials are tried again whose refusal is doubted.

    Args:
        times: how many refusals in a row have been doubted, this one included.
        random: a number in [0, 1).
    """
    # Spread upwards only, so that no pause is shorter than promised.
    return DOUBT_BACKOFF.pause(times, random) * (1 + 0.1 * random)


_BY_ERROR: tuple[tuple[type[MailhaulError], Backoff], ...] = (
    (MaildropDeferredError, DEFERRED_PAUSE),
    (MaildropInUseError, IN_USE_BACKOFF),
    (MaildropThrottledError, THROTTLED_BACKOFF),
    (MaildropRefusedError, REFUSED_BACKOFF),
)


def after_mailbox_error(error: MailhaulError, tries: int, random: float) -> float:
    """Return the seconds until a mailbox whose poll failed is tried again.

    Args:
        error: why it failed.
        tries: how many polls in a row have failed, this one included.
        random: a number in [0, 1).
    """
    if isinstance(error, MaildropAuthError):
        # Spread upwards only, so that no pause is shorter than promised.
        return AUTH_PAUSES[min(tries, len(AUTH_PAUSES)) - 1] * (1 + 0.1 * random)
    backoff = next((backoff for kind, backoff in _BY_ERROR if isinstance(error, kind)), MAILBOX_BACKOFF)
    return backoff.pause(tries, random)
