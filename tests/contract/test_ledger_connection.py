"""The connection to Redis: restarts, many threads, and an error message with a remedy for every failure."""

from __future__ import annotations

import os
import re
import signal
import socket
import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.connection import AbstractConnection
from redis.exceptions import ResponseError

from ingest.adapters.ledger import connect, pools, preconditions
from ingest.adapters.ledger.address import Broker, broker, redis_url
from ingest.adapters.ledger.connection import RedisConnection
from ingest.adapters.ledger.embedded import find_server
from ingest.errors import LedgerUnavailableError, StartError
from ingest.ports.ledger import Severity
from ingest.ports.seen import Registration
from tests.support.cluster import lone_node
from tests.support.redis import redis_62_server
from tests.support.servers import free_port, serving
from tests.support.valkey import PERSISTENT, Valkey
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.adapters.ledger.redis import RedisLedger


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A server that a test may break."""
    with Valkey(tmp_path) as made:
        yield made


@pytest.fixture(params=[find_server, redis_62_server])
def old_or_new(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Valkey]:
    """The same of the newest and of the oldest version: Redis 6.2 reports errors inside scripts in its own way."""
    with Valkey(tmp_path, program=Path(request.param())) as made:
        yield made


@contextmanager
def ledger_at(url: str) -> Iterator[RedisLedger]:
    with closing(connect(url)[0]) as ledger:
        yield ledger


@contextmanager
def running(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    """The address of a server whose connections this class handles."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    with serving(server):
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"


def answering(line: bytes) -> AbstractContextManager[str]:
    """The address of a server that answers every command with one line."""
    return scripted(line, 0)


def dropping(commands: int) -> AbstractContextManager[str]:
    """The address of a server that hangs up on its first GETs, and answers everything else with PONG."""
    return scripted(b"+PONG", commands)


@contextmanager
def scripted(line: bytes, drop: int) -> Iterator[str]:
    to_drop = [True] * drop

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for count in self.rfile:
                command = [self.rfile.read(int(self.rfile.readline()[1:]) + 2) for _ in range(int(count[1:]))]
                if command[0] == b"GET\r\n" and to_drop:
                    to_drop.pop()
                    return
                self.wfile.write(line + b"\r\n")

    with running(Handler) as url:
        yield url


def test_ledger_works_again_after_a_restart_and_reloads_its_scripts(server: Valkey) -> None:
    with ledger_at(server.url) as ledger:
        ledger.mailboxes.add(["a"])
        server.kill()
        with pytest.raises(LedgerUnavailableError):
            ledger.mailboxes.add(["a"])
        server.start()
        assert ledger.mailboxes.add(["a"]) == 1
        assert [claim.id for claim in ledger.mailboxes.claim(1, 60)] == ["a"]


def test_connection_that_broke_while_idle_is_replaced(server: Valkey) -> None:
    with ledger_at(server.url) as ledger:
        ledger.mailboxes.add(["a"])
        server.kill()
        server.start()
        assert ledger.mailboxes.add(["a"]) == 1


def test_command_is_retried_once_when_its_connection_breaks() -> None:
    with dropping(1) as url, ledger_at(url) as ledger:
        assert ledger.schedule_digest() == "PONG"
    raises = pytest.raises(LedgerUnavailableError, match="cannot be reached")
    with dropping(2) as url, ledger_at(url) as ledger, raises:
        ledger.schedule_digest()


