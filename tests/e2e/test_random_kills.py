"""Processes, the ledger and the POP3 server die at random while mail keeps arriving: afterwards the count is exact.

`MAILHAUL_KILL_SECONDS` says for how long (45 by default), `MAILHAUL_KILL_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.mails import sample
from tests.support.service import DeliveredIds, Service, check_message, read_events, write_config
from tests.support.valkey import PERSISTENT, Valkey
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ingest.demo.mails import SampleMail
    from tests.support.dovecot import Dovecot

SECONDS = float(os.environ.get("MAILHAUL_KILL_SECONDS", "45"))
SEED = int(os.environ.get("MAILHAUL_KILL_SEED", str(random.SystemRandom().randrange(10**6))))
MAILBOXES = 6
# Between two mails, and the longest between two kills, in seconds.
MAIL_EVERY, KILL_WITHIN = 0.2, 5.0


class Post(threading.Thread):
    """Delivers to every mailbox in turn until it is stopped."""

    def __init__(self, dovecot: Dovecot) -> None:
        super().__init__(name="post")
        self._dovecot = dovecot
        self._stop_asked = threading.Event()
        self.users = [f"kills-{number}" for number in range(MAILBOXES)]
        self.sent: dict[str, dict[bytes, SampleMail]] = {user: {} for user in self.users}
        for user in self.users:
            dovecot.add_user(user, "right")

    def run(self) -> None:
        while not self._stop_asked.wait(MAIL_EVERY):
            user = min(self.users, key=lambda name: len(self.sent[name]))
            mail = sample(len(self.sent[user]), user)
            self.sent[user][mail.raw] = mail
            self._dovecot.deliver(user, mail.raw)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()

    def total(self) -> int:
        return sum(map(len, self.sent.values()))

    def mailboxes(self) -> Iterator[dict[str, Any]]:
        for number, user in enumerate(self.users):
            yield {
                "id": user,
                "host": "127.0.0.1",
                "port": self._dovecot.pop3_port,
                "tls": "none",
                "policy": "delete" if number % 2 else "keep",
                "auth": {"type": "password", "username": user, "password": "env:SECRET"},
            }


def kill_something(dice: random.Random, service: Service, valkey: Valkey, dovecot: Dovecot) -> str:
    """One thing dies with SIGKILL; what nobody else starts again is started again."""
    target = dice.choice(["poll", "process", "relay", "scheduler", "ledger", "pop3"])
    if target == "ledger":
        valkey.kill()
        time.sleep(dice.uniform(0, 1))
        valkey.start()
    elif target == "pop3":
        dovecot.kill()
        time.sleep(dice.uniform(0, 1))
        dovecot.start()
    else:
        with suppress(KeyError, ProcessLookupError):  # it is dead already
            os.kill(service.children()[target], signal.SIGKILL)
    return target


@pytest.mark.e2e
@pytest.mark.dovecot
def test_every_message_is_counted_once_despite_random_kills(
    tmp_path: Path, own_dovecot: Dovecot, record_property: Callable[[str, object], None]
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - to be repeatable
    post = Post(own_dovecot)
    killed: Counter[str] = Counter()
    path = tmp_path / "events.jsonl"
    delivered = DeliveredIds(path)

    with Valkey(tmp_path, PERSISTENT) as valkey:
        config = write_config(tmp_path, list(post.mailboxes()), ledger=valkey.url)
        with Service(config, {"SECRET": "right"}) as service:
            post.start()
            try:
                eventually(delivered.read, "the first event")
                end = time.monotonic() + SECONDS
                while time.monotonic() < end:
                    time.sleep(dice.uniform(0, KILL_WITHIN))
                    killed[kill_something(dice, service, valkey, own_dovecot)] += 1
            finally:
                post.stop()
            words = f"seed {SEED}, killed {dict(killed)}"
            # A killed worker's claims run out after a minute, and one killed often is started again after a minute.
            eventually(
                lambda: len(delivered.read()) >= post.total(),
                lambda: f"{len(delivered.read())} of {post.total()}; {words}",
                timeout=3 * PATIENCE,
            )
            assert service.stop() == 0, words

    events = read_events(path)
    store = tmp_path / "store"
    published = {event["id"]: event for event in events}
    for event in published.values():
        check_message(event, post.sent[event["data"]["mailbox"]["id"]], lambda key: (store / key).read_bytes())
    assert len(published) == len({event["subject"] for event in events}) == post.total(), words
    assert len(list(store.rglob("raw.eml"))) == len(list(store.rglob("message.json"))) == post.total(), words
    for user in post.users:
        gone = set(post.sent[user]) - set(own_dovecot.maildrop(user))
        assert len(gone) == 0 or post.users.index(user) % 2, words
    record_property("killed", dict(killed))
    record_property("repeated_events", len(events) - post.total())
