"""What must hold once all faults have ended and every process has had time to work."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING

from ingest.domain.events import EventType
from ingest.domain.keys import MANIFEST, RAW, event_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.world import Sent, World


def broken_promises(world: World) -> list[str]:
    """Return what is broken of the promises (b), (c) and (d), and of delivery without needless repeats."""
    return [
        *(f"{sent.marker!r} in {sent.box} is not stored" for sent in _unstored(world)),
        *_unpublished(world),
        *_wrong(world),
        *_repeated(world),
        *remains(world),
    ]


def _unstored(world: World) -> Iterator[Sent]:
    """Yield the messages that should be stored (b)."""
    for sent in world.sent:
        if sent.purge_begun:
            continue
        if sent.drop_id in world.drops[sent.box].messages:
            # What is only on the server may be fetched again; nobody looks for it in the store if it stays there.
            excused = sent.may_be_cut or (sent.lost and world.boxes[sent.box].deletion.after is None)
            if not excused and not world.holds(sent):
                yield sent
        elif not sent.removed and not sent.lost and not any(world.holds(sent, store) for store in world.stores):
            yield sent


def _unpublished(world: World) -> Iterator[str]:
    """Yield the stored messages whose event has not reached every sink, or under several ids (c)."""
    # Stored, but the answer was lost, and somebody deleted it before it could be fetched again: a rebuild finds it.
    # A purge that broke off leaves raw mail beside the tombstone.
    orphans = {key for sent in world.sent if sent.removed or sent.purge_begun for key in sent.keys}
    deletable = {
        one.key for one in world.sent if not one.may_be_cut and world.boxes[one.box].deletion.after is not None
    }
    delivered = {name: {event.id for event in sink.delivered} for name, sink in world.sinks.items()}
    for at, found in world.store.objects.items():
        if not at.endswith(f"/{RAW}") or not found.content:
            continue
        folder, key = at.rpartition("/")[0], at.split("/")[-2]
        if key in orphans:
            continue
        if f"{folder}/{MANIFEST}" not in world.store.objects:
            if key in world.lost_keys or (key not in deletable and f"{folder}/{MANIFEST}" in world.store.forgotten):
                continue  # only a rebuild, or the proof before a deletion, looks for what was done and is gone
            yield f"{key} was not processed"
        elif missed := [name for name, ids in delivered.items() if event_id(EventType.RECEIVED, key) not in ids]:
            yield f"the event of {key} has not reached {missed}"
    for sink in world.sinks.values():
        ids: dict[tuple[str, str], set[str]] = {}
        for event in sink.delivered:
            ids.setdefault((event.type, json.loads(event.body)["subject"]), set()).add(event.id)
        yield from (f"{key} has several events for {sink.name}" for key, of_one in ids.items() if len(of_one) > 1)


def _wrong(world: World) -> Iterator[str]:
    """Yield the events that were not made from the message that was sent."""
    sent = {one.key: (hashlib.sha256(one.raw).hexdigest(), one.marker.decode()) for one in world.sent}
    for event in {event.id: event for sink in world.sinks.values() for event in sink.delivered}.values():
        envelope = json.loads(event.body)
        key, data = envelope["subject"], envelope["data"]
        found = data["raw"]["sha256"], (data["headers"] or {}).get("subject")
        if event.type == EventType.RECEIVED and key in sent and found != sent[key]:
            yield f"the event of {key} describes another message"


def _repeated(world: World) -> Iterator[str]:
    """Yield the events that were repeated although nothing was lost, nobody died and no store was exchanged."""
    if world.repeats_allowed:
        return
    for sink in world.sinks.values():
        counts = Counter(event.id for event in sink.delivered)
        yield from (f"{sink.name} got {id_} {times} times" for id_, times in counts.items() if times > 1)


def remains(world: World) -> Iterator[str]:
    """Yield what is left of purged messages (d)."""
    for sent in world.sent:
        if not sent.purged:
            continue
        for at, found in world.store.objects.items():
            if sent.marker in found.content:
                yield f"{at} holds content of {sent.marker!r}, which was purged"
        if any(sent.marker in event.body for event in world.all_events()):
            yield f"an event of {sent.marker!r}, which was purged, is kept"
        if world.ledger.open_messages([sent.key])[0] is not None:
            yield f"{sent.marker!r}, which was purged, is open"
        if any(failed.message.key == sent.key for failed in world.ledger.failed_messages()):
            yield f"{sent.marker!r}, which was purged, has failed"