def test_reply_of_an_interrupted_script_is_not_taken_for_that_of_the_next(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the time limit of a task ends it while it waits for a reply."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with ledger_at(server.url) as ledger:
        assert ledger.messages.claim(1, 60) == []
        assert ledger.messages.backlog().due == 0  # both scripts are loaded: neither is sent again for another reason
        ledger.messages.add(["a", "b"])
        with monkeypatch.context() as patch:
            patch.setattr(AbstractConnection, "read_response", interrupted)
            with pytest.raises(KeyboardInterrupt):
                ledger.messages.claim(1, 60)
        backlog = ledger.messages.backlog()
        assert backlog.due + backlog.claimed == 2, "the claim may or may not have been made"


def test_forked_process_uses_connections_of_its_own(server: Valkey) -> None:
    with ledger_at(server.url) as ledger:
        ledger.messages.add(["a", "b"])
        child = os.fork()
        if not child:
            with suppress(BaseException):
                good = all(ledger.messages.add(["a"]) == 0 for _ in range(300))
                os._exit(0 if good else 1)
            os._exit(2)
        assert all(ledger.messages.backlog().due == 2 for _ in range(300))
        assert os.waitpid(child, 0)[1] == 0


def test_two_hundred_threads_share_one_ledger(valkey: Valkey) -> None:
    """There are fewer connections than threads: some threads wait, none fails."""
    valkey.flush()
    together = threading.Barrier(200, timeout=PATIENCE)

    def work(number: int) -> int:
        together.wait()
        return sum(ledger.mailboxes.add([f"{number}-{turn}"]) for turn in range(5))

    with ledger_at(valkey.url) as ledger, ThreadPoolExecutor(200) as threads:
        assert sum(threads.map(work, range(200))) == 1_000
        assert len(ledger.mailboxes.members()) == 1_000


def test_unreachable_server_is_reported() -> None:
    raises = pytest.raises(LedgerUnavailableError, match="cannot be reached; start it, or correct its address")
    with ledger_at(f"redis://127.0.0.1:{free_port()}/0") as ledger, raises:
        ledger.ping()


def test_missing_socket_is_reported(tmp_path: Path) -> None:
    raises = pytest.raises(LedgerUnavailableError, match="cannot be reached")
    with ledger_at(f"unix://{tmp_path}/none.sock") as ledger, raises:
        ledger.ping()


def test_wrong_password_is_reported_and_not_printed(server: Valkey) -> None:
    with closing(server.client()) as client:
        client.config_set("requirepass", "right")
    for userinfo in ("", ":wrong-secret@"):
        with ledger_at(server.url.replace("://", f"://{userinfo}")) as ledger:
            with pytest.raises(LedgerUnavailableError, match="rejects the user or the password") as caught:
                ledger.mailboxes.backlog()
            assert "wrong-secret" not in str(caught.value)
    with ledger_at(server.url.replace("://", "://:right@")) as ledger:
        ledger.ping()


def test_full_ledger_rejects_whole_steps(old_or_new: Valkey) -> None:
    with closing(old_or_new.client()) as client, ledger_at(old_or_new.url) as ledger:
        ledger.mailboxes.add(["a"])
        (claim,) = ledger.mailboxes.claim(1, 60)
        client.config_set("maxmemory", 1)
        with pytest.raises(LedgerUnavailableError, match="out of memory"):
            ledger.register(claim, [Registration(b"d" * 16, None)])
        assert ledger.seen("a").records == {}
        client.config_set("maxmemory", 0)
        ledger.register(claim, [Registration(b"d" * 16, None)])
        assert set(ledger.seen("a").records) == {b"d" * 16}


def test_replica_is_reported_as_one(server: Valkey) -> None:
    with closing(server.client()) as client, ledger_at(server.url) as ledger:
        client.replicaof("127.0.0.1", str(free_port()))
        with pytest.raises(LedgerUnavailableError, match="replica"):
            ledger.mailboxes.add(["a"])


def test_idle_connection_cannot_be_taken_before_it_is_closed(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread would have it closed while it waits for a reply."""
    available: list[int] = []
    close = AbstractConnection.disconnect

    def disconnect(closed: AbstractConnection, *arguments: Any, **options: Any) -> None:
        available.append(sum(one is not None and one.is_connected for one in pool.pool.queue))
        close(closed, *arguments, **options)  # type: ignore[no-untyped-call]  # redis-py has no types here

    with closing(server.client()) as client, closing(RedisConnection(server.url)) as connection:
        pool: Any = connection._pool
        idle = [pool.get_connection() for _ in range(3)]
        for one in idle:
            pool.release(one)
        client.replicaof("127.0.0.1", str(free_port()))
        monkeypatch.setattr(AbstractConnection, "disconnect", disconnect)
        with pytest.raises(LedgerUnavailableError, match="replica"):
            connection.call("SET", connection.names.probe, "1")
        assert len(available) >= len(idle)
        assert set(available) == {0}
        assert not any(one.is_connected for one in idle)
        monkeypatch.undo()


@contextmanager
def forwarding(ports: list[int]) -> Iterator[str]:
    """An address that forwards each new connection to the last of `ports`, which may change, as a name may."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", ports[-1])) as upstream:
                back = threading.Thread(target=copy, args=(upstream, self.request), daemon=True)
                back.start()
                copy(self.request, upstream)
                back.join()

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    with running(Handler) as url:
        yield url


def test_demoted_primary_is_left_for_the_new_one(old_or_new: Valkey, tmp_path: Path) -> None:
    """The demoted server stays alive, and keeps its connections."""
    (tmp_path / "other").mkdir()
    ports = [old_or_new.port]
    with Valkey(tmp_path / "other") as other, forwarding(ports) as url, ledger_at(url) as ledger:
        ledger.mailboxes.add(["a"])
        ports.append(other.port)
        with closing(old_or_new.client()) as client:
            client.replicaof("127.0.0.1", str(other.port))
        with pytest.raises(LedgerUnavailableError, match="replica"):
            ledger.mailboxes.add(["b"])
        assert ledger.mailboxes.add(["b"]) == 1


