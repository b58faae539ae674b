"""`drain --dry-run`: it counts what a drain would do, and changes nothing anywhere."""

from __future__ import annotations

from ingest.admin.preview import Preview, PreviewedMailbox
from ingest.domain.mailbox import Deletion, Limits
from ingest.errors import MaildropConnectError
from ingest.usecases.poll.deletions import LAST_SECONDS
from ingest.usecases.poll.preview import PollPreview
from tests.support.bench import Bench, bench, mail, mailbox, never


def preview(b: Bench) -> list[PreviewedMailbox]:
    """Look, and require that nothing was changed but the time of the next poll."""
    before = dict(b.store.objects), b.ledger.counts(), {box: b.ledger.seen(box) for box in b.mailboxes}
    drops = {id_: dict(drop.messages) for id_, drop in b.maildrops.items()}
    rows = Preview(b.ledger, b.keeper, b.poller).run(list(b.mailboxes.values()), never)
    assert (dict(b.store.objects), b.ledger.counts(), {box: b.ledger.seen(box) for box in b.mailboxes}) == before
    assert {id_: drop.messages for id_, drop in b.maildrops.items()} == drops
    return rows


def test_new_oversize_and_done_messages_are_counted_apart() -> None:
    box = mailbox("a", limits=Limits(message_bytes=50_000), deletion=Deletion(after=0))
    with bench(box, mailbox("b")) as b:
        b.maildrops["a"].messages = {b"1": mail("one"), b"2": mail("two")}
        b.everything()
        b.clock.time += LAST_SECONDS + 1
        new = {b"3": mail("three"), b"4": mail("big", "x" * 60_000)}
        b.maildrops["a"].messages |= new
        first, second = preview(b)
        planned = PollPreview(listed=4, fetch=1, fetch_bytes=len(new[b"3"]), oversize=1, delete=2)
        assert (first.preview, first.error) == (planned, None)
        assert second.preview == PollPreview()
        b.everything()
        assert len(b.maildrops["a"].messages) == 2, "what was counted is what a poll does"


def test_mailbox_that_the_ledger_does_not_know_is_counted_and_not_rebuilt() -> None:
    with bench() as b:
        b.maildrops["a"].messages = {b"1": mail("one")}
        (row,) = preview(b)
        assert row.preview == PollPreview(listed=1, fetch=1, fetch_bytes=len(mail("one")), known=False)
        assert b.ledger.unknown(["a"])


def test_mailbox_that_fails_leaves_the_others() -> None:
    with bench(mailbox("a"), mailbox("b")) as b:
        b.maildrops["b"].messages = {b"1": mail("one")}
        connect = b.poller.connect

        def connected(box: object, *arguments: object) -> object:
            if box is b.mailboxes["a"]:
                raise MaildropConnectError("no route")
            return connect(box, *arguments)  # type: ignore[arg-type]  # passed on as they came

        object.__setattr__(b.poller, "connect", connected)
        first, second = preview(b)
        assert (first.error, second.error, second.preview.fetch) == ("no route", None, 1)


def test_command_that_is_asked_to_stop_names_what_it_left_out() -> None:
    with bench() as b:
        assert b.ledger.mailboxes.claim_one("a", 45.0), "by a poll in progress"
        (row,) = Preview(b.ledger, b.keeper, b.poller).run([b.mailboxes["a"]], lambda: True)
        assert row.error == "was not looked at: the command was asked to stop"
