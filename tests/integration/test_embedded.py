"""The embedded ledger as a real process: who owns it, who shares it, and what becomes of it after accidents."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kombu import Connection
from redis import Redis

from ingest.adapters.ledger import connect, embedded
from ingest.adapters.ledger.address import broker
from ingest.adapters.ledger.embedded import EmbeddedLedger, find_server
from ingest.errors import StartError
from tests.support.scripted_pop3 import ScriptedServer, Stall
from tests.support.service import write_config
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWNER = """
import sys
from pathlib import Path
from ingest.adapters.ledger.embedded import EmbeddedLedger
with EmbeddedLedger(Path(sys.argv[1])) as ledger:
    print("owned" if ledger.owned else "shared", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has an embedded ledger, until its standard input ends."""
    command = [sys.executable, "-c", _OWNER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        try:
            yield process
        finally:
            if process.poll() is None:
                process.communicate("", timeout=PATIENCE)


def server_pid(ledger: EmbeddedLedger) -> int:
    with closing(Redis.from_url(ledger.url, protocol=2)) as client:
        return int(client.info("server")["process_id"])


def owns(ledger: EmbeddedLedger) -> bool:
    """Asked through a function, as mypy takes an attribute that it has seen for constant."""
    return ledger.owned


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def watchdogs_of(pid: int) -> list[int]:
    """The processes that watch over a server for its owner."""
    last = f"mailhaul-ledger-watchdog\0{pid}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().endswith(last):
                found.append(int(path.parent.name))
    return found


def add_mailbox(ledger: EmbeddedLedger, name: str) -> set[str]:
    """Write something, and return all that is there."""
    with closing(connect(ledger.url)[0]) as made:
        made.mailboxes.add([name])
        return made.mailboxes.members()


def test_data_survives_a_restart(tmp_path: Path) -> None:
    with EmbeddedLedger(tmp_path / "made" / "anew") as first:
        assert owns(first)
        assert first.alive()
        assert add_mailbox(first, "a") == {"a"}
        pid = server_pid(first)
    assert not owns(first)
    assert not first.alive()
    assert not runs(pid)
    with EmbeddedLedger(tmp_path / "made" / "anew") as second:
        assert add_mailbox(second, "b") == {"a", "b"}


def test_socket_is_private(tmp_path: Path) -> None:
    """Neither over the network nor, as another user, through the file system."""
    with EmbeddedLedger(tmp_path) as ledger, closing(Redis.from_url(ledger.url, protocol=2)) as client:
        assert client.config_get("port") == {"port": "0"}
        assert stat.S_IMODE(ledger.socket.stat().st_mode) == 0o700


def test_it_writes_every_change_and_never_evicts(tmp_path: Path) -> None:
    with EmbeddedLedger(tmp_path) as ledger, closing(Redis.from_url(ledger.url, protocol=2)) as client:
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
        assert client.config_get(*wanted) == wanted
    assert (tmp_path / "valkey.log").stat().st_size


def test_folder_too_deep_for_a_socket_works(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y y" * 20)
    with EmbeddedLedger(deep) as ledger:
        assert add_mailbox(ledger, "a") == {"a"}
        assert deep not in ledger.socket.parents
        assert stat.S_IMODE(ledger.socket.parent.stat().st_mode) == 0o700
        assert EmbeddedLedger(deep).socket == ledger.socket
    ledger.socket.parent.rmdir()


def test_socket_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    ledger = EmbeddedLedger(tmp_path / ("x" * 60) / ("y" * 60))
    ledger.socket.parent.mkdir(mode=0o755)
    ledger.socket.parent.chmod(0o755)
    try:
        with pytest.raises(StartError, match="not a private folder"):
            ledger.start()
    finally:
        ledger.socket.parent.rmdir()


def test_second_process_shares_the_server_and_leaves_it_running(tmp_path: Path) -> None:
    with owner(tmp_path):
        with EmbeddedLedger(tmp_path) as mine:
            assert not mine.owned
            pid = server_pid(mine)
            add_mailbox(mine, "a")
        assert mine.alive()
        assert runs(pid)
    assert not runs(pid)


def test_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    with owner(tmp_path) as killed:
        with EmbeddedLedger(tmp_path) as shared:
            pid = server_pid(shared)
            add_mailbox(shared, "a")
        killed.kill()
        killed.wait()
    eventually(lambda: not runs(pid))
    with EmbeddedLedger(tmp_path) as mine:
        assert add_mailbox(mine, "b") == {"a", "b"}


def test_ledger_of_a_killed_drain_ends(tmp_path: Path) -> None:
    """It polls a server that does not greet, so that it is in the middle of its work."""
    lock = tmp_path / "mailhaul-ledger" / "server.lock"
    with ScriptedServer([Stall()]) as server:
        auth = {"type": "password", "username": "joe", "password": "env:PASSWORD"}
        account = {"id": "a", "host": "127.0.0.1", "port": server.port, "tls": "none", "auth": auth}
        config = write_config(tmp_path, [account])
        command = [sys.executable, "-m", "ingest.cli", "drain", "--config", str(config)]
        with (
            (tmp_path / "drain.log").open("wb") as log,
            subprocess.Popen(
                command, env={**os.environ, "PASSWORD": "secret"}, stdout=log, stderr=log, start_new_session=True
            ) as drain,
        ):
            eventually(lambda: lock.exists() and lock.read_text().isdigit())
            pid = int(lock.read_text())
            assert runs(pid)
            drain.kill()
    eventually(lambda: not runs(pid))


def test_new_owner_does_not_adopt_the_server_of_a_killed_one(tmp_path: Path) -> None:
    """It would lose that server a moment later."""
    with owner(tmp_path) as killed:
        with EmbeddedLedger(tmp_path) as shared:
            pid = server_pid(shared)
            add_mailbox(shared, "a")
        killed.kill()
        killed.wait()
    with EmbeddedLedger(tmp_path) as mine:
        assert mine.owned
        assert server_pid(mine) != pid
        assert add_mailbox(mine, "b") == {"a", "b"}


def test_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    ledger = EmbeddedLedger(tmp_path)
    thread = threading.Thread(target=ledger.start)
    thread.start()
    thread.join()
    try:
        assert ledger.alive()
    finally:
        ledger.stop()


def test_no_watchdog_is_left_after_a_stop(tmp_path: Path) -> None:
    with EmbeddedLedger(tmp_path) as ledger:
        (watchdog,) = watchdogs_of(server_pid(ledger))
    assert not runs(watchdog)


def test_after_everything_was_killed_it_starts_again(tmp_path: Path) -> None:
    """A socket that nobody answers on, and locks that nobody holds, are in nobody's way."""
    with owner(tmp_path) as killed:
        with EmbeddedLedger(tmp_path) as shared:
            pid = server_pid(shared)
        killed.kill()
        killed.wait()
    with suppress(ProcessLookupError):  # the watchdog may have been faster
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not runs(pid))
    (tmp_path / "valkey.sock").touch()
    with EmbeddedLedger(tmp_path) as mine:
        assert mine.owned
        assert mine.alive()


