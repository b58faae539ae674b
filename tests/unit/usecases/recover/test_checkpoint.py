"""A lost ledger restores what is done from checkpoints; any other message is recognised by its content."""

from __future__ import annotations

from ingest.domain.mailbox import Deletion, Limits
from ingest.domain.seen import load_checkpoint
from ingest.errors import StoreUnavailableError
from tests.support.bench import Bench, bench, mail, mailbox

KEY = "mail/a/_state/seen"


def in_checkpoint(b: Bench) -> set[bytes]:
    """The unique-ids u0 to u9 whose digests the checkpoint holds."""
    if KEY not in b.store.objects:
        return set()
    done = load_checkpoint(b.store.objects[KEY].content)
    return {b"u%d" % n for n in range(10) if b.digest("a", b"u%d" % n, len(mail(str(n)))) in done}


def writes(b: Bench) -> list[str]:
    """Record every key that is written from now on."""
    keys: list[str] = []

    def listen(operation: str, key: str) -> None:
        if operation == "put":
            keys.append(key)

    b.store.fault = listen
    return keys


def fill(b: Bench, *numbers: int) -> None:
    b.maildrops["a"].messages |= {b"u%d" % number: mail(str(number)) for number in numbers}


def test_checkpoint_holds_done_messages_and_no_open_ones() -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.everything()
        fill(b, 3)
        b.poll_all()
        assert in_checkpoint(b) == {b"u1", b"u2"}


def test_checkpoint_is_written_only_after_a_message_was_done() -> None:
    with bench() as b:
        fill(b, 1)
        b.everything()
        put = writes(b)
        b.poll_all()
        assert put == [KEY]
        b.poll_all()
        b.poll_all()
        assert put == [KEY]


def test_message_done_during_a_poll_is_checkpointed_by_the_next_poll() -> None:
    with bench() as b:
        fill(b, 1)
        b.everything()
        fill(b, 2)
        b.everything()
        assert in_checkpoint(b) == {b"u1"}
        b.poll_all()
        assert in_checkpoint(b) == {b"u1", b"u2"}


def test_after_the_loss_of_the_ledger_nothing_done_is_fetched_again() -> None:
    with bench() as b:
        fill(b, 1, 2)
        b.everything()
        b.poll_all()
        b.settle()
        b.ledger.lose()
        fill(b, 3)
        b.everything()
        assert b.maildrops["a"].retrieved == [b"u1", b"u2", b"u3"]
        assert len(b.published()) == 3


def test_message_open_when_the_ledger_was_lost_is_fetched_again_and_published() -> None:
    with bench() as b:
        fill(b, 1)
        b.everything()
        b.poll_all()
        b.settle()
        fill(b, 2)
        b.poll_all()
        b.ledger.lose()
        b.everything()
        assert b.maildrops["a"].retrieved == [b"u1", b"u2", b"u2"]
        assert len(b.published()) == 2
        assert len(b.keys("raw.eml")) == 2


def test_restored_message_keeps_the_time_from_which_its_deletion_counts() -> None:
    with bench(mailbox("a", deletion=Deletion(3600.0))) as b:
        b.maildrops["a"].messages[b"u1"] = b"Message-ID: <1@example.org>\r\n" + mail("1")
        b.everything()
        b.poll_all()
        b.clock.time += 3000
        b.ledger.lose()
        b.poll_all()
        assert list(b.maildrops["a"].messages) == [b"u1"]
        b.clock.time += 700
        b.poll_all()
        assert b.maildrops["a"].messages == {}


def test_a_message_that_only_the_server_has_is_still_not_deleted_after_a_loss() -> None:
    with bench(mailbox("a", deletion=Deletion(0.0), limits=Limits(message_bytes=300))) as b:
        b.maildrops["a"].messages[b"u1"] = mail("big", "x" * 1000)
        b.everything()
        b.poll_all()
        b.ledger.lose()
        for _ in range(2):
            b.everything()
            b.clock.time += 10**6
        assert list(b.maildrops["a"].messages) == [b"u1"]


def test_unknown_mailbox_is_not_polled_while_the_store_is_unavailable() -> None:
    """It would fetch every message again."""
    with bench() as b:
        fill(b, 1)
        b.everything()
        b.poll_all()
        b.ledger.lose()

        def fault(operation: str, key: str) -> None:
            if operation == "get":
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        sessions = b.maildrops["a"].sessions
        b.poll_all()
        assert b.maildrops["a"].sessions == sessions
        assert b.ledger.statuses()["a"].result == "store_error"
        assert not b.ledger.seen("a").known


def test_failed_checkpoint_write_fails_no_poll_and_is_repeated_by_the_next() -> None:
    with bench() as b:
        fill(b, 1)
        b.everything()

        def fault(operation: str, key: str) -> None:
            if operation == "put" and key == KEY:
                raise StoreUnavailableError("unavailable")

        b.store.fault = fault
        b.poll_all()
        assert b.ledger.statuses()["a"].result == "success"
        b.store.fault = None
        b.poll_all()
        assert in_checkpoint(b) == {b"u1"}


def test_unreadable_checkpoint_counts_as_missing() -> None:
    with bench() as b:
        fill(b, 1)
        b.everything()
        b.poll_all()
        b.store.objects[KEY] = b.store.objects[b.keys("raw.eml")[0]]
        b.ledger.lose()
        b.everything()
        assert b.maildrops["a"].retrieved == [b"u1", b"u1"]
        assert b.ledger.statuses()["a"].result == "success"
