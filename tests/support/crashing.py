"""`mailhaul drain` in a process that kills itself, with SIGKILL, at a named point of a message's way.

Run as `python -m tests.support.crashing POINT --config FILE`. Nothing of the product knows of it: the step is wrapped
from outside. With `SIGNAL=SIGSTOP` in the environment it stops there instead, and goes on when it is continued.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Times of the product that are shorter here, so that nothing is waited for: how long a claim holds, how long Redis is
# not trusted, how often is noted what is published.
SHORTENED: dict[str, object] = {
    "ingest.usecases.claims.LeaseKeeper.__init__.__defaults__": (1.0, time.monotonic),
    "ingest.usecases.poll.deletions.LAST_SECONDS": 0.0,
    "ingest.usecases.recover.watermark.EVERY": 0.0,
}


@dataclass(frozen=True, slots=True)
class Point:
    """Where to die.

    Attributes:
        name: for people.
        target: `module:Class.method` or `module:function`.
        after: once the step is done, else before it begins.
        call: at which call that matches, from 1.
        match: which calls count, by their arguments, `self` first; all of them by default.
    """

    name: str
    target: str
    after: bool
    call: int = 1
    match: Callable[..., bool] = lambda *_a, **_k: True


def _of(kind: str) -> Callable[..., bool]:
    """Calls on the work set of this name."""
    return lambda work, *_a, **_k: f":{kind}:" in work.due


def _script(name: str) -> Callable[..., bool]:
    return lambda _connection, script, *_a, **_k: script == name


def _key(end: str) -> Callable[..., bool]:
    """Calls about an object whose key holds this."""
    return lambda _store, key, *_a, **_k: end in key


_WORK = "ingest.adapters.ledger.workset:RedisWorkSet"
_RUN = "ingest.adapters.ledger.connection:RedisConnection.run"
_LEDGER = "ingest.adapters.ledger.redis:RedisLedger"
_EVENTS = "ingest.adapters.ledger.eventlog:RedisEventLog"
_STORE = "ingest.adapters.stores.folder:FolderStore"
_BATCH = "ingest.adapters.stores.folder:FolderBatch"
_SESSION = "ingest.pop3.session:Pop3Session"
_SINK = "ingest.adapters.sinks.jsonl:JsonLinesSink.deliver"

POINTS = (
    Point("before a mailbox is claimed", f"{_WORK}.claim", after=False, match=_of("mailboxes")),
    Point("a mailbox was claimed", f"{_WORK}.claim", after=True, match=_of("mailboxes")),
    Point("what was seen was read", f"{_LEDGER}.seen", after=True),
    Point("a connection slot was acquired", f"{_LEDGER}.acquire_slot", after=True),
    Point("logged in", "ingest.pop3.connector:Pop3Connector.__call__", after=True),
    Point("the mailbox was listed", f"{_SESSION}.listing", after=True),
    Point("a message was spooled", "ingest.usecases.poll.archive:Archive.whole", after=False),
    Point("raw mail is half written", f"{_STORE}._create", after=True),
    Point("raw mail was stored", f"{_STORE}.put", after=True, match=_key("/raw.eml")),
    Point("the second raw mail was stored", f"{_STORE}.put", after=True, call=2, match=_key("/raw.eml")),
    Point("before a message is registered", _RUN, after=False, match=_script("register")),
    Point("a message was registered", _RUN, after=True, match=_script("register")),
    Point("the second message was registered", _RUN, after=True, call=2, match=_script("register")),
    Point("the header of a large message was fetched", f"{_SESSION}.top", after=True),
    Point("the header of a large message was stored", f"{_STORE}.put", after=True, match=_key("/top.eml")),
    Point("before anything is deleted", f"{_SESSION}.delete", after=False),
    Point("messages were marked for deletion", f"{_SESSION}.delete", after=True),
    Point("the session was ended with QUIT", f"{_SESSION}.quit", after=True),
    Point("before the checkpoint is written", "ingest.usecases.recover.checkpoint:Checkpoints.write", after=False),
    Point("the checkpoint was stored", f"{_STORE}.put", after=True, match=_key("/_state/seen")),
    Point("the checkpoint was noted", f"{_LEDGER}.record_checkpoint", after=True),
    Point("the poll's outcome was noted", f"{_LEDGER}.put_status", after=True),
    Point("the mailbox was given back", f"{_WORK}.release", after=True, match=_of("mailboxes")),
    Point("messages were claimed", f"{_WORK}.claim", after=True, match=_of("messages")),
    Point("an attempt began", _RUN, after=True, match=_script("begin_message")),
    Point("before a message is parsed", "ingest.usecases.process.processor:Processor.process", after=False),
    Point("an attachment was stored", f"{_BATCH}.put", after=True, match=_key("/attachments/")),
    Point("a body was stored", f"{_BATCH}.put", after=True, match=_key("/body.")),
    Point("before the manifest is stored", f"{_STORE}.put", after=False, match=_key("/message.json")),
    Point("the manifest was stored", f"{_STORE}.put", after=True, match=_key("/message.json")),
    Point("before a message is completed", _RUN, after=False, match=_script("complete")),
    Point("a message was completed", _RUN, after=True, match=_script("complete")),
    Point("a sink was claimed", f"{_WORK}.claim", after=True, match=_of("sinks")),
    Point("events were read", f"{_EVENTS}.read", after=True),
    Point("before events are delivered", _SINK, after=False),
    Point("events were delivered", _SINK, after=True),
    Point("events were acknowledged", f"{_EVENTS}.acknowledge", after=True),
    Point("the sink was given back", f"{_WORK}.release", after=True, match=_of("sinks")),
    Point("the delivery watermark was stored", f"{_STORE}.put", after=True, match=_key("_state/watermark.json")),
)


def arm(point: Point) -> None:
    """Wrap the step."""
    path, _, name = point.target.rpartition(".")
    owner: Any = pkgutil.resolve_name(path)
    step, lock, calls = getattr(owner, name), threading.Lock(), iter(range(1, 10**6))

    def strike(*arguments: Any, **options: Any) -> None:
        with lock:
            if point.match(*arguments, **options) and next(calls) == point.call:
                os.kill(os.getpid(), signal.Signals[os.environ.get("SIGNAL", "SIGKILL")])

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if not point.after:
            strike(*arguments, **options)
        result = step(*arguments, **options)
        if point.after:
            strike(*arguments, **options)
        return result

    setattr(owner, name, wrapped)


def main() -> None:
    """See the module."""
    name, *arguments = sys.argv[1:]
    for path, value in SHORTENED.items():
        owner, _, attribute = path.rpartition(".")
        setattr(pkgutil.resolve_name(owner), attribute, value)
    arm(next(point for point in POINTS if point.name == name))
    sys.argv = ["mailhaul", "drain", *arguments]
    importlib.import_module("ingest.cli").main()


if __name__ == "__main__":
    main()