@contextmanager
def sentinel(folder: Path, primary: Valkey) -> Iterator[Valkey]:
    """A Sentinel that names this primary."""
    folder.mkdir()
    (folder / "sentinel.conf").touch()
    with Valkey(folder, ("--sentinel",), config=folder / "sentinel.conf") as made:
        name_primary(made, primary)
        yield made


def name_primary(watcher: Valkey, primary: Valkey) -> None:
    """Have a Sentinel name this primary from now on."""
    with closing(watcher.client()) as client:
        with suppress(ResponseError):  # there was none
            client.execute_command("SENTINEL", "REMOVE", "mail")  # type: ignore[no-untyped-call] # redis-py has no types here
        client.execute_command("SENTINEL", "MONITOR", "mail", "127.0.0.1", primary.port, 1)  # type: ignore[no-untyped-call] # as above


@pytest.mark.parametrize("killed", [True, False])
def test_primary_that_sentinels_name_after_a_failover_is_used(
    old_or_new: Valkey, tmp_path: Path, *, killed: bool
) -> None:
    """The former primary is killed, or demoted while it keeps its connections."""
    (tmp_path / "other").mkdir()
    with (
        sentinel(tmp_path / "sentinel", old_or_new) as watcher,
        Valkey(tmp_path / "other") as other,
        ledger_at(f"redis+sentinel://127.0.0.1:{watcher.port}/mail/0") as ledger,
    ):
        ledger.mailboxes.add(["a"])
        name_primary(watcher, other)
        if killed:
            old_or_new.kill()
        else:
            with closing(old_or_new.client()) as client:
                client.replicaof("127.0.0.1", str(other.port))
        with suppress(LedgerUnavailableError):  # Redis 6.2 reports the demotion in a way that is not retried
            ledger.mailboxes.add(["b"])
        assert ledger.mailboxes.add(["c"]) == 1
        with ledger_at(other.url) as direct:
            assert "c" in direct.mailboxes.members()


def test_primary_that_is_promoted_again_is_used_again(server: Valkey) -> None:
    with closing(server.client()) as client, ledger_at(server.url) as ledger:
        client.replicaof("127.0.0.1", str(free_port()))
        with pytest.raises(LedgerUnavailableError, match="replica"):
            ledger.mailboxes.add(["a"])
        client.replicaof("NO", "ONE")
        assert ledger.mailboxes.add(["a"]) == 1


def found(url: str) -> list[tuple[Severity, str]]:
    with ledger_at(url) as ledger:
        return [(problem.severity, problem.text) for problem in ledger.problems()]


def test_persistent_server_has_no_problem(tmp_path: Path) -> None:
    with Valkey(tmp_path, PERSISTENT) as server, closing(server.client()) as client:
        assert found(server.url) == []
        assert client.keys("*") == []


@pytest.mark.parametrize(
    ("settings", "severity", "words"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, Severity.FATAL, "maxmemory-policy allkeys-lru.*set .* noeviction"),
        ({"maxmemory-policy": "volatile-ttl"}, Severity.FATAL, "maxmemory-policy volatile-ttl"),
        ({"maxmemory": "1"}, Severity.FAILURE, "raise maxmemory"),
        ({"save": ""}, Severity.WARNING, "loses it at a restart; set appendonly yes"),
    ],
)
def test_setting_that_endangers_mail_is_a_problem(
    server: Valkey, settings: dict[str, str], severity: Severity, words: str
) -> None:
    with closing(server.client()) as client:
        client.config_set("save", "900 1")
        assert found(server.url) == []
        for name, value in settings.items():
            client.config_set(name, value)
        ((found_severity, text),) = found(server.url)
    assert found_severity is severity
    assert re.search(words, text)


def test_nearly_full_ledger_is_a_problem(server: Valkey) -> None:
    with closing(server.client()) as client:
        client.config_set("save", "900 1")
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used * 20 // 19)
        ((severity, text),) = found(server.url)
    assert severity is Severity.FAILURE
    assert re.search(r"uses 9\d% of its memory", text)


def test_replica_is_a_problem(server: Valkey) -> None:
    with closing(server.client()) as client:
        client.config_set("save", "900 1")
        client.replicaof("127.0.0.1", str(free_port()))
    assert found(server.url) == [
        (Severity.FAILURE, "the ledger is a read-only replica; set the address of the primary")
    ]


def test_cluster_mode_is_a_problem(tmp_path: Path) -> None:
    with lone_node(tmp_path) as server:
        assert (preconditions.CLUSTER.severity, preconditions.CLUSTER.text) in found(server.url)


def test_user_without_the_right_to_look_gets_a_warning(server: Valkey) -> None:
    with closing(server.client()) as client:
        for user, rule in (("one", "-info"), ("two", "-config")):
            client.execute_command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", rule)  # type: ignore[no-untyped-call] # redis-py has no types here
    for user, words in (("one", "may not send INFO"), ("two", "does not tell whether it writes snapshots")):
        ((severity, text),) = found(server.url.replace("://", f"://{user}:secret@"))
        assert severity is Severity.WARNING
        assert words in text


