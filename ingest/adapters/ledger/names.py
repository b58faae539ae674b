"""The names of all keys. Their common hash tag keeps them in one slot of a cluster, where scripts may join them."""

from __future__ import annotations

PREFIX = "{mailhaul}:"

FENCE = PREFIX + "fence"
MAILBOXES = PREFIX + "mailboxes"
MESSAGES = PREFIX + "messages"
SINKS = PREFIX + "sinks"
OPEN = PREFIX + "open"
OPEN_SINCE = PREFIX + "open:since"
FAILED = PREFIX + "failed"
EVENTS = PREFIX + "events"
BEGINS = PREFIX + "events:begins"
STATUS = PREFIX + "status"
CHANGES = PREFIX + "changes"
CHECKPOINTED = PREFIX + "checkpointed"
LAST_SUCCESS = PREFIX + "status:success"
SCHEDULE = PREFIX + "schedule"
PAUSED = PREFIX + "paused"
LAST_TICK = PREFIX + "tick"
REJECTING_SINKS = PREFIX + "rejecting"


def seen(mailbox: str) -> str:
    """A string: 20 bytes for each unique-id, 16 of its digest and 4 of the second (big-endian)."""
    return f"{PREFIX}seen:{mailbox}"


def undone(mailbox: str) -> str:
    """A hash: the key of each open or failed message, and the digests it was registered under, 16 bytes each."""
    return f"{PREFIX}undone:{mailbox}"


def slots(of: str) -> str:
    """A hash: the mailboxes that have a connection to a server or an address, each with its fencing number."""
    return f"{PREFIX}slots:{of}"


def refusal(mailbox: str) -> str:
    """A string, which expires: the `Refusal` of a mailbox's credentials, as JSON."""
    return f"{PREFIX}refusal:{mailbox}"


def turn(what: str) -> str:
    """A string, which expires: somebody has done this lately."""
    return f"{PREFIX}turn:{what}"


def rejected(sink: str) -> str:
    """A hash, the sink's dead-letter queue: rejected events by event id, both retrying and dead-lettered."""
    return f"{PREFIX}rejected:{sink}"


def retrying(sink: str) -> str:
    """The prefix of the work set of a sink's retrying events."""
    return f"{PREFIX}retrying:{sink}"


def retrying_appended(sink: str) -> str:
    """A sorted set: ids of retrying events, by the milliseconds at which they were appended to the stream."""
    return f"{PREFIX}retrying:{sink}:appended"


def group(sink: str) -> str:
    """A sink's consumer group. The script that trims knows groups of ours by how they begin."""
    return f"sink:{sink}"
