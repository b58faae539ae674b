"""Reprocess: what today's version reads differently is updated and published once, whatever breaks meanwhile."""

from __future__ import annotations

import math
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest.admin import reprocess as reprocessing
from ingest.admin.replay import find_manifests
from ingest.admin.retention import Retention
from ingest.domain import keys
from ingest.domain.differences import objects_of
from ingest.domain.events import EventType
from ingest.domain.manifest import Manifest
from ingest.domain.marks import Change
from ingest.domain.retention import Period, RetentionRule
from ingest.domain.retry import Fail
from ingest.errors import MessageError, StoreUnavailableError
from ingest.mime.flowed import unfold
from ingest.mime.names import Name, display_name
from ingest.ports.dkim import DkimKeys
from ingest.testing.scanner import MemoryScanner
from ingest.usecases.process import assembly, derived, stage
from ingest.usecases.process.authentication import Authenticator
from ingest.usecases.process.reprocessing import Reprocessor
from ingest.usecases.process.scanning import Scanning
from ingest.wiring import admin
from tests.support.bench import Bench, bench, mail, message_key, never
from tests.support.clock import Waits
from tests.support.purging import purge_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.admin.purge import Purge
    from ingest.admin.reprocess import Reprocessed
    from ingest.domain.message import OpenMessage

FLOWED = mail("flowed").replace(b"charset=utf-8", b"charset=utf-8; format=flowed") + b"One \r\ntwo.\r\n"
PDF = mail("pdf", attachment=b"%PDF-1.7 no more")
OWN = sorted((Path(__file__).parents[2] / "corpus").rglob("*.eml"))
SHARED = sorted(path for path in (Path(__file__).parents[4] / "shared" / "corpus").rglob("*") if path.is_file())


@pytest.fixture
def b() -> Iterator[Bench]:
    with bench() as made:
        yield made


def fill(b: Bench, *mails: bytes) -> list[str]:
    """Have mails fetched, processed and delivered; return their message keys."""
    b.maildrops["a"].messages |= {b"%d" % number: raw for number, raw in enumerate(mails)}
    b.everything()
    b.sinks["main"].delivered.clear()
    return [message_key("a", raw) for raw in mails]


def reprocess(b: Bench, stop: Waits | None = None, *, hands_over: bool = False, **how: Any) -> Reprocessed:
    work = replace(admin.reprocess(b.runtime), hands_over=hands_over)
    found = find_manifests(b.store, b.layout, b.mailboxes, [], since=0, until=math.inf)
    return work.run(found, list(b.sinks), stop or Waits(), **how)


def manifest(b: Bench, key: str) -> Manifest:
    (found,) = [name for name in b.keys(keys.MANIFEST) if f"/{key}/" in name]
    return Manifest.model_validate_json(b.store.objects[found].content)


def contents(b: Bench) -> dict[str, bytes]:
    return {key: found.content for key, found in b.store.objects.items() if "/_state/" not in key}


def received(b: Bench, kind: EventType = EventType.UPDATED) -> list[dict[str, Any]]:
    return [event for event in b.published() if event["type"] == kind]


def louder(patch: pytest.MonkeyPatch, mark: bytes = b"!") -> None:
    """Change a rule: unfolded texts end with a mark."""
    patch.setattr(derived, "unfold", lambda lines, *, delsp: iter([*unfold(lines, delsp=delsp), mark]))


def renamed(patch: pytest.MonkeyPatch) -> None:
    """Change a rule: PDFs have other names."""

    def named(part: str, name: str | None, detected: str) -> Name:
        found = display_name(part, name, detected)
        if detected != "application/pdf":
            return found
        return replace(found, display=f"{found.display}~", safe=f"new-{found.safe}")

    patch.setattr(assembly, "display_name", named)


def test_nothing_is_written_or_published_where_the_result_is_the_same(b: Bench) -> None:
    fill(b, FLOWED, PDF)
    before = dict(b.store.objects)
    done = reprocess(b)
    assert (done.read, done.changed, done.updated, done.ok) == (2, [], 0, True)
    assert {key: found.ref for key, found in b.store.objects.items()} == {
        key: found.ref for key, found in before.items()
    }
    assert not b.published()


