"""The faults that twins can have: what a ledger, a store and a server lose, and how."""

from __future__ import annotations

import hashlib
import io

import pytest

from ingest.errors import MaildropConnectError, MaildropInUseError, StoreUnavailableError
from ingest.testing import FaultyStore
from ingest.testing.ledger import EVICTABLE
from tests.support.bench import bench, mail, never


def put(store: FaultyStore, key: str, body: bytes) -> None:
    digest = hashlib.sha256(body).hexdigest()
    store.put(key, io.BytesIO(body), size=len(body), sha256=digest, content_type="text/plain")


def test_ledger_that_lost_its_last_writes_has_what_it_had_before() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"] = mail("1")
        b.poll_all()
        restore, known = b.ledger.snapshot(), b.ledger.counts()
        b.process_stage.run(never)
        restore()
        assert b.ledger.counts() == known
        assert b.ledger.unknown(["a"]) == 1, "nobody can tell what was lost"


@pytest.mark.parametrize("part", EVICTABLE)
def test_every_mailbox_is_rebuilt_after_a_key_was_lost(part: str) -> None:
    with bench() as b:
        b.everything()
        b.ledger.evict(part)
        assert b.ledger.unknown(["a"]) == 1


def test_store_may_acknowledge_what_it_does_not_keep() -> None:
    store = FaultyStore()
    store.forgets = frozenset({"raw.eml"})
    put(store, "a/raw.eml", b"x")
    put(store, "a/message.json", b"{}")
    assert list(store.objects) == ["a/message.json"]


def test_store_may_lose_an_answer_and_show_a_page() -> None:
    store = FaultyStore()
    store.loses_answers = True
    with pytest.raises(StoreUnavailableError):
        put(store, "a/b", b"x")
    store.page = b"<html>"
    with store.open("a/b") as body:
        assert body.read() == b"<html>"
    with pytest.raises(StoreUnavailableError):
        store.stored("")
    store.page = None
    store.alter("a/b", b"yy")
    found = store.stat("a/b")
    assert found is not None
    assert found.size == 2


def test_exclusive_maildrop_has_one_session_until_the_server_ends_it() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.exclusive = True
        connect, box = b.runtime.connect, b.mailboxes["a"]
        credentials = b.runtime.credentials("a")
        session = connect(box, credentials, lambda *_: None, lambda _: None)
        with pytest.raises(MaildropInUseError):
            connect(box, credentials, lambda *_: None, lambda _: None)
        drop.drop_session()
        with pytest.raises(MaildropConnectError):
            session.listing()
        connect(box, credentials, lambda *_: None, lambda _: None).quit()
        assert drop.session is None


def test_server_may_confirm_deletions_and_keep_the_messages() -> None:
    with bench() as b:
        drop = b.maildrops["a"]
        drop.messages[b"u1"], drop.keeps_deleted, drop.numbered = mail("1"), True, True
        session = b.runtime.connect(b.mailboxes["a"], b.runtime.credentials("a"), lambda *_: None, lambda _: None)
        rows = session.listing().rows
        assert [row.unique_id for row in rows] == [b"1"]
        assert session.delete(rows) == rows
        assert session.quit()
        assert list(drop.messages) == [b"u1"]
