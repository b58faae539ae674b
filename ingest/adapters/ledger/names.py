"""The names of all keys. Their common hash tag keeps them in one cluster slot, so that a script may use several.

The hash tag is the name of the deployment, so that deployments which share a server do not touch each other's keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property

from ingest.ports.content import GENERATIONS

DEPLOYMENT = "mailhaul"


def _key(name: str) -> str:
    """A field with this key, once `Names` has put the prefix before it."""
    return field(init=False, default=name)


@dataclass(frozen=True)
class Names:
    """The keys of one deployment.

    Args:
        deployment: its name, as for `deployment` in the configuration.
    """

    deployment: str = DEPLOYMENT
    fence: str = _key("fence")
    mailboxes: str = _key("mailboxes")
    messages: str = _key("messages")
    sinks: str = _key("sinks")
    open: str = _key("open")
    open_since: str = _key("open:since")
    failed: str = _key("failed")
    events: str = _key("events")
    begins: str = _key("events:begins")
    left: str = _key("events:left")
    purged: str = _key("events:purged")
    answers: str = _key("events:answers")
    status: str = _key("status")
    changes: str = _key("changes")
    checkpointed: str = _key("checkpointed")
    last_success: str = _key("status:success")
    last_logins: str = _key("status:login")
    schedule: str = _key("schedule")
    configuration: str = _key("configuration")
    troubled: str = _key("troubled")
    paused: str = _key("paused")
    incarnation: str = _key("incarnation")
    rebuilt: str = _key("rebuilt")
    tasks: str = _key("tasks")
    last_tick: str = _key("tick")
    clock_step: str = _key("tick:step")
    latest_time: str = _key("tick:latest")
    probe: str = _key("probe")
    rejecting_sinks: str = _key("rejecting")
    sink_statuses: str = _key("sinks:status")
    counts: str = _key("counts")
    unprocessed_counts: str = _key("counts:unprocessed")
    content: str = _key("content")
    content_restored: str = _key("content:restored")
    quarantined: str = _key("quarantined")
    actions: str = _key("actions")
    sessions: str = _key("console:sessions")
    session_ends: str = _key("console:sessions:ends")
    session_names: str = _key("console:sessions:names")
    logouts: str = _key("console:logouts")
    console_key: str = _key("console:key")

    def __post_init__(self) -> None:
        for key in fields(self)[1:]:
            object.__setattr__(self, key.name, f"{self._prefix}{key.default}")

    def seen(self, mailbox: str) -> str:
        """A string: a record for each message that need not be fetched again, see `ingest.domain.seen`."""
        return f"{self._prefix}seen:{mailbox}"

    def deleted(self, mailbox: str) -> str:
        """A string: seen records of messages that the server was asked to delete, while it may list them."""
        return f"{self._prefix}deleted:{mailbox}"

    def unprocessed(self, mailbox: str) -> str:
        """A hash: keys of open and failed messages, with the digests they were registered under, 16 bytes each."""
        return f"{self._prefix}unprocessed:{mailbox}"

    @cached_property
    def content_generations(self) -> tuple[str, ...]:
        """Hashes, which expire: digests of content, 16 bytes each, with the first message that had it."""
        return tuple(f"{self._prefix}content:{number}" for number in range(GENERATIONS))

    def slots(self, limited: str) -> str:
        """A hash for a server or an address: mailboxes with a connection slot, each with its fencing token."""
        return f"{self._prefix}slots:{limited}"

    def refusal(self, mailbox: str) -> str:
        """A string, which expires: the `Refusal` of a mailbox's credentials, as JSON."""
        return f"{self._prefix}refusal:{mailbox}"

    def throttle(self, what: str) -> str:
        """A string, which expires: until when (milliseconds) no other process is to do this."""
        return f"{self._prefix}throttle:{what}"

    def jobs(self, kind: str) -> str:
        """A hash, which expires: the last jobs of a kind, see `ingest.adapters.ledger.jobs`."""
        return f"{self._prefix}jobs:{kind}"

    def rejected(self, sink: str) -> str:
        """A hash, the sink's dead-letter queue: rejected events by event id, both retrying and dead-lettered."""
        return f"{self._prefix}rejected:{sink}"

    def retrying(self, sink: str) -> str:
        """The prefix of the work set of a sink's retrying events."""
        return f"{self._prefix}retrying:{sink}"

    def retrying_appended(self, sink: str) -> str:
        """A sorted set: ids of retrying events, by the milliseconds at which they were appended to the stream."""
        return f"{self._prefix}retrying:{sink}:appended"

    @cached_property
    def _prefix(self) -> str:
        return f"{{{self.deployment}}}:"


def group(sink: str) -> str:
    """A sink's consumer group. The script `trim` recognises Mailhaul's groups by this prefix."""
    return f"sink:{sink}"


def sink_of(group: str) -> str:
    """The sink of a consumer group that `group` named."""
    return group.removeprefix("sink:")
