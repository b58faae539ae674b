"""The names of all keys. Their common hash tag keeps them in one cluster slot, so that a script may use several."""

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
LEFT = PREFIX + "events:left"
STATUS = PREFIX + "status"
CHANGES = PREFIX + "changes"
CHECKPOINTED = PREFIX + "checkpointed"
LAST_SUCCESS = PREFIX + "status:success"
SCHEDULE = PREFIX + "schedule"
CONFIGURATION = PREFIX + "configuration"
TROUBLED = PREFIX + "troubled"
PAUSED = PREFIX + "paused"
INCARNATION = PREFIX + "incarnation"
REBUILT = PREFIX + "rebuilt"
LAST_TICK = PREFIX + "tick"
PROBE = PREFIX + "probe"
REJECTING_SINKS = PREFIX + "rejecting"


def seen(mailbox: str) -> str:
    """A string: a record for each message that need not be fetched again, see `ingest.domain.seen`."""
    return f"{PREFIX}seen:{mailbox}"


def unprocessed(mailbox: str) -> str:
    """A hash: keys of open and failed messages, with the digests they were registered under, 16 bytes each."""
    return f"{PREFIX}unprocessed:{mailbox}"


def slots(limited: str) -> str:
    """A hash for a server or an address: the mailboxes that have a connection slot, each with its fencing token."""
    return f"{PREFIX}slots:{limited}"


def refusal(mailbox: str) -> str:
    """A string, which expires: the `Refusal` of a mailbox's credentials, as JSON."""
    return f"{PREFIX}refusal:{mailbox}"


def throttle(what: str) -> str:
    """A string, which expires: some process has done this within the period."""
    return f"{PREFIX}throttle:{what}"


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
    """A sink's consumer group. The script `trim` recognises Mailhaul's groups by this prefix."""
    return f"sink:{sink}"


def sink_of(group: str) -> str:
    """The sink of a consumer group that `group` named."""
    return group.removeprefix("sink:")