def test_supervisor_brings_back_a_server_that_died(tmp_path: Path) -> None:
    with EmbeddedLedger(tmp_path) as ledger:
        pid = server_pid(ledger)
        add_mailbox(ledger, "a")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not ledger.alive())
        ledger.restart()
        assert ledger.owned
        assert server_pid(ledger) != pid
        assert ledger.alive()


def test_supervisor_replaces_a_server_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.2)
    with EmbeddedLedger(tmp_path) as ledger:
        pid = server_pid(ledger)
        os.kill(pid, signal.SIGSTOP)
        ledger.restart()
        assert not runs(pid)
        assert ledger.alive()


def test_sharing_process_becomes_owner_after_the_owner_ended(tmp_path: Path) -> None:
    with EmbeddedLedger(tmp_path) as first:
        second = EmbeddedLedger(tmp_path)
        second.start()
        assert not owns(second)
        first.stop()
        assert not second.alive()
        second.restart()
        assert owns(second)
        assert second.alive()
        second.stop()


def test_ctrl_c_at_the_terminal_does_not_reach_the_server(tmp_path: Path) -> None:
    """Workers need it until they have ended; a terminal interrupts its whole process group."""
    with EmbeddedLedger(tmp_path) as ledger:
        assert os.getpgid(server_pid(ledger)) != os.getpgrp()


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    ledger = EmbeddedLedger(tmp_path)
    with pytest.raises(StartError, match=r"ended as it started; the end of .*valkey\.log"):
        ledger.start()
    assert not ledger.owned


def test_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"file/ledger cannot be used"):
        EmbeddedLedger(tmp_path / "file" / "ledger").start()


def test_missing_server_binary_is_reported_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartError, match="install valkey-server or redis-server"):
        find_server()


def test_installed_server_is_used_if_the_wheel_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = find_server()
    (tmp_path / "redis-server").symlink_to(wheel)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == str(tmp_path / "redis-server")


def test_celery_reaches_it_as_a_broker(tmp_path: Path) -> None:
    with EmbeddedLedger(tmp_path / "with space") as ledger, Connection(broker(ledger.url).url) as connection:
        queue = connection.SimpleQueue("wakeups")
        queue.put("work")
        message = queue.get(timeout=PATIENCE)
        assert message.payload == "work"
        message.ack()
        queue.close()


@pytest.mark.parametrize(("number", "trusted"), [(signal.SIGTERM, True), (signal.SIGKILL, False)])
def test_embedded_ledger_trusts_its_data_only_if_it_was_ended_in_order(
    tmp_path: Path, number: signal.Signals, *, trusted: bool
) -> None:
    """`drain` ends it each time, and need not rebuild its mailboxes the next time."""
    embedded = EmbeddedLedger(tmp_path)
    embedded.start()
    ledger, _ = connect(embedded.url)
    with closing(ledger):
        ledger.mailboxes.add(["a"])
        (claim,) = ledger.mailboxes.claim(1, 60.0)
        ledger.restore_seen(claim, {}, ledger.incarnation())
    if number is signal.SIGKILL:
        pid = embedded._pid()
        assert pid is not None
        os.kill(pid, number)
    embedded.stop()
    with EmbeddedLedger(tmp_path) as again:
        ledger, _ = connect(again.url)
        with closing(ledger):
            assert ledger.seen("a").known is trusted


def test_process_that_holds_the_lock_without_a_server_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "START_SECONDS", 0.2)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StartError, match="another process holds"):
            EmbeddedLedger(tmp_path).start()


@pytest.mark.parametrize(
    ("mode", "words"), [(0o600, "cannot be started: Permission denied"), (0o700, "does not answer")]
)
def test_server_that_does_not_work_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, words: str
) -> None:
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\nexec sleep 600\n")
    server.chmod(mode)
    monkeypatch.setattr(embedded, "find_server", lambda: str(server))
    monkeypatch.setattr(embedded, "START_SECONDS", 0.2)
    with pytest.raises(StartError, match=words):
        EmbeddedLedger(tmp_path / "ledger").start()


def test_folder_whose_lock_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StartError, match="cannot be used"):
        EmbeddedLedger(tmp_path).start()
