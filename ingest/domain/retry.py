"""When to try again: pure functions of what went wrong and how often.

Pauses live in the ledger as due times, never in Celery's ETA (which Redis loses).
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
)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow: `first * factor ** (tries - 1)` seconds, never above `cap`, spread by `jitter`."""

    first: float
    cap: float
    factor: float = 2.0
    jitter: float = 0.2

    def pause(self, tries: int, random: float) -> float:
        """Seconds to wait after the given number of failed tries.

        Args:
            tries: how many tries have failed so far, 1 or more.
            random: a number in [0, 1), passed in so that the function stays pure.
        """
        # The exponent is bounded before the power is taken: 2.0 ** 2000 overflows.
        grown = self.first * self.factor ** min(max(tries - 1, 0), 64)
        spread = 1.0 + self.jitter * (2.0 * random - 1.0)
        return min(grown, self.cap) * spread


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Try again after `pause` seconds; `counted` says whether this try brings the last one nearer."""

    pause: float
    counted: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further try by itself: the message is set aside for a person."""


MESSAGE_TRIES = 6
MESSAGE_BACKOFF = Backoff(first=5, cap=1800)
INFRASTRUCTURE_PAUSE = Backoff(first=10, cap=10)
MAILBOX_BACKOFF = Backoff(first=15, cap=900)
IN_USE_BACKOFF = Backoff(first=30, cap=600)
# Who is told of too many logins makes it worse by logging in again.
THROTTLED_BACKOFF = Backoff(first=60, cap=1800)
# Only a person can mend it.
REFUSED_BACKOFF = Backoff(first=300, cap=3600)
# A wrong password tried too often locks the account: three tries in the first hour, then at most three a day.
AUTH_PAUSES = (600.0, 1800.0, 8 * 3600.0)
# Our own limit of connections: a place is free as soon as some poll ends.
DEFERRED_PAUSE = Backoff(first=4, cap=4, jitter=0.5)
SINK_BACKOFF = Backoff(first=1, cap=300)
# A sink that wants nothing any more, until a person says so: ten years.
DISABLED_PAUSE = 3650 * 86_400.0
# An event that a sink refuses by itself: pauses up to an hour, for three days in all, then set aside.
REDELIVERY_BACKOFF = Backoff(first=10, cap=3600)
REDELIVERY_ATTEMPTS = 80


def after_message_error(error: MailhaulError, tries: int, random: float) -> TryAgain | GiveUp:
    """What follows when a message could not be processed.

    A message is only given up for a fault of its own. While the store or the ledger is away, tries do not count.

    Args:
        error: what went wrong.
        tries: how many times the message has been claimed, this one included.
        random: a number in [0, 1).
    """
    if error.fault is not Fault.MESSAGE:
        return TryAgain(INFRASTRUCTURE_PAUSE.pause(1, random), counted=False)
    if tries >= MESSAGE_TRIES:
        return GiveUp()
    return TryAgain(MESSAGE_BACKOFF.pause(tries, random), counted=True)


_BY_ERROR: tuple[tuple[type[MailhaulError], Backoff], ...] = (
    (MaildropDeferredError, DEFERRED_PAUSE),
    (MaildropInUseError, IN_USE_BACKOFF),
    (MaildropThrottledError, THROTTLED_BACKOFF),
    (MaildropRefusedError, REFUSED_BACKOFF),
)


def after_mailbox_error(error: MailhaulError, tries: int, random: float) -> float:
    """Seconds until a mailbox whose poll failed is tried again.

    Args:
        error: why it failed.
        tries: how many polls in a row have failed, this one included.
        random: a number in [0, 1).
    """
    if isinstance(error, MaildropAuthError):
        # Spread upwards only: the pause is a promise.
        return AUTH_PAUSES[min(tries, len(AUTH_PAUSES)) - 1] * (1 + 0.1 * random)
    backoff = next((backoff for kind, backoff in _BY_ERROR if isinstance(error, kind)), MAILBOX_BACKOFF)
    return backoff.pause(tries, random)