def test_losses_are_noticed_where_the_server_tells_its_run_id(server: Valkey) -> None:
    with closing(server.client()) as client:
        client.execute_command("ACL", "SETUSER", "one", "on", ">secret", "~*", "&*", "+@all", "-info")  # type: ignore[no-untyped-call] # redis-py has no types here
    for url, notices in ((server.url, True), (server.url.replace("://", "://one:secret@"), False)):
        with ledger_at(url) as ledger:
            assert ledger.seen("a").notices_losses is notices


def test_user_who_may_not_write_is_a_problem(server: Valkey) -> None:
    with closing(server.client()) as client:
        client.config_set("save", "900 1")
        client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", "-set")  # type: ignore[no-untyped-call] # redis-py has no types here
    ((severity, text),) = found(server.url.replace("://", "://reader:secret@"))
    assert severity is Severity.FAILURE
    assert "too few permissions" in text


def test_port_without_tls_is_named_soon(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time for connecting, not that for a reply, and without a second attempt."""
    monkeypatch.setattr(pools, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(pools, "REPLY_SECONDS", 2 * PATIENCE)
    with closing(server.client()) as client:
        before = client.info("stats")["total_connections_received"]
        started = time.monotonic()
        raises = pytest.raises(LedgerUnavailableError, match="use redis:// instead of rediss://")
        with ledger_at(server.url.replace("redis://", "rediss://")) as ledger, raises:
            ledger.ping()
        assert time.monotonic() - started < PATIENCE
        assert client.info("stats")["total_connections_received"] - before == 1


def test_hanging_server_times_out(server: Valkey) -> None:
    assert server.process is not None
    with ledger_at(server.url + "?socket_timeout=2") as ledger:
        ledger.ping()
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(LedgerUnavailableError, match="does not respond in time"):
                ledger.mailboxes.add(["a"])
        finally:
            os.kill(server.process.pid, signal.SIGCONT)


def test_script_without_a_reply_times_out_although_the_server_accepts_connections(server: Valkey) -> None:
    with closing(server.client()) as client, ledger_at(server.url + "?socket_timeout=1") as ledger:
        ledger.mailboxes.add(["a"])
        client.client_pause(int(PATIENCE * 1000), all=False)
        try:
            with pytest.raises(LedgerUnavailableError, match="does not respond in time"):
                ledger.mailboxes.add(["b"])
        finally:
            client.client_unpause()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"-LOADING Redis is loading the dataset in memory", "loading its data"),
        (b"-MISCONF Errors writing to the AOF file: No space left on device", "cannot write to its disk"),
        (b"-NOPERM this user has no permissions to run the 'ping' command", "too few permissions"),
        (b"-ERR something of its own", "rejected a command: something of its own"),
    ],
)
def test_other_errors_name_a_remedy(line: bytes, words: str) -> None:
    with answering(line) as url, ledger_at(url) as ledger, pytest.raises(LedgerUnavailableError, match=words):
        ledger.ping()


@pytest.mark.parametrize("url", ["http://ledger/0", "ledger:6379", "redis://ledger:port/0", ""])
def test_invalid_address_is_rejected_before_anything_is_sent(url: str) -> None:
    with pytest.raises(StartError, match="redis://host:6379/0"):
        connect(url)


@pytest.mark.parametrize(
    ("url", "redis", "kombu"),
    [
        ("redis://h:1/2", "redis://h:1/2", "redis://h:1/2"),
        ("valkey://u:p@h:1/2", "redis://u:p@h:1/2", "redis://u:p@h:1/2"),
        ("valkeys://h", "rediss://h", "rediss://h?ssl_cert_reqs=required"),
        ("rediss://h/0?ssl_cert_reqs=none", "rediss://h/0?ssl_cert_reqs=none", "rediss://h/0?ssl_cert_reqs=none"),
        ("rediss://h/0?timeout=3", "rediss://h/0?timeout=3", "rediss://h/0?timeout=3&ssl_cert_reqs=required"),
        ("unix:///a%20b/v.sock?db=3", "unix:///a%20b/v.sock?db=3", "redis+socket:///a%20b/v.sock?virtual_host=3"),
        ("unix:///v.sock", "unix:///v.sock", "redis+socket:///v.sock?virtual_host=0"),
        ("amqp://h//", "amqp://h//", "amqp://h//"),
    ],
)
def test_addresses_are_converted_for_each_library(url: str, redis: str, kombu: str) -> None:
    assert redis_url(url) == redis
    assert broker(url) == Broker(kombu)


def test_valkey_addresses_work(valkey: Valkey) -> None:
    with ledger_at(valkey.url.replace("redis://", "valkey://")) as ledger:
        assert ledger.last_tick() is None