def test_changed_result_is_published_with_what_changed_and_nothing_is_replaced(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = fill(b, FLOWED, PDF)
    before, old = contents(b), manifest(b, key)
    louder(monkeypatch)
    done = reprocess(b)
    assert (done.read, done.updated, len(done.changed), done.events, done.ok) == (2, 1, 1, {"main": 1}, True)
    (event,) = b.published()
    assert (event["type"], event["id"]) == (EventType.UPDATED, keys.event_id(EventType.UPDATED, key, 1))
    paths = [change["path"] for change in event["data"]["update"]["changes"]]
    assert paths == [f"bodies[1].derived[plain].object.{name}" for name in ("key", "size", "sha256")]
    after = manifest(b, key)
    assert after.update is not None
    (new, was) = (each.bodies[0].derived[0].object for each in (after, old))
    assert new.key == was.key.replace("derived/", "updates/1/derived/")
    assert b.store.objects[new.key].content == before[was.key] + b"!"
    previous = f"{new.key.partition('/updates/')[0]}/updates/1/previous.json"
    assert [ref.key for ref in after.update.superseded] == [was.key, previous]
    assert Manifest.model_validate_json(contents(b)[previous]) == old
    names = {name for name in before if not name.endswith(keys.MANIFEST)}
    assert {name: contents(b)[name] for name in names} == {name: before[name] for name in names}
    assert manifest(b, other).update is None
    assert reprocess(b).changed == [], "once is enough"
    assert len(received(b)) == 1


def test_dry_run_says_what_would_change_and_writes_nothing(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = fill(b, PDF)
    before = contents(b)
    renamed(monkeypatch)
    done = reprocess(b, dry_run=True)
    assert [(each.key, each.changes[0]) for each in done.changed] == [
        (key, Change(path="attachments[2].filename", kind="changed", before="i.pdf", after="i.pdf~"))
    ]
    assert (contents(b), b.published(), done.updated) == (before, [], 0)


def test_only_so_many_changed_messages_are_kept_in_memory_and_all_are_updated(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(b, FLOWED, FLOWED.replace(b"One", b"Two"), FLOWED.replace(b"One", b"Six"))
    louder(monkeypatch)
    monkeypatch.setattr("ingest.admin.reprocess.BATCH", 2)
    done = reprocess(b, keep=1)
    assert (len(done.changed), done.changed_total, done.updated) == (1, 3, 3)


def test_stopped_run_says_where_to_continue(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(b, FLOWED, FLOWED.replace(b"One", b"Two"))
    louder(monkeypatch)
    monkeypatch.setattr("ingest.admin.reprocess.BATCH", 1)
    stop = Waits()
    updated = Reprocessor.is_updated

    def stop_after_the_first(self: Reprocessor, message: OpenMessage) -> bool:
        stop.asked = True
        return updated(self, message)

    monkeypatch.setattr(Reprocessor, "is_updated", stop_after_the_first)
    done = reprocess(b, stop)
    assert (done.updated, done.resume_at, done.error, done.ok) == (1, b.clock.time, None, False)
    assert reprocess(b).updated == 1
    assert len(received(b)) == 2


def test_running_processor_does_not_take_what_this_command_updates(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be of an older version, or have other options, and would find nothing to update."""
    fill(b, FLOWED)
    louder(monkeypatch)
    open_updates = b.ledger.open_updates

    def let_others_look(*args: Any) -> Any:
        claims = open_updates(*args)
        assert b.process_stage.run(never) == 0
        return claims

    monkeypatch.setattr(b.ledger, "open_updates", let_others_look)
    assert reprocess(b).updated == 1


def test_new_mail_waits_for_few_of_the_messages_that_are_handed_over(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprocessing, "BATCH", 1)
    monkeypatch.setattr(reprocessing, "MOST_DUE", 1)
    fill(b, *[FLOWED + b"%d\r\n" % number for number in range(6)])
    louder(monkeypatch)
    due: list[int] = []

    def service_works() -> None:
        due.append(b.ledger.messages.backlog().due)
        b.process_stage.run(never)

    done = reprocess(b, Waits(meanwhile=service_works), hands_over=True)
    assert (done.pending, done.error) == (6, None)
    assert due == [2, 2]


def test_second_update_goes_on_from_the_first_and_a_return_uses_the_first_object(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = fill(b, FLOWED)
    first = manifest(b, key)
    with monkeypatch.context() as changed:
        louder(changed)
        reprocess(b)
    written = contents(b).keys()
    assert reprocess(b).updated == 1
    last = manifest(b, key)
    assert last.update is not None
    assert last.update.number == 2
    assert last.bodies == first.bodies
    assert [ref.key.partition("/updates/")[2] for ref in last.update.superseded] == [
        "1/derived/body.txt",
        "1/previous.json",
        "2/previous.json",
    ]
    assert len(contents(b).keys() - written) == 1, "only the former manifest was written"
    ids = [event["id"] for event in received(b)]
    assert ids == [keys.event_id(EventType.UPDATED, key, number) for number in (1, 2)]


def steps(b: Bench, patch: pytest.MonkeyPatch) -> tuple[list[str], Callable[[int], None]]:
    """Record the writes to store and ledger during an update, and let one of them fail."""
    done: list[str] = []
    break_at = [-1]

    def recorded(name: str, act: Callable[..., Any], *, lost: bool) -> Callable[..., Any]:
        def call(*args: Any, **how: Any) -> Any:
            done.append(f"{name} {args[0].rpartition('/')[2]}" if name == "put" else name)
            if len(done) - 1 == break_at[0]:
                if lost:
                    act(*args, **how)
                raise StoreUnavailableError("the process died")
            return act(*args, **how)

        return call

    patch.setattr(b.store, "put", recorded("put", b.store.put, lost=True))
    patch.setattr(b.ledger, "open_updates", recorded("open", b.ledger.open_updates, lost=False))
    patch.setattr(b.ledger, "complete", recorded("complete", b.ledger.complete, lost=False))

    def crash_at(step: int) -> None:
        done.clear()
        break_at[0] = step

    return done, crash_at


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("ledger", ["kept", "lost"])
def test_crash_at_any_step_loses_neither_message_nor_event(
    b: Bench, monkeypatch: pytest.MonkeyPatch, step: int, ledger: str
) -> None:
    (key,) = fill(b, FLOWED)
    old = manifest(b, key)
    louder(monkeypatch)
    done, crash_at = steps(b, monkeypatch)
    crash_at(step)
    reprocess(b)
    assert len(done) == step + 1
    for name in contents(b):
        if name.endswith(keys.MANIFEST):
            shown = Manifest.model_validate_json(contents(b)[name])
            for ref in (body.derived[0].object for body in shown.bodies):
                assert b.store.objects[ref.key].ref.sha256 == ref.sha256, "what a manifest names is there"
    crash_at(-1)
    if ledger == "lost":
        b.ledger.lose()
        b.maildrops["a"].messages.clear()
        b.clock.advance(10)
        b.everything()
    else:
        b.clock.advance(3600)
        b.everything()
    reprocess(b)
    update = manifest(b, key).update
    assert update is not None
    assert update.number == 1
    assert {event["id"] for event in received(b)} == {keys.event_id(EventType.UPDATED, key, 1)}
    assert received(b)[-1]["data"]["update"]["changes_total"] == 3
    assert manifest(b, key).mailbox == old.mailbox
    assert b.ledger.counts()["open"] == 0


def test_steps_of_an_update_end_with_manifest_and_event(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(b, FLOWED)
    louder(monkeypatch)
    done, _ = steps(b, monkeypatch)
    reprocess(b)
    assert done == ["open", "put body.txt", "put previous.json", "put message.json", "complete"]


@contextmanager
def purging(b: Bench) -> Iterator[Purge]:
    yield purge_of(b)


def test_purge_erases_updates_their_objects_and_their_events(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = fill(b, FLOWED)
    louder(monkeypatch)
    b.refuse_everything()
    reprocess(b)
    with purging(b) as purge:
        report = purge.messages(purge.find([key]), never)
    assert report.error is None
    assert {name.rpartition("/")[2]: len(data) > 0 for name, data in contents(b).items()} == {
        keys.MANIFEST: True,
        keys.RAW: False,
    }
    assert report.rejected_events == 1
    assert not [entry for entry in b.events.entries() if entry.event.id.startswith(update_id(key))]
    assert reprocess(b).skipped == {"purged, or the manifest cannot be read": 1}


def update_id(key: str) -> str:
    return keys.event_id(EventType.UPDATED, key)


def test_message_that_is_purged_after_it_was_compared_is_not_written_again(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = fill(b, FLOWED)
    louder(monkeypatch)
    unknown = b.ledger.unknown

    def purge_first(mailboxes: Any) -> int:
        with purging(b) as purge, monkeypatch.context() as patched:
            patched.setattr(b.ledger, "unknown", unknown)
            b.ledger.mailboxes.drop(["a"])
            purge.messages(purge.find([key]), never)
        return unknown(mailboxes)

    monkeypatch.setattr(b.ledger, "unknown", purge_first)
    done = reprocess(b)
    assert (done.updated, received(b)) == (0, [])
    assert sorted(name.rpartition("/")[2] for name in contents(b)) == [keys.MANIFEST, keys.RAW]
    assert b.ledger.counts()["open"] == 0


def test_process_that_was_stopped_for_long_does_not_bring_back_a_purged_message(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lost its claim right before it wrote the manifest."""
    (key,) = fill(b, FLOWED)
    louder(monkeypatch)
    confirm = b.keeper.confirm

    def purge_first(lease: Any) -> None:
        confirm(lease)
        b.ledger.messages.drop([key])
        b.ledger._open.clear()
        with purging(b) as purge:
            purge.messages(purge.find([key]), never)

    monkeypatch.setattr(b.keeper, "confirm", purge_first)
    reprocess(b)
    assert sorted((name.rpartition("/")[2], len(data) > 0) for name, data in contents(b).items()) == [
        (keys.MANIFEST, True),
        (keys.RAW, False),
    ]
    assert not received(b)


def test_message_that_is_still_being_processed_is_left_to_its_processor(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = fill(b, FLOWED)
    louder(monkeypatch)
    message = Reprocessor(b.runtime.processor, b.clock.now).compare(b.keys(keys.MANIFEST)[0])
    assert message is not None
    b.ledger._open[key] = message.message.model_copy(update={"update": None})
    done = reprocess(b)
    assert (done.updated, done.skipped) == (0, {"still being processed, or failed": 1})


def test_message_that_cannot_be_updated_stays_as_it_was_and_does_not_fail(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = fill(b, FLOWED)
    old = manifest(b, key)
    louder(monkeypatch)

    def refuse(*_: Any) -> Manifest:
        raise MessageError("no")

    monkeypatch.setattr(Reprocessor, "update", refuse)
    monkeypatch.setattr(stage, "after_message_error", lambda *_: Fail())
    done = reprocess(b)
    assert [found for found, _ in done.failed] == [key]
    assert (manifest(b, key), b.published(), b.ledger.failed_messages()) == (old, [], [])
    assert not done.ok


def test_message_whose_raw_mail_was_erased_by_retention_is_skipped(b: Bench) -> None:
    fill(b, FLOWED)
    b.clock.time += 100
    rule = RetentionRule("raw", raw=Period(seconds=50))
    retention = Retention(b.store, purge_of(b), [rule], b.clock.now)
    assert retention.run(retention.agreed_time(), never).raw == 1
    done = reprocess(b)
    assert (done.ok, done.read, dict(done.skipped)) == (True, 0, {"the raw mail was erased": 1})


def test_process_that_was_stopped_for_long_does_not_erase_a_message_without_raw_mail(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wrote the manifest; another process ended the update, and then retention erased the raw mail alone."""
    (key,) = fill(b, FLOWED)
    louder(monkeypatch)
    complete = b.ledger.complete
    b.clock.time += 100
    rule = RetentionRule("raw", raw=Period(seconds=50))
    retention = Retention(b.store, purge_of(b), [rule], b.clock.now)

    def erase_raw_first(*arguments: Any) -> Any:
        b.ledger.messages.drop([key])
        b.ledger._open.clear()
        assert retention.run(retention.agreed_time(), never).raw == 1
        return complete(*arguments)

    monkeypatch.setattr(b.ledger, "complete", erase_raw_first)
    reprocess(b)
    assert manifest(b, key).update is not None
    assert all(name in b.store.objects for name in (ref.key for ref in objects_of(manifest(b, key))))


def test_message_without_raw_mail_is_named_and_holds_up_no_other(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    keys_ = fill(b, FLOWED, PDF)
    louder(monkeypatch)
    (raw,) = [name for name in b.keys(keys.RAW) if keys_[1] in name]
    b.store.delete(raw)
    done = reprocess(b)
    assert ([key for key, _ in done.failed], done.updated) == ([keys_[1]], 1)


def test_message_whose_raw_mail_is_empty_for_no_known_reason_is_named(b: Bench) -> None:
    (key,) = fill(b, FLOWED)
    (raw,) = b.keys(keys.RAW)
    b.store.alter(raw, b"")
    done = reprocess(b)
    assert ([one for one, _ in done.failed], done.ok) == ([key], False)


class Keys(DkimKeys):
    """They have left the DNS by the time of a second look."""

    def check(self, claim: object) -> None:
        return None


def test_verdicts_on_the_same_files_and_what_came_before_are_taken_over(b: Bench) -> None:
    """A scanner that is down, or a ledger that has forgotten, is no change of the message."""
    scanner = MemoryScanner()
    b.runtime.processor = replace(
        b.runtime.processor, scanning=Scanning(scanner), authenticator=Authenticator(keys=Keys(), dkim_bytes=10_000)
    )
    b.process_stage = replace(b.process_stage, processor=b.runtime.processor)
    keys_ = fill(b, PDF, PDF.replace(b"Received: from mx", b"Received: from my"))
    duplicates = {manifest(b, key).duplicate_of is not None for key in keys_}
    assert duplicates == {True, False}
    b.ledger.forget_messages(keys_)
    b.runtime.processor = replace(b.runtime.processor, scanning=Scanning(), authenticator=Authenticator())
    assert manifest(b, keys_[0]).authentication is not None
    assert reprocess(b, dry_run=True).changed == []


def test_replay_publishes_the_last_update_too(b: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = fill(b, FLOWED)
    louder(monkeypatch)
    reprocess(b)
    b.sinks["main"].delivered.clear()
    replay = admin.replay(b.runtime)
    replay.run(replay.find([], 0, math.inf), None, Waits())
    b.relay_stage.run(never)
    assert [event["id"] for event in b.published()] == [
        keys.event_id(EventType.RECEIVED, key),
        keys.event_id(EventType.UPDATED, key, 1),
    ]


def attached(name: str, content: bytes) -> bytes:
    return (
        mail(name)
        .replace(
            b"Content-Type: text/plain; charset=utf-8\r\n",
            b"Content-Transfer-Encoding: base64\r\nContent-Type: application/octet-stream\r\n"
            b'Content-Disposition: attachment; filename="' + name.encode() + b'"\r\n',
        )
        .partition(b"\r\n\r\n")[0]
        + b"\r\n\r\n"
        + b64encode(content)
    )


def expected(old: Manifest) -> set[tuple[str, object, object]]:
    """What `renamed` changes of a message."""
    found: set[tuple[str, object, object]] = set()
    for each in old.attachments:
        if each.detected_type != "application/pdf":
            continue
        at, (folder, _, name) = f"attachments[{each.part}]", each.object.key.rpartition("/")
        part, _, safe = name.partition("-")
        found.add((f"{at}.filename", each.filename[:200], f"{each.filename}~"[:200]))
        found.add((f"{at}.object.key", each.object.key[:200], f"{folder}/{part}-new-{safe}"[:200]))
        if each.parent is None and old.content_sha256 is not None:
            found.add(("content_sha256", old.content_sha256, ...))
    return found


@pytest.mark.slow
def test_changed_rule_changes_of_a_whole_corpus_exactly_what_it_is_about(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = [path.read_bytes() for path in [*OWN, *SHARED] if path.suffix == ".eml"]
    mails += [attached(path.name, path.read_bytes()) for path in SHARED if path.suffix != ".eml"]
    before = {key: manifest(b, key) for key in fill(b, *dict.fromkeys(mails))}
    renamed(monkeypatch)
    wanted = {key: expected(old) for key, old in before.items()}
    done = reprocess(b)
    found = {
        each.key: {(one.path, one.before, ... if one.path == "content_sha256" else one.after) for one in each.changes}
        for each in done.changed
    }
    assert found == {key: changes for key, changes in wanted.items() if changes}
    assert (done.read, done.updated, done.failed) == (len(before), len(found), [])
    assert sorted(event["subject"] for event in b.published()) == sorted(found)
    for event in b.published():
        assert event["data"]["update"]["changes_total"] == len(found[event["subject"]])
    named = {ref.key for key in found for ref in [each.object for each in manifest(b, key).attachments]}
    assert named <= b.store.objects.keys()
    assert reprocess(b, dry_run=True).changed == []
