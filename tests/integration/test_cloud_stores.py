"""The command line with a store on Google's or Azure's emulator: it checks, hauls, and names what is wrong."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.mails import Kind, SampleMail, sample
from ingest.demo.server import DemoServer
from tests.support.service import check_message, mailhaul, read_events, write_config
from tests.support.stores import read
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.clouds import Emulator

MAILS = 5


@pytest.fixture(params=["fake_gcs", "azurite"])
def emulator(request: pytest.FixtureRequest) -> Emulator:
    made: Emulator = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[dict[str, Any], dict[bytes, SampleMail]]]:
    """A mailbox, and what was delivered to it."""
    drop, mails = tmp_path / "drops" / "invoices", [sample(n, "invoices", Kind.PDF_INVOICE) for n in range(MAILS)]
    drop.mkdir(parents=True)
    for number, each in enumerate(mails):
        (drop / f"{number}.eml").write_bytes(each.raw)
    with DemoServer(tmp_path / "drops", {"invoices": "right"}) as server:
        box = {
            "id": "invoices",
            "host": "127.0.0.1",
            "port": server.port,
            "tls": "none",
            "policy": "delete",
            "auth": {"type": "password", "username": "invoices", "password": "env:SECRET"},
        }
        yield box, {each.raw: each for each in mails}


def test_mail_is_checked_drained_and_deleted(
    tmp_path: Path, emulator: Emulator, served: tuple[dict[str, Any], dict[bytes, SampleMail]]
) -> None:
    (box, sent), bucket = served, emulator.make_bucket(f"drain-{uuid.uuid4().hex}")
    config = write_config(tmp_path, [box], store=emulator.store(bucket))
    env = {"SECRET": "right", **emulator.environment}
    checked = mailhaul("check", "--config", str(config), env=env)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert emulator.everything(bucket) == [], "the probe object is gone"

    def drain() -> dict[str, int]:
        done = mailhaul("drain", "--json", "--config", str(config), env=env)
        assert done.returncode == 0, done.stderr
        totals: dict[str, int] = json.loads(done.stdout)["totals"]
        return totals

    def emptied() -> bool:
        """Nothing is deleted within some seconds of its registration."""
        assert drain()["stored"] == 0
        return not list((tmp_path / "drops" / "invoices").glob("*.eml"))

    assert drain()["stored"] == MAILS
    eventually(emptied, "what the store proves to hold is not deleted on the server")
    store = emulator.open(bucket)
    events = read_events(tmp_path / "events.jsonl")
    hashes = {check_message(event, sent, lambda key: read(store, key)) for event in events}
    assert len(hashes) == MAILS
    assert all(event["data"]["raw"]["bucket"] == store.bucket for event in events)


def test_check_names_a_missing_bucket(
    tmp_path: Path, emulator: Emulator, served: tuple[dict[str, Any], dict[bytes, SampleMail]]
) -> None:
    config = write_config(tmp_path, [served[0]], store=emulator.store("no-such-bucket"))
    checked = mailhaul("check", "--config", str(config), env={"SECRET": "right", **emulator.environment})
    assert checked.returncode == 1
    assert "create it, or correct `store`" in checked.stdout
