"""When to try again: pure functions of what went wrong and how often.

Pauses live in the ledger as due times, never in Celery's ETA (which Redis loses).
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.errors import Fault, MailhaulError


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
LOCKED_BACKOFF = Backoff(first=30, cap=600)
# A wrong password tried too often locks the account: after the first hour, three tries a day.
AUTH_BACKOFF = Backoff(first=600, cap=8 * 3600, factor=3)
SINK_BACKOFF = Backoff(first=1, cap=300)
# An event that a sink refuses by itself: pauses up to an hour, for three days in all, then set aside.
PARKED_BACKOFF = Backoff(first=10, cap=3600)
PARKED_TRIES = 80


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


def after_mailbox_error(code: str, tries: int, random: float) -> float:
    """Seconds until a mailbox whose poll failed is due again.

    Args:
        code: the `code` of the error.
        tries: how many polls in a row have failed, this one included.
        random: a number in [0, 1).
    """
    by_code = {"auth": AUTH_BACKOFF, "locked": LOCKED_BACKOFF}
    return by_code.get(code, MAILBOX_BACKOFF).pause(tries, random)
