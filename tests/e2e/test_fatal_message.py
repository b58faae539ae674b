"""A message whose processing kills its worker fails alone, and all others are processed."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from ingest.domain.events import EventType
from ingest.domain.retry import MESSAGE_TRIES
from tests.support.bench import mail, message_key
from tests.support.faulty_pop3 import faulty_server
from tests.support.service import Service, mailhaul, write_config

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e
NEIGHBOURS = 7

# Python imports it at the start of each process. A claim holds for a second, and a worker that died is started again
# at once, so that nothing is waited for.
_FATAL = """
import os, signal, time
from ingest.cli.supervisor import Supervisor
from ingest.domain.retry import Backoff
from ingest.usecases.claims import LeaseKeeper
from ingest.usecases.process.processor import Processor

LeaseKeeper.__init__.__defaults__ = (1.0, time.monotonic)
Supervisor.__init__.__defaults__ = (time.monotonic, Backoff(first=0.1, cap=0.1))
process = Processor.process

def fatal(self, message, *arguments):
    with open(os.environ["ATTEMPTS"], "a") as file:
        print(message.unique_id, file=file)
    if message.unique_id == "fatal":
        for victim in os.environ["VICTIMS"].split():
            os.kill({"child": os.getpid(), "worker": os.getppid()}[victim], signal.SIGKILL)
        time.sleep(60)
    return process(self, message, *arguments)

Processor.process = fatal
"""


@pytest.mark.parametrize("victims", ["child", "worker child"])
def test_message_that_kills_its_worker_fails_alone(victims: str, tmp_path: Path) -> None:
    patch = tmp_path / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(_FATAL)
    attempts = tmp_path / "attempts"
    env = {
        "PYTHONPATH": os.pathsep.join([str(patch), os.environ.get("PYTHONPATH", "")]),
        "ATTEMPTS": str(attempts),
        "VICTIMS": victims,
        "SECRET": "x",
    }
    with faulty_server("joe") as server:
        mails = {b"fatal": mail("fatal"), **{b"u%d" % n: mail(str(n)) for n in range(NEIGHBOURS)}}
        server.drops["joe"].messages = mails
        auth = {"type": "password", "username": "joe", "password": "env:SECRET"}
        box = {"id": "one", "host": "127.0.0.1", "port": server.port, "tls": "none", "auth": auth}
        config = write_config(tmp_path, [box], workers={"processes": 1})
        with Service(config, env) as service:
            events = service.wait_for_events(NEIGHBOURS + 1)
            listed = mailhaul("failed", "list", "--config", str(config), "--json", env=env)
            assert service.process is not None
            assert service.process.poll() is None

    begun = Counter(attempts.read_text().split())
    assert begun == {"fatal": MESSAGE_TRIES, **{f"u{n}": 1 for n in range(NEIGHBOURS)}}
    assert Counter(event["type"] for event in events) == {EventType.RECEIVED: NEIGHBOURS, EventType.FAILED: 1}
    (failed,) = json.loads(listed.stdout)
    assert (failed["message_key"], failed["reason"]) == (message_key("one", mails[b"fatal"]), "worker_died")
