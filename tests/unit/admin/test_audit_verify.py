"""Verifying finds what was removed, altered or added, in statements and in the store, and nothing else."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.adapters.signing import load_public_key, load_signer
from ingest.domain.statement import canonical
from ingest.domain.tombstone import RawErased
from ingest.errors import ConfigError
from tests.support.audited import OTHER, SECRET, TODAY, audited, key, keys_of, private, public, raw
from tests.support.bench import mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.audited import Audited

SECOND = TODAY + timedelta(days=1)
THIRD = TODAY + timedelta(days=2)


def remove_attachment(a: Audited) -> None:
    del a.b.store.objects[a.object("i.pdf")]


def remove_raw(a: Audited) -> None:
    del a.b.store.objects[a.object("raw.eml")]


def remove_manifest(a: Audited) -> None:
    del a.b.store.objects[a.object("message.json")]


def remove_message(a: Audited) -> None:
    for name in [one for one in a.b.store.objects if f"/{key('day 0')}/" in one]:
        del a.b.store.objects[name]


def alter_attachment(a: Audited) -> None:
    name = a.object("i.pdf")
    a.put(name, a.content(name)[::-1])


def alter_body(a: Audited) -> None:
    a.put(a.object("body.txt"), b"Pay another account.")


def alter_raw(a: Audited) -> None:
    name = a.object("raw.eml")
    a.put(name, a.content(name)[::-1])


def alter_manifest(a: Audited) -> None:
    name = a.object("message.json")
    a.put(name, a.content(name).replace(b"billing@", b"villain@"))


def alter_raw_and_manifest(a: Audited) -> None:
    """Consistently, so that only the statement and the message key say otherwise."""
    other = raw("day 0").replace(b"day 0", b"day O")
    stored = json.loads(a.content(a.object("message.json")))
    a.put(a.object("raw.eml"), other)
    stored["raw"]["sha256"] = a.b.store.objects[a.object("raw.eml")].ref.sha256
    a.put(a.object("message.json"), json.dumps(stored).encode())


def add_to_message(a: Audited) -> None:
    a.put(a.object("message.json").replace("message.json", "attachments/7-bill.pdf"), b"%PDF")


def add_stray(a: Audited) -> None:
    a.put("mail/a/2025/readme.txt", b"hello")


def add_message(a: Audited) -> None:
    """As an earlier writer of the store could: the store says that it is old."""
    a.b.clock.time -= 2 * 86_400.0
    a.put(f"mail/a/undated/{'0' * 32}/raw.eml", b"made up")
    a.b.clock.time += 2 * 86_400.0


def restore_erased(a: Audited) -> None:
    kept = a.b.store.objects[a.object("message.json")]
    a.purge("day 0")
    a.next_day()
    a.write()
    a.put(kept.ref.key, kept.content)


def remove_tombstone(a: Audited) -> None:
    a.purge("day 0")
    a.next_day()
    a.write()
    del a.b.store.objects[a.object("message.json")]


def leave_content_of_erased(a: Audited) -> None:
    a.purge("day 0")
    a.next_day()
    a.write()
    a.put(a.object("message.json").replace("message.json", "body.txt"), b"still here")


def empty_raw_beside_the_name_of_a_record(a: Audited) -> None:
    """An object whose name alone says that the raw mail was erased on purpose."""
    name = a.object("raw.eml")
    a.put(name, b"")
    a.put(name.replace("raw.eml", "raw-erased.json"), b"{}")


def empty_raw_with_the_record_of_another(a: Audited) -> None:
    name, other = a.object("raw.eml"), a.object("raw.eml", "day 1")
    record = RawErased(
        message_key=key("day 0"),
        mailbox="a",
        erased_at=a.b.clock.now(),
        rule="x",
        stored_at=a.b.clock.now(),
        size=len(a.content(other)),
        sha256=hashlib.sha256(a.content(other)).hexdigest(),
    )
    a.put(name, b"")
    a.put(name.replace("raw.eml", "raw-erased.json"), record.to_json())


def remove_old_object_that_was_stated(a: Audited) -> None:
    a.fetch("day 3")
    a.put(name := a.object("message.json", "day 3").replace("message.json", "attachments/9-left.txt"), b"left over")
    a.next_day()
    a.write()
    assert a.verify().ok
    del a.b.store.objects[name]


TAMPERED: dict[Callable[[Audited], None], set[tuple[str, str]]] = {
    remove_attachment: {("missing", "2-i.pdf")},
    remove_raw: {("missing", "raw.eml")},
    remove_manifest: {("missing", "message.json")},
    remove_message: {("missing", key("day 0"))},
    alter_attachment: {("altered", "2-i.pdf")},
    alter_body: {("altered", "body.txt")},
    alter_raw: {("altered", "raw.eml")},
    empty_raw_beside_the_name_of_a_record: {("altered", "raw.eml")},
    empty_raw_with_the_record_of_another: {("altered", "raw.eml")},
    alter_manifest: {("altered", "message.json")},
    alter_raw_and_manifest: {("altered", "message.json"), ("altered", "raw.eml")},
    add_to_message: {("added", "7-bill.pdf")},
    add_stray: {("added", "readme.txt")},
    add_message: {("added", "0" * 32)},
    restore_erased: {("altered", "message.json")},
    remove_tombstone: {("missing", "message.json")},
    leave_content_of_erased: {("added", "body.txt")},
    remove_old_object_that_was_stated: {("missing", key("day 3"))},
}


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda tamper: tamper.__name__)
def test_tampering_with_the_store_is_found(tamper: Callable[[Audited], None]) -> None:
    with audited() as a:
        a.days(3)
        assert a.verify().ok
        tamper(a)
        assert a.found() == TAMPERED[tamper]


def test_quick_misses_only_what_keeps_its_size() -> None:
    with audited() as a:
        a.days(3)
        for tamper in (alter_raw, alter_attachment):
            tamper(a)
        assert a.found(quick=True) == set()
        a.put(a.object("i.pdf", "day 1"), b"shorter")
        a.put(a.object("raw.eml", "day 2"), b"shorter")
        remove_raw(a)
        alter_manifest(a)
        assert a.found(quick=True) == {
            *(("altered", name) for name in ("2-i.pdf", "raw.eml", "message.json")),
            ("missing", "raw.eml"),
        }


def test_days_limit_which_messages_are_read() -> None:
    with audited() as a:
        a.days(3)
        alter_attachment(a)
        assert a.found(since=SECOND) == set()
        assert a.found(until=TODAY) == {("altered", "2-i.pdf")}
        assert a.verify(since=SECOND).messages == 2


# --- statements --------------------------------------------------------------------------------------------------


def remove(day_of: int) -> Callable[[Audited], None]:
    def tamper(a: Audited) -> None:
        del a.b.store.objects[a.statement_key(TODAY + timedelta(days=day_of))]

    return tamper


def forge_counts(a: Audited) -> None:
    a.forge(SECOND, counts={})


def forge_entries(a: Audited) -> None:
    """An entry is replaced, with every hash that is about it, of a statement that is not signed."""
    archived = a.archive.load("a", SECOND).statement
    [entry] = a.archive.entries(archived)
    name = a.b.layout.statement_entries("a", SECOND, archived.entries.sha256)
    a.put(name, entry.model_copy(update={"state": "quarantined"}).to_line() + b"\n")


def remove_entries(a: Audited) -> None:
    archived = a.archive.load("a", SECOND).statement
    del a.b.store.objects[a.b.layout.statement_entries("a", SECOND, archived.entries.sha256)]


def reformat(a: Audited) -> None:
    name = a.statement_key(THIRD)
    a.put(name, json.dumps(json.loads(a.content(name))).encode())


def ruin(a: Audited) -> None:
    a.put(a.statement_key(SECOND), b"{}")


def swap(a: Audited) -> None:
    a.put(a.statement_key(THIRD), a.content(a.statement_key(SECOND)))


def stop_signing(a: Audited) -> None:
    a.key = None
    a.fetch("day 3")
    a.next_day()
    a.write()


def forge_signature(a: Audited) -> None:
    found = json.loads(a.content(a.statement_key(THIRD)))
    a.forge(THIRD, signature={**found["signature"], "value": "AAAA"})


CHAINED: list[tuple[Callable[[Audited], None], set[tuple[str, str]]]] = [
    # The statement after a missing one shows nothing more: it refers to a day that is not there.
    (remove(1), {("missing", str(SECOND)), ("added", key("day 1"))}),
    (remove(0), {("missing", str(SECOND)), ("added", key("day 0"))}),
    (forge_counts, {("signature", str(SECOND)), ("altered", str(THIRD))}),
    # Nothing of entries that were altered is believed.
    (forge_entries, {("altered", str(SECOND)), ("added", key("day 1"))}),
    (remove_entries, {("missing", str(SECOND)), ("added", key("day 1"))}),
    (reformat, {("altered", str(THIRD))}),
    (ruin, {("altered", str(SECOND)), ("added", key("day 1"))}),
    (swap, {("altered", str(THIRD)), ("added", key("day 2"))}),
    (stop_signing, {("signature", str(TODAY + timedelta(days=3)))}),
    (forge_signature, {("signature", str(THIRD))}),
]


@pytest.mark.parametrize(("tamper", "found"), CHAINED, ids=[tamper.__name__ for tamper, _ in CHAINED])
def test_tampering_with_statements_is_found(tamper: Callable[[Audited], None], found: set[tuple[str, str]]) -> None:
    with audited() as a:
        a.days(3)
        tamper(a)
        assert a.found() == found


def test_last_statement_that_is_removed_is_missing_once_it_should_be_there() -> None:
    with audited() as a:
        a.days(3)
        del a.b.store.objects[a.statement_key(THIRD)]
        assert a.found() == set()  # two hours after midnight it may still be written
        a.b.clock.time += 6 * 3_600.0
        assert a.found() == {("missing", str(THIRD))}
        del a.b.mailboxes["a"]
        assert a.found() == set()


def test_raw_mail_that_was_emptied_beside_the_name_of_a_record_is_found_after_the_next_statement_too() -> None:
    with audited() as a:
        a.days(2)
        empty_raw_beside_the_name_of_a_record(a)
        a.next_day()
        a.write()
        assert a.found() == {("altered", "raw.eml")}


def test_everything_is_unaccounted_for_once_all_statements_are_removed() -> None:
    with audited() as a:
        a.days(2)
        a.fetch("today")
        for name in [one for one in a.b.store.objects if "/_audit/" in one]:
            del a.b.store.objects[name]
        a.b.clock.time += 6 * 3_600.0
        report = a.verify()
        assert (report.head, report.pending) == (None, 1)
        assert a.found() == {("added", key("day 0")), ("added", key("day 1"))}


def test_gap_and_days_are_named_as_a_whole() -> None:
    with audited() as a:
        a.days(4)
        for day in (SECOND, THIRD):
            del a.b.store.objects[a.statement_key(day)]
        texts = [one.text for one in a.verify().findings]
        assert f"there is no statement about {SECOND} to {THIRD}" in texts


def test_chain_that_was_written_anew_without_the_key_is_found() -> None:
    with audited() as a:
        a.days(2)
        for name in [one for one in a.b.store.objects if "/_audit/" in one]:
            del a.b.store.objects[name]
        remove_message(a)
        a.key = None
        a.write()
        assert a.found() == {("signature", str(SECOND))}


def test_keys_are_rotated_by_naming_the_old_public_key() -> None:
    with audited() as a:
        a.days(1)
        a.key = OTHER
        a.fetch("later")
        a.next_day()
        a.write()
        assert a.found() == {("signature", str(SECOND))}
        a.known = keys_of(SECRET, OTHER)
        assert a.found() == set()
        assert a.verify().signed_by == set(a.known)
        a.known = keys_of(OTHER)
        assert a.found() == {("signature", str(TODAY))}
        a.known, a.key = keys_of(SECRET, OTHER), SECRET  # whoever found the old key
        a.next_day()
        a.write()
        assert a.found() == {("signature", str(THIRD))}


def test_signing_may_begin_later_and_unsigned_chains_are_verified_without_keys() -> None:
    with audited() as a:
        a.do_not_sign()
        a.days(1)
        assert a.verify().ok
        a.key, a.known = SECRET, keys_of(SECRET)
        a.fetch("later")
        a.next_day()
        a.write()
        assert a.verify().ok
        a.known = {}
        assert a.found() == {("signature", str(SECOND))}


def test_what_the_statements_themselves_contradict_is_found() -> None:
    """Whoever lets statements be written over an altered store leaves the contradiction in them."""
    with audited() as a:
        a.days(1)
        alter_manifest(a)
        a.next_day()
        a.write()
        [entry] = a.entries(SECOND)
        assert entry.change == "changed"
        assert a.found() == {("altered", key("day 0"))}


def test_manifest_that_only_claims_to_be_an_update_is_found() -> None:
    with audited() as a:
        a.days(1)
        a.reprocess()
        stored = json.loads(a.content(a.object("message.json")))
        for forged in (b"{}", a.content(a.object("previous.json")).replace(b"billing@", b"villain@")):
            a.put(a.object("previous.json"), forged)
            assert ("altered", "previous.json") in a.found()
        stored["update"]["superseded"][-1]["sha256"] = a.b.store.objects[a.object("previous.json")].ref.sha256
        stored["update"]["superseded"][-1]["size"] = len(forged)
        a.put(a.object("message.json"), json.dumps(stored).encode())
        assert a.found() == {("altered", "message.json")}
        a.next_day()
        a.write()
        assert a.found() == {("altered", key("day 0"))}


def test_raw_mail_that_was_replaced_with_its_manifest_is_found_after_the_next_statement() -> None:
    with audited() as a:
        a.days(1)
        alter_raw_and_manifest(a)
        a.next_day()
        a.write()
        assert a.found() == {("altered", key("day 0")), ("altered", "raw.eml")}


def test_entries_out_of_order_are_no_entries() -> None:
    with audited() as a:
        a.do_not_sign()
        a.fetch("one", "two")
        a.next_day()
        a.write()
        lines = [entry.to_line() for entry in a.entries()]
        a.forge_entries(lines)
        assert a.verify().ok
        a.forge_entries(lines[::-1])
        assert ("altered", str(TODAY)) in a.found()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("store_id", "00"),
        ("since", "2025-11-24T00:00:00Z"),
        ("until", "2025-11-26T01:00:00Z"),
        ("merkle_root", "00"),
    ],
)
def test_field_that_does_not_fit_is_found_in_the_last_statement_without_a_signature(field: str, value: str) -> None:
    with audited() as a:
        a.do_not_sign()
        a.days(2)
        a.forge(SECOND, **{field: value})
        assert ("altered", str(SECOND)) in a.found()


def test_wrong_number_of_entries_is_found() -> None:
    with audited() as a:
        a.do_not_sign()
        a.days(1)
        a.forge(entries={**a.statement().entries.model_dump(), "count": 2})
        assert a.found() == {("altered", str(TODAY)), ("added", key("day 0"))}


def test_statement_of_another_mailbox_is_found() -> None:
    with audited(mailbox("a"), mailbox("b")) as a:
        a.b.poll_all()
        a.next_day()
        a.write()
        assert a.verify().ok
        a.put(a.statement_key(), a.content(a.b.layout.statement("b", TODAY)))
        assert a.found() == {("altered", str(TODAY))}


def test_erased_message_that_is_there_again_is_found_in_the_statements() -> None:
    with audited() as a:
        a.days(1)
        restore_erased(a)
        a.next_day()
        a.write()
        assert ("altered", key("day 0")) in a.found()


def test_raw_mail_that_was_altered_before_it_was_processed_is_found_in_the_statements() -> None:
    with audited() as a:
        a.b.maildrops["a"].messages = {b"u": raw("day 0")}
        a.b.poll_all()
        a.next_day()
        a.write()
        alter_raw(a)
        assert a.found() == {("altered", "raw.eml")}
        a.next_day()
        a.write()
        assert a.found() == {("altered", "raw.eml"), ("altered", key("day 0"))}


def test_message_without_a_manifest_when_it_was_stated_is_found() -> None:
    with audited() as a:
        a.fetch("day 0")
        a.put(a.object("message.json"), b"{}")
        a.next_day()
        a.write()
        assert [entry.state for entry in a.entries()] == ["unreadable"]
        assert a.found() == {("altered", "message.json")}


def test_tombstone_from_before_the_last_statement_is_no_later_purge() -> None:
    with audited() as a:
        a.days(2)
        a.b.clock.time -= 86_400.0
        a.purge("day 0")
        assert a.found() == {("altered", "message.json"), ("altered", "raw.eml")}


def test_no_object_can_lose_a_byte_change_one_or_go_without_being_found() -> None:
    """After days with a purge, an update and a message that failed: so of every kind of object there is."""
    with audited() as a:
        a.days(2)
        a.fail("fails")
        a.reprocess()
        a.purge("day 1")
        a.next_day()
        a.write()
        a.b.clock.time += 6 * 3_600.0
        whole = dict(a.b.store.objects)
        # Of a message that was not processed, only the raw mail counts.
        partial = a.object("body.txt", "fails")
        keys_ = sorted(
            name for name, one in whole.items() if one.content and "/_state/" not in name and name != partial
        )
        assert {name.rpartition(".")[2] for name in keys_} == {"eml", "json", "jsonl", "pdf", "txt"}

        @settings(max_examples=150, deadline=None)
        @given(st.sampled_from(keys_), st.sampled_from(["remove", "cut", "flip"]), st.integers(0, 2**16))
        def check(name: str, how: str, where: int) -> None:
            a.b.store.objects = dict(whole)
            content = bytearray(a.content(name))
            del a.b.store.objects[name]
            if how == "cut":
                a.put(name, bytes(content[:-1]))
            elif how == "flip":
                content[where % len(content)] ^= 1
                a.put(name, bytes(content))
            assert not a.verify().ok

        assert a.verify().ok
        check()


# --- keys --------------------------------------------------------------------------------------------------------


def test_public_key_is_read_from_either_half() -> None:
    assert load_public_key(public(SECRET), "k").key_id == load_public_key(private(SECRET), "k").key_id
    assert load_signer(private(SECRET), "k").key_id == load_public_key(public(SECRET), "k").key_id


@pytest.mark.parametrize("text", ["", "secret", public(SECRET)])
def test_what_is_no_private_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_signer(text, "env:KEY")
    assert "env:KEY" in str(raised.value)
    assert not text or text not in str(raised.value)


def test_what_is_no_public_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="env:KEY"):
        load_public_key("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "env:KEY")


def test_every_field_of_a_statement_is_protected() -> None:
    with audited() as a:
        a.days(2)
        stored = json.loads(a.content(a.statement_key(SECOND)))
        for name in stored.keys() - {"signature"}:
            changed = {"stored": 7} if isinstance(stored[name], dict) else other(stored[name])
            a.put(a.statement_key(SECOND), canonical({**stored, name: changed}))
            assert not a.verify().ok, name
            a.put(a.statement_key(SECOND), canonical(stored))
        assert a.verify().ok


def other(text: str) -> str:
    """Another text of the same kind."""
    return text.replace("2", "1") if "2" in text else f"{text}b"
