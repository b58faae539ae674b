"""Messages in the store are listed by their objects; other objects are no messages."""

from __future__ import annotations

from datetime import date

from ingest.admin.stored_messages import stored_messages
from tests.support.bench import bench, mail, mailbox, message_key


def test_messages_are_listed_with_their_day_and_objects() -> None:
    undated = b"Subject: undated\r\n\r\n"
    with bench(mailbox("a"), mailbox("b")) as b:
        b.maildrops["a"].messages = {b"u1": mail("1"), b"u2": undated}
        b.maildrops["b"].messages = {b"u1": mail("1")}
        b.everything()
        b.poll_all()  # writes the checkpoints, which are no messages
        found = list(stored_messages(b.store, "mail/"))
        assert [(one.root, one.day, one.key) for one in found] == [
            ("a", date(2026, 11, 23), message_key("a", mail("1"))),
            ("a", None, message_key("a", undated)),
            ("b", date(2026, 11, 23), message_key("b", mail("1"))),
        ]
        assert all(one.manifest is not None and len(one.sources) == 1 for one in found)
        assert found[0].size == sum(len(b.store.objects[one.key].content) for one in found[0].objects)
        assert [one.root for one in stored_messages(b.store, "mail/", "b")] == ["b"]
