"""`mailhaul up` against a real Dovecot, through real Celery workers, to each kind of store."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.mails import sample
from tests.support.service import Service, check_message, read_events, write_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ingest.demo.mails import SampleMail
    from tests.support.dovecot import Dovecot
    from tests.support.s3 import S3Server

MAILBOXES = 20
MORE = 5


class Post:
    """Delivers sample mails to Dovecot users and remembers each byte."""

    def __init__(self, dovecot: Dovecot, prefix: str) -> None:
        self._dovecot = dovecot
        self.users = [f"{prefix}-{number:02d}" for number in range(MAILBOXES)]
        self.sent: dict[str, dict[bytes, SampleMail]] = defaultdict(dict)
        for user in self.users:
            dovecot.add_user(user, f"secret of {user}")

    def deliver(self, count: int) -> None:
        for user in self.users:
            for _ in range(count):
                mail = sample(len(self.sent[user]), user)
                self.sent[user][mail.raw] = mail
                self._dovecot.deliver(user, mail.raw)

    def mailboxes(self, secrets: Path) -> list[dict[str, Any]]:
        secrets.mkdir()
        for user in self.users:
            (secrets / user).write_text(f"secret of {user}\n")
        return [
            {
                "id": user,
                "host": "localhost",
                "port": self._dovecot.pop3s_port,
                "tls": "implicit",
                "ca": str(self._dovecot.ca_file),
                "auth": {"type": "password", "username": user, "password": f"file:{secrets / user}"},
            }
            for user in self.users
        ]

    def check(self, events: list[dict[str, Any]], read: Callable[[str], bytes], keys: list[str]) -> None:
        """Exactly one raw, one manifest and one event for each mail, and every byte as it was delivered."""
        by_mailbox: Mapping[str, list[dict[str, Any]]] = defaultdict(list)
        for event in events:
            by_mailbox[event["data"]["mailbox"]["id"]].append(event)
        for user in self.users:
            raws = [check_message(event, self.sent[user], read) for event in by_mailbox[user]]
            assert len(raws) == len(set(raws)) == len(self.sent[user])
        assert max(Counter(event["id"] for event in events).values()) == 1
        total = sum(len(mails) for mails in self.sent.values())
        assert len(events) == total
        assert sum(key.endswith("/raw.eml") for key in keys) == total
        assert sum(key.endswith("/message.json") for key in keys) == total


def check_whole_run(
    tmp_path: Path,
    post: Post,
    read: Callable[[str], bytes],
    keys: Callable[[], list[str]],
    *,
    first: int,
    env: dict[str, str] | None = None,
    **sections: Any,
) -> None:
    """Ingest `first` mails of each mailbox, then some more while the service runs."""
    config = write_config(tmp_path, post.mailboxes(tmp_path / "secrets"), **sections)
    post.deliver(first)
    with Service(config, env or {}) as service:
        events = service.wait_for_events(MAILBOXES * first)
        post.check(events, read, keys())

        before = {event["id"] for event in events}
        post.deliver(MORE)
        events = service.wait_for_events(MAILBOXES * (first + MORE))
        post.check(events, read, keys())
        assert len({event["id"] for event in events} - before) == MAILBOXES * MORE

        assert service.stop() == 0
    assert len(read_events(tmp_path / "events.jsonl")) == MAILBOXES * (first + MORE)


@pytest.mark.e2e
@pytest.mark.dovecot
def test_every_byte_arrives_in_a_folder_and_later_only_new_mail_is_ingested(
    tmp_path: Path, dovecot_server: Dovecot
) -> None:
    store = tmp_path / "store"

    def read(key: str) -> bytes:
        return (store / key).read_bytes()

    def keys() -> list[str]:
        return [str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()]

    check_whole_run(tmp_path, Post(dovecot_server, "folder"), read, keys, first=50)


@pytest.mark.e2e
@pytest.mark.dovecot
def test_every_byte_arrives_in_s3_and_later_only_new_mail_is_ingested(
    tmp_path: Path, dovecot_server: Dovecot, s3_server: S3Server
) -> None:
    client = s3_server.client()
    bucket = s3_server.make_bucket("whole-run")

    def read(key: str) -> bytes:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def keys() -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    post = Post(dovecot_server, "s3")
    store = s3_server.store(bucket)
    # Fewer than above: where versitygw is missing, moto takes 50 ms of CPU for a mail.
    check_whole_run(tmp_path, post, read, keys, first=15, env=s3_server.environment, store=store)
    client.close()
