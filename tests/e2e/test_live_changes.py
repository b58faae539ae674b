"""Mailboxes and secrets change under the running service: nothing is restarted, and nobody else notices."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ingest.adapters.ledger import connect
from tests.support.bench import mail
from tests.support.service import Service, mailhaul, read_events, write_config
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.dovecot import Dovecot
    from tests.support.valkey import Valkey

pytestmark = [pytest.mark.e2e, pytest.mark.dovecot]


BROKEN = ("mailboxes: [", "store: file:///elsewhere\nledger: embedded\nmailboxes: 5\n", "")


class Operator:
    """Somebody who edits the configuration of a running service, and watches what becomes of mail."""

    def __init__(self, folder: Path, dovecot: Dovecot, ledger: str) -> None:
        self.dovecot = dovecot
        self._folder = folder
        self._ledger, _ = connect(ledger)
        self.boxes: dict[str, dict[str, Any]] = {}
        for user in ("one", "two", "three"):
            dovecot.add_user(user, "secret")
            self.write_secret(user, "secret")
        self.boxes["one"] = self.box("one")
        # One process of a kind, so that whoever reports something is known by its name.
        self.config = write_config(folder, list(self.boxes.values()), ledger=ledger, workers={"processes": 1})
        self._others = {
            name: value for name, value in yaml.safe_load(self.config.read_text()).items() if name != "mailboxes"
        }

    def box(self, user: str, **options: Any) -> dict[str, Any]:
        auth = {"type": "password", "username": user, "password": f"file:{user}.secret"}
        return {
            "id": user,
            "host": "127.0.0.1",
            "port": self.dovecot.pop3_port,
            "tls": "none",
            "auth": auth,
            **options,
        }

    def write_secret(self, user: str, secret: str) -> None:
        self._replace(self._folder / f"{user}.secret", secret)

    def edit(self, text: str | None = None) -> None:
        """Put the mailboxes as they are now, or this text, into the file."""
        content = yaml.safe_dump({**self._others, "mailboxes": list(self.boxes.values())})
        self._replace(self.config, content if text is None else text)

    def run(self, *arguments: str) -> str:
        done = mailhaul(*arguments, "--config", str(self.config))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self, id_: str) -> dict[str, Any]:
        (row,) = json.loads(self.run("mailboxes", "list", id_, "--json"))
        assert isinstance(row, dict)
        return row

    def hauled(self) -> dict[str, str]:
        """The mailbox of each subject in an event."""
        events = read_events(self._folder / "events.jsonl")
        return {event["data"]["headers"]["subject"]: event["data"]["mailbox"]["id"] for event in events}

    def expect(self, user: str, subject: str) -> None:
        """A mail to this user comes through, as one of the mailbox that has the user now."""
        self.dovecot.deliver(user, mail(subject))
        self.wait_for(subject)
        (mailbox,) = (id_ for id_, box in self.boxes.items() if box["auth"]["username"] == user)
        assert self.hauled()[subject] == mailbox

    def wait_until_scheduled(self, *ids: str) -> None:
        """These mailboxes and no others."""
        eventually(lambda: self._ledger.mailboxes.members() == set(ids), self._ledger.mailboxes.members)

    def wait_for(self, subject: str) -> None:
        eventually(lambda: subject in self.hauled(), lambda: f"{subject} is not among {self.hauled()}")

    def wait_until_polled(self, id_: str) -> None:
        """Wait until the last poll of the mailbox succeeded; its result is written after its mail was published."""
        eventually(lambda: (self.state(id_)["status"] or {}).get("result") == "success", lambda: self.state(id_))

    def left_alone(self, user: str, subject: str, other: str) -> None:
        """A mail to this user stays where it is, while others are polled several times."""
        self.dovecot.deliver(user, mail(subject))
        for number in range(3):
            self.expect(other, f"{subject}, meanwhile {number}")
        assert subject not in self.hauled()

    def problems(self) -> float:
        """How many the exporter knows of in the configuration."""
        url = f"http://127.0.0.1:{self._others['metrics']['port']}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            (line,) = (one for one in answer if one.startswith(b"mailhaul_configuration_problems "))
        return float(line.split()[1])

    def close(self) -> None:
        self._ledger.close()

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        new = path.with_suffix(".new")
        new.write_text(text)
        new.rename(path)


def tellers(folder: Path) -> Counter[str]:
    """How often each process has reported a broken configuration."""
    lines = (folder / "up.log").read_text().splitlines()
    return Counter(line.partition(":")[0] for line in lines if "config.invalid" in line)


def wait_until_published(folder: Path, times: int) -> None:
    """By those who always have something to do."""
    eventually(lambda: all(tellers(folder)[process] >= times for process in ("scheduler", "poller")))


@pytest.fixture
def operator(tmp_path: Path, valkey: Valkey, own_dovecot: Dovecot) -> Iterator[Operator]:
    """With a running service, whose processes are the same at the end."""
    valkey.flush()
    with closing(Operator(tmp_path, own_dovecot, valkey.url)) as operator, Service(operator.config) as service:
        operator.expect("one", "hello")
        before = service.children()
        assert len(before) == 5
        yield operator
        assert service.children() == before


def test_mailboxes_can_be_added_changed_and_removed_while_running(operator: Operator, tmp_path: Path) -> None:
    operator.boxes["two"] = operator.box("two")
    operator.edit()
    operator.expect("two", "added")

    operator.boxes["one"]["auth"] = operator.box("three")["auth"]
    operator.edit()
    operator.expect("three", "from another maildrop")

    operator.boxes["two"]["enabled"] = False
    operator.edit()
    operator.wait_until_scheduled("one")
    operator.left_alone("two", "disabled", other="three")
    del operator.boxes["two"]["enabled"]
    operator.edit()
    operator.wait_for("disabled")
    operator.expect("two", "enabled")

    del operator.boxes["one"]
    operator.edit()
    operator.wait_until_scheduled("two")
    operator.left_alone("three", "removed", other="two")
    assert len(list(tmp_path.glob("store/one/**/raw.eml"))) == 1 + 1 + 3, "what was stored stays"


def test_mailboxes_can_be_paused_and_resumed(operator: Operator) -> None:
    operator.boxes["two"] = operator.box("two")
    operator.edit()
    operator.expect("two", "before")
    operator.run("mailboxes", "pause", "two")
    operator.wait_until_scheduled("one")
    operator.left_alone("two", "paused", other="one")
    operator.boxes["three"] = operator.box("three")
    operator.edit()
    operator.expect("three", "a change elsewhere")
    operator.left_alone("two", "still paused", other="three")
    operator.run("mailboxes", "resume", "two")
    for subject in ("paused", "still paused"):
        operator.wait_for(subject)


def test_rotated_secret_is_used_without_a_restart(operator: Operator) -> None:
    operator.boxes["two"] = operator.box("two")
    operator.edit()
    operator.expect("two", "with the old password")
    operator.dovecot.set_password("two", "another")
    eventually(lambda: operator.state("two")["status"]["result"] == "auth_error")
    operator.left_alone("two", "locked out", other="one")
    operator.write_secret("two", "another")
    operator.wait_for("locked out")
    operator.wait_until_polled("two")


def test_broken_configuration_is_reported_once_and_ignored(operator: Operator, tmp_path: Path) -> None:
    for times, broken in enumerate(BROKEN, 1):
        operator.edit(broken)
        for number in range(3):
            operator.expect("one", f"as before {times}.{number}")
        wait_until_published(tmp_path, times)
        eventually(lambda: operator.problems() > 0, "the exporter does not report the configuration")
        assert max(tellers(tmp_path).values()) == times, tellers(tmp_path)
        done = mailhaul("status", "--config", str(operator.config))
        assert done.returncode == 2
        assert str(operator.config) in done.stderr
    operator.boxes["two"] = operator.box("two")
    operator.edit()
    operator.expect("two", "fixed")
    eventually(lambda: operator.problems() == 0, "the exporter still reports a problem")
    operator.wait_until_polled("two")
