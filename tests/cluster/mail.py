"""Mail that arrives all the time, and what has become of it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingest.demo.mails import sample
from tests.support.service import check_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ingest.demo.mails import SampleMail
    from tests.cluster.peers import Peers

PASSWORD = "right-from-the-start"


class Post(threading.Thread):
    """Delivers to every mailbox in turn until it is stopped.

    Args:
        peers: among them is the mail server.
        every: seconds between two mails.
    """

    def __init__(self, peers: Peers, every: float) -> None:
        super().__init__(name="post", daemon=True)
        self._peers, self._every = peers, every
        self._stop_asked = threading.Event()
        self._lock = threading.Lock()
        self.sent: dict[str, dict[bytes, SampleMail]] = {}

    def run(self) -> None:
        while not self._stop_asked.wait(self._every):
            with self._lock:
                user = min(self.sent, key=lambda name: len(self.sent[name]))
                mail = sample(len(self.sent[user]), user)
                self.sent[user][mail.raw] = mail
                self._peers.dovecot.deliver(user, mail.raw)

    def stop(self) -> None:
        """Deliver no more."""
        self._stop_asked.set()
        if self.is_alive():
            self.join()

    def add(self, user: str) -> None:
        """Make a mailbox that gets mail from now on."""
        self._peers.dovecot.add_user(user, PASSWORD)
        with self._lock:
            self.sent[user] = {}

    def total(self) -> int:
        """All mails so far."""
        with self._lock:
            return sum(map(len, self.sent.values()))


@dataclass(frozen=True, slots=True)
class Account:
    """What has become of the mail.

    Attributes:
        mails: were delivered to mailboxes.
        manifests: are in the store.
        events: ids that the receiver got.
        repeated: deliveries of an event after its first.
        wrong: one line for each thing that must not be.
    """

    mails: int
    manifests: int
    events: int
    repeated: int
    wrong: list[str]


def arrived(peers: Peers, post: Post) -> int:
    """Count the mails whose event was delivered."""
    return len(_ours(peers, post))


def balance(peers: Peers, post: Post) -> Account:
    """Compare byte for byte what was delivered to mailboxes with objects and events."""
    events = _ours(peers, post)
    store = peers.s3.open()

    def read(key: str) -> bytes:
        with store.open(key) as stream:
            return stream.read()

    manifests = {key for key in peers.stored() if key.endswith("/message.json") and "helm-test" not in key}
    wrong = _compare(events, post.sent, read)
    unannounced = manifests - {event["data"]["manifest"] for event in events.values()}
    wrong += [f"no event was delivered for {key}" for key in sorted(unannounced)]
    repeated = sum(peers.deliveries(name) - 1 for name in events)
    return Account(post.total(), len(manifests), len(events), repeated, wrong)


def _ours(peers: Peers, post: Post) -> dict[str, dict[str, Any]]:
    """The events of mail of ours: `helm test` sends some too."""
    return {name: event for name, event in peers.events().items() if event["data"]["mailbox"]["id"] in post.sent}


def _compare(
    events: Mapping[str, dict[str, Any]],
    sent: Mapping[str, Mapping[bytes, SampleMail]],
    read: Callable[[str], bytes],
) -> list[str]:
    """Find events of nothing that was delivered, of the same mail, and mails without any."""
    wrong: list[str] = []
    found: Counter[tuple[str, str]] = Counter()
    for event in events.values():
        user = event["data"]["mailbox"]["id"]
        try:
            found[user, check_message(event, sent[user], read)] += 1
        except AssertionError as error:
            wrong.append(f"{event['id']}: {error}")
    wrong += [f"{count} ids for one mail of {user}" for (user, _), count in found.items() if count > 1]
    missing = sum(map(len, sent.values())) - len(found)
    return wrong + ([f"{missing} mails have no event"] if missing else [])
