"""The ledger in a Redis Cluster: failover, moved slots, nodes that are down, and addresses that do not fit."""

from __future__ import annotations

import dataclasses
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot

from ingest.adapters.ledger import connect, preconditions
from ingest.adapters.ledger.brokers import broker_check, check_broker
from ingest.adapters.ledger.names import Names
from ingest.adapters.ledger.workset import RedisWorkSet
from ingest.errors import LedgerUnavailableError, StartError
from ingest.ports.ledger import Severity
from ingest.ports.seen import Registration
from tests.support.cluster import Cluster, lone_node
from tests.support.servers import free_port
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.adapters.ledger.redis import RedisLedger
    from tests.support.valkey import Valkey

THREADS = 30


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with a replica, which a test may break."""
    with Cluster(tmp_path, replica=True) as made:
        yield made


@contextmanager
def ledger_at(url: str) -> Iterator[RedisLedger]:
    with closing(connect(url)[0]) as ledger:
        yield ledger


def members(ledger: RedisLedger) -> set[str] | None:
    """The scheduled mailboxes; None while the ledger is unavailable."""
    with suppress(LedgerUnavailableError):
        return ledger.mailboxes.members()
    return None


def test_all_keys_of_a_deployment_have_one_slot() -> None:
    names = Names("acme")
    keys = [getattr(names, field.name) for field in dataclasses.fields(names)[1:]]
    keys += [names.seen("a"), names.deleted("b"), names.unprocessed("c"), names.slots("h:995"), names.refusal("d")]
    keys += [names.throttle("x"), names.rejected("s"), names.retrying_appended("s"), f"{names.retrying('s')}:due"]
    assert {key_slot(key.encode()) for key in keys} == {key_slot(b"acme")}


def test_slot_differs_between_deployments() -> None:
    """So that several deployments share the nodes of one cluster."""
    assert len({key_slot(Names(f"mailhaul-{number}").probe.encode()) for number in range(10)}) == 10


def test_other_nodes_hold_no_key(cluster: Cluster) -> None:
    cluster.flush()
    with ledger_at(cluster.url) as ledger:
        ledger.mailboxes.add(["a"])
        (claim,) = ledger.mailboxes.claim(1, 60)
        ledger.register(claim, [Registration(b"d" * 16, None)])
    for node in cluster.nodes:
        with closing(node.client()) as client:
            assert (client.dbsize() > 0) == (node is cluster.owner)


def test_any_node_leads_to_the_one_that_has_the_slot(cluster: Cluster) -> None:
    cluster.flush()
    for number, node in enumerate(cluster.nodes):
        with ledger_at(f"redis+cluster://127.0.0.1:{node.port}") as ledger:
            assert ledger.mailboxes.add([f"box-{number}"]) == 1
    with ledger_at(f"valkey+cluster://127.0.0.1:{free_port()},127.0.0.1:{cluster.nodes[0].port}/0") as ledger:
        assert len(ledger.mailboxes.members()) == len(cluster.nodes), "a node that is down is passed over"


def test_cluster_has_no_problem(cluster: Cluster) -> None:
    with ledger_at(cluster.url) as ledger:
        assert ledger.problems() == []
        assert ledger.memory() is not None


def test_problems_are_those_of_the_node_that_has_the_slot(cluster: Cluster) -> None:
    with closing(cluster.client()) as client, ledger_at(cluster.url) as ledger:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert [problem.code for problem in ledger.problems()] == ["eviction"]
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def test_slot_that_moves_to_another_node_is_followed_without_an_error(own_cluster: Cluster) -> None:
    """Also by the connections that were in use, or kept for scripts."""
    ready = threading.Barrier(THREADS + 1, timeout=PATIENCE)

    def work(ledger: RedisLedger, number: int) -> None:
        ledger.mailboxes.add([f"before-{number}"])
        ledger.mailboxes.members()
        ready.wait()
        ready.wait()
        ledger.mailboxes.add([f"after-{number}"])
        ledger.mailboxes.members()

    with ledger_at(own_cluster.url) as ledger, ThreadPoolExecutor(THREADS) as threads:
        done = [threads.submit(work, ledger, number) for number in range(THREADS)]
        ready.wait()
        own_cluster.move()
        ready.wait()
        for one in done:
            one.result()
        assert len(ledger.mailboxes.members()) == 2 * THREADS
        assert ledger.mailboxes.claim(1, 60)


def test_ledger_is_unavailable_while_its_slot_moves_and_loses_nothing(own_cluster: Cluster) -> None:
    with ledger_at(own_cluster.url) as ledger:
        ledger.mailboxes.add(["a"])
        ledger.set_schedule_digest("digest")
        own_cluster.begin_move()
        with pytest.raises(LedgerUnavailableError, match="moving the ledger's slot to another node"):
            ledger.mailboxes.claim(1, 60)
        own_cluster.abandon_move()
        assert [claim.id for claim in ledger.mailboxes.claim(1, 60)] == ["a"]
        own_cluster.move()
        assert (ledger.mailboxes.members(), ledger.schedule_digest()) == ({"a"}, "digest")


def test_replica_that_is_promoted_is_followed_without_an_error(own_cluster: Cluster) -> None:
    """The former primary stays alive, and keeps its connections."""
    with ledger_at(own_cluster.url) as ledger:
        ledger.mailboxes.add(["a"])
        before = ledger.incarnation()
        own_cluster.promote()
        assert ledger.incarnation() != before, "the replica may lack what was written last"
        assert ledger.incarnation() == ledger.incarnation()
        assert ledger.mailboxes.add(["b"]) == 1
        assert ledger.mailboxes.members() == {"a", "b"}


def test_incarnation_is_that_of_the_node_that_has_the_slot(own_cluster: Cluster) -> None:
    """INFO has no key, so that any node answers it: a connection to the former node must not be asked."""
    with ledger_at(own_cluster.url) as ledger:
        first = ledger.incarnation()
        own_cluster.move()
        second = ledger.incarnation()
        assert second != first
        assert {ledger.incarnation() for _ in range(10)} == {second}


def test_replica_that_replaces_a_dead_node_is_used(own_cluster: Cluster) -> None:
    """Only the node that dies is configured: the others were learnt from it."""
    with ledger_at(f"redis+cluster://127.0.0.1:{own_cluster.owner.port}") as ledger:
        ledger.mailboxes.add(["a"])
        before = ledger.incarnation()
        own_cluster.owner.kill()
        with pytest.raises(LedgerUnavailableError):
            ledger.mailboxes.add(["b"])
        assert eventually(lambda: members(ledger)) == {"a"}
        assert ledger.incarnation() != before
        assert ledger.mailboxes.add(["b"]) == 1


def test_nodes_that_name_each_other_over_tls_are_used(tmp_path: Path) -> None:
    (tmp_path / "certificate").mkdir()
    with Cluster(tmp_path, certificate=tmp_path / "certificate") as made, ledger_at(made.tls_url) as ledger:
        ledger.mailboxes.add(["a"])
        made.move()
        assert ledger.mailboxes.members() == {"a"}
        plain = ",".join(f"127.0.0.1:{node.port}" for node in made.nodes)
        raises = pytest.raises(LedgerUnavailableError, match=r"does not answer the TLS handshake|cannot be reached")
        with ledger_at(f"rediss+cluster://{plain}") as wrong, raises:
            wrong.ping()


def test_node_that_hangs_is_left_for_its_replica(own_cluster: Cluster) -> None:
    """It accepts connections, and answers nothing."""
    hung = own_cluster.owner
    assert hung.process is not None
    with ledger_at(own_cluster.url) as ledger:
        ledger.mailboxes.add(["a"])
        hung.process.send_signal(signal.SIGSTOP)
        try:
            assert eventually(lambda: members(ledger)) == {"a"}
        finally:
            hung.process.send_signal(signal.SIGCONT)


def test_cluster_without_the_slot_is_reported(tmp_path: Path) -> None:
    with lone_node(tmp_path) as server:
        raises = pytest.raises(LedgerUnavailableError, match="no node of the cluster serves the ledger's slot")
        with ledger_at(f"redis+cluster://127.0.0.1:{server.port}") as ledger, raises:
            ledger.ping()


def test_cluster_none_of_whose_nodes_answers_is_reported() -> None:
    raises = pytest.raises(LedgerUnavailableError, match="cannot be reached")
    with ledger_at(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}") as ledger, raises:
        ledger.ping()


def test_server_without_cluster_mode_is_reported(valkey: Valkey) -> None:
    raises = pytest.raises(LedgerUnavailableError, match=r"not a Redis Cluster; write redis://")
    with ledger_at(valkey.url.removesuffix("/0").replace("redis://", "redis+cluster://")) as ledger, raises:
        ledger.ping()


def test_node_with_the_address_of_a_single_server_is_rejected_with_the_right_form(cluster: Cluster) -> None:
    for node in cluster.nodes:
        with ledger_at(node.url) as ledger:
            fatal = [problem for problem in ledger.problems() if problem.severity is Severity.FATAL]
            assert fatal == [preconditions.CLUSTER]
            if node is not cluster.owner:
                with pytest.raises(LedgerUnavailableError, match=r"write its address as redis\+cluster://"):
                    ledger.mailboxes.members()


def test_user_who_may_not_look_is_reported_as_on_a_single_server(cluster: Cluster) -> None:
    with closing(cluster.client()) as client:
        rules = ("on", ">secret", "~*", "&*", "+@all", "-info")
        client.execute_command("ACL", "SETUSER", "one", *rules)  # type: ignore[no-untyped-call] # redis-py has no types here
        try:
            with ledger_at(f"redis+cluster://one:secret@127.0.0.1:{cluster.owner.port}") as ledger:
                assert ledger.problems() == [preconditions.UNKNOWN]
                assert ledger.memory() is None
                assert ledger.incarnation()
        finally:
            client.acl_deluser("one")


def test_user_who_may_not_ask_for_slots_learns_what_to_allow(cluster: Cluster) -> None:
    with closing(cluster.client()) as client:
        rules = ("on", ">secret", "~*", "&*", "+@all", "-cluster")
        client.execute_command("ACL", "SETUSER", "one", *rules)  # type: ignore[no-untyped-call] # redis-py has no types here
        try:
            raises = pytest.raises(LedgerUnavailableError, match=r"too few permissions; .* CLUSTER SLOTS")
            with ledger_at(f"redis+cluster://one:secret@127.0.0.1:{cluster.owner.port}") as ledger, raises:
                ledger.ping()
        finally:
            client.acl_deluser("one")


def test_wrong_password_is_reported(cluster: Cluster) -> None:
    raises = pytest.raises(LedgerUnavailableError, match="rejects the user or the password")
    with ledger_at(f"redis+cluster://one:wrong-secret@127.0.0.1:{cluster.owner.port}") as ledger, raises as caught:
        ledger.ping()
    assert "wrong-secret" not in str(caught.value)


def test_retrying_events_are_claimed_in_a_cluster(cluster: Cluster) -> None:
    cluster.flush()
    ledger, events = connect(cluster.url)
    with closing(ledger):
        assert isinstance(events.retrying("main"), RedisWorkSet)
        assert events.retrying("main").claim(1, 60) == []


# --- as a broker -------------------------------------------------------------------------------------------------


def test_broker_in_cluster_mode_is_rejected_by_name(cluster: Cluster) -> None:
    for node in cluster.nodes:
        with pytest.raises(StartError, match="the broker is a node of a Redis Cluster, which Celery cannot use"):
            check_broker(node.url)


def test_ledger_in_a_cluster_needs_a_broker_of_its_own(cluster: Cluster, valkey: Valkey) -> None:
    check = broker_check(None, cluster.url)
    assert check is not None
    with pytest.raises(StartError, match=r"the ledger is a Redis Cluster, .* set `broker`"):
        check()
    check = broker_check(valkey.url, cluster.url)
    assert check is not None
    assert check() == "answers"


def test_broker_that_is_the_ledger_or_no_redis_is_not_asked() -> None:
    assert broker_check(None, "redis://h") is None
    assert broker_check("amqps://h//", "redis+cluster://h") is None


def test_broker_that_does_not_answer_is_reported() -> None:
    with pytest.raises(LedgerUnavailableError, match="the broker does not answer"):
        check_broker(f"redis://127.0.0.1:{free_port()}/0")


def test_broker_whose_user_may_not_send_info_is_accepted(valkey: Valkey) -> None:
    with closing(valkey.client()) as client:
        rules = ("on", ">secret", "~*", "&*", "+@all", "-info")
        client.execute_command("ACL", "SETUSER", "one", *rules)  # type: ignore[no-untyped-call] # redis-py has no types here
        try:
            assert check_broker(valkey.url.replace("://", "://one:secret@")) == "answers"
        finally:
            client.acl_deluser("one")
