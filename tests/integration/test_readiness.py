"""Processes say whether they can do their work: not before ledger, broker and store answered, and from then on."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import urllib3
import yaml

from tests.support.servers import free_port
from tests.support.service import mailhaul, write_config
from tests.support.valkey import Valkey
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS = (("worker", "poll"), ("worker", "process"), ("worker", "relay"), ("scheduler",), ("exporter",))


@contextmanager
def _running(config: Path, *command: str, script: tuple[str, ...] = ()) -> Iterator[None]:
    log = config.parent / "process.log"
    arguments = ["-c", *script] if script else ["-m", "ingest.cli", *command, "--config", str(config)]
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=output)
    try:
        yield
    except AssertionError as error:
        error.add_note(log.read_text()[-3000:])
        raise
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _got(config: Path, page: str) -> tuple[int, str]:
    """Return status and text of a page; 0 while nobody serves it."""
    port = yaml.safe_load(config.read_text())["metrics"]["port"]
    try:
        with urllib3.PoolManager(retries=False) as pool:
            answer = pool.request("GET", f"http://127.0.0.1:{port}{page}")
    except urllib3.exceptions.HTTPError:
        return 0, ""
    return answer.status, answer.data.decode()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[-1])
def test_process_is_ready_once_ledger_and_broker_answered(command: tuple[str, ...], tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    config = write_config(tmp_path, [], ledger=server.url, sinks=[])
    with _running(config, *command):
        eventually(lambda: "ledger (ledger_unavailable), broker (broker_unavailable)" in _got(config, "/readyz")[1])
        assert _got(config, "/readyz")[0] == 503
        assert _got(config, "/livez")[0] == 200
        done = mailhaul("health", "--ready", "--config", str(config))
        assert (done.returncode, "ledger_unavailable" in done.stderr) == (1, True)
        with server:
            eventually(lambda: _got(config, "/readyz") == (200, "ready\n"), lambda: _got(config, "/readyz"))
            assert mailhaul("health", "--ready", "--config", str(config)).returncode == 0
        assert _got(config, "/readyz")[0] == 200


_COUNTING = """
import sys
from pathlib import Path
from workers.shared_metrics import choose_folder

choose_folder()  # before anything imports prometheus-client
from workers import readiness, worker

look = readiness.Readiness.look

def counted(self, part):
    children = sum(len(path.read_bytes().split()) for path in Path("/proc/self/task").glob("*/children"))
    note = Path(sys.argv[2], part)
    if not note.exists():  # the first time
        note.write_text(str(children))
    look(self, part)

readiness.Readiness.look = counted
worker.run_worker("process", Path(sys.argv[1]))
"""


def test_processor_tries_what_it_needs_when_its_children_exist(tmp_path: Path, valkey: Valkey) -> None:
    """A fork while a thread imports something would leave the child with a lock that nobody releases."""
    config = write_config(tmp_path, [], ledger=valkey.url, sinks=[], workers={"processes": 2})
    seen = tmp_path / "seen"
    seen.mkdir()
    with _running(config, script=(_COUNTING, str(config), str(seen))):
        found = eventually(lambda: _written(seen, 3))
        eventually(lambda: _got(config, "/readyz")[0] == 200)
    assert found.keys() == {"broker", "ledger", "store"}
    assert all(int(children) >= 2 for children in found.values())


def _written(folder: Path, count: int) -> dict[str, str]:
    """Return the content of each file by its name; nothing until there are so many, and all were written."""
    found = {path.name: path.read_text() for path in folder.iterdir()}
    return found if len(found) == count and all(found.values()) else {}


@pytest.mark.parametrize(
    ("command", "needed"), list(zip(COMMANDS, (True, True, True, False, False), strict=True)), ids=str
)
def test_workers_need_the_store(command: tuple[str, ...], needed: bool, tmp_path: Path, valkey: Valkey) -> None:  # noqa: FBT001
    store = {
        "url": "s3://mail",
        "endpoint": f"http://127.0.0.1:{free_port()}",
        "access_key": "env:KEY",
        "secret_key": "env:KEY",
    }
    config = write_config(tmp_path, [], ledger=valkey.url, sinks=[], store=store)
    text = config.read_text().replace("env:KEY", f"file:{tmp_path / 'key'}")
    config.write_text(text)
    (tmp_path / "key").write_text("key")
    with _running(config, *command):
        if needed:
            eventually(lambda: "store (store_unavailable)" in _got(config, "/readyz")[1])
            assert _got(config, "/readyz")[0] == 503
        else:
            eventually(lambda: _got(config, "/readyz")[0] == 200)
