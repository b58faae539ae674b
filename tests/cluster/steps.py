"""What happens to the release while mail arrives.

Each step does one thing, waits until all mail has arrived and all pods are ready, and returns what it saw. It raises
`AssertionError` or `RuntimeError` if the release does not do what it must.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster.images import TAGS
from tests.cluster.mail import PASSWORD, Post, arrived
from tests.cluster.metrics import API, REGISTRATION, SERVICE, Metrics
from tests.cluster.node import SOCKET
from tests.cluster.processes import run
from tests.cluster.release import NAMESPACE
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

    from tests.cluster.peers import Peers
    from tests.cluster.release import Release
    from tests.support.proxy import DelayProxy
    from tests.support.s3 import Account
    from tests.support.valkey import Valkey

FIRST_USERS = [f"box-{number}" for number in range(4)]
MORE_USERS = [f"box-{number}" for number in range(4, 6)]
# Seconds: the longest between two kills, and how long a server is unavailable.
_KILL_WITHIN = 10.0
_OUTAGE = 45.0
_DEAD_STORE = {"config": {"store": {"endpoint": "http://store.peers:81"}}}


@dataclass
class World:
    """What the steps act on.

    Attributes:
        release: the release.
        peers: what it talks to.
        post: brings mail.
        key: the store's, which the release uses now.
        dice: choose what is killed.
        kill_seconds: for how long.
    """

    release: Release
    peers: Peers
    post: Post
    key: Account
    dice: random.Random
    kill_seconds: float

    def catch_up(self) -> None:
        """Wait until all mail of this moment has arrived as events, and all pods are ready."""
        total = self.post.total()
        eventually(
            lambda: arrived(self.peers, self.post) >= total,
            lambda: f"{arrived(self.peers, self.post)} of {total} events\n{self.release.state()}",
            timeout=2 * PATIENCE,
        )
        eventually(self.release.is_settled, self.release.state, timeout=2 * PATIENCE)

    def restarts(self) -> Counter[str]:
        """How often the container of each pod was started again, by the pod's name."""
        return Counter(
            {
                pod["metadata"]["name"]: sum(
                    one["restartCount"] for one in pod["status"].get("containerStatuses", [])
                )
                for pod in self.release.pods()
            }
        )

    @contextmanager
    def same_pods(self) -> Iterator[None]:
        """No pod is replaced or restarted in this block."""
        before = self.restarts()
        yield
        assert self.restarts() == before, f"pods changed from {before} to {self.restarts()}"


def install(world: World) -> str:
    """Install the chart; the first mail arrives."""
    world.release.install()
    world.post.start()
    eventually(lambda: arrived(world.peers, world.post), world.release.state)
    world.catch_up()
    return f"{len(world.release.pods())} pods"


def helm_test(world: World) -> str:
    """Run the chart's own test."""
    world.release.helm("test", "mailhaul", "--timeout=10m")
    return "passed"


def add_mailboxes(world: World) -> str:
    """Add mailboxes; pods go on with what they do."""
    for user in MORE_USERS:
        world.post.add(user)
    users = [*FIRST_USERS, *MORE_USERS]
    with world.same_pods():
        world.release.set_passwords(dict.fromkeys(users, PASSWORD))
        world.release.upgrade({"config": {"mailboxes": [world.release.mailbox(user) for user in users]}})
        world.catch_up()
    return f"{len(MORE_USERS)} more, no pod replaced"


def rotate_passwords(world: World) -> str:
    """Change all passwords at the mail server, then in the Secret."""
    passwords = {user: f"new-{user}" for user in (*FIRST_USERS, *MORE_USERS)}
    with world.same_pods():
        for user, password in passwords.items():
            world.peers.dovecot.set_password(user, password)
        world.release.set_passwords(passwords)
        world.catch_up()
    return "no pod replaced"


def rotate_store_key(world: World) -> str:
    """Give the release another key of the store, roll it out, and delete the one before."""
    old, world.key = world.key, world.peers.make_key("mailhaul-two")
    world.release.set_store_key(world.key)
    world.release.kubectl("rollout", "restart", "deployment")
    eventually(world.release.is_settled, world.release.state)
    world.peers.drop_key(old)
    world.catch_up()
    return "the old key deleted"


def upgrade_to_dead_store(world: World) -> str:
    """Upgrade to a store that does not answer: this must fail, and disturb nobody."""
    ready = {process: world.release.replicas(process) for process in ("poller", "processor", "relay")}
    try:
        world.release.upgrade(_DEAD_STORE, timeout="45s")
    except RuntimeError:
        pass
    else:
        raise AssertionError("helm upgrade --wait was content with a store that does not answer")
    after = {process: world.release.replicas(process) for process in ready}
    assert after == ready, f"pods that were ready: {ready}, and now: {after}"
    total = world.post.total()
    eventually(lambda: arrived(world.peers, world.post) >= total, world.release.state)
    world.release.helm("rollback", "mailhaul", "--wait")
    world.catch_up()
    return "refused; the old pods worked on"


def upgrade_image(world: World) -> str:
    """Upgrade to another image."""
    world.release.upgrade({"image": {"tag": TAGS[1]}})
    assert _tags(world) == {TAGS[1]}
    world.catch_up()
    return f"to {TAGS[1]!r}"


def roll_back(world: World) -> str:
    """Go back to the image before."""
    world.release.helm("rollback", "mailhaul", "--wait", "--timeout=10m")
    world.release.values["image"]["tag"] = TAGS[0]
    eventually(lambda: _tags(world) == {TAGS[0]}, world.release.state)
    world.catch_up()
    return f"to {TAGS[0]!r}"


def scale(world: World) -> str:
    """More pods, and fewer again."""
    workers = ("poller", "processor", "relay")
    for count in (4, 2):
        world.release.upgrade({name: {"replicas": count} for name in workers})
        eventually(world.release.is_settled, world.release.state)
    world.catch_up()
    return "2 to 4 to 2 of each worker"


def autoscale(world: World) -> str:
    """An autoscaler adds a pod when pods are busy, and removes it when they are idle."""
    metrics = Metrics(world.release.node.server)
    scaling = {"type": "hpa", "minReplicas": 2, "maxReplicas": 3, "calmDown": 5}
    with metrics.receiver:
        peer = world.peers.expose(SERVICE, 443, metrics.receiver.port)
        world.release.apply(*peer.objects(), REGISTRATION)
        world.release.upgrade({"processor": {"autoscaling": scaling}})
        counts = []
        for millicores, wanted in ((1, 2), (500, 3), (1, 2)):
            metrics.millicores = millicores
            eventually(
                lambda wanted=wanted: world.release.replicas("processor") == wanted,  # type: ignore[misc]
                lambda: world.release.kubectl("describe", "hpa"),
            )
            counts.append(str(wanted))
        world.release.upgrade({"processor": {"autoscaling": {"type": "none"}}})
        world.release.kubectl("delete", "apiservice", API)
    world.catch_up()
    return f"{' to '.join(counts)} processors"


def drain(world: World) -> str:
    """Evict every pod, as a drain of the node does; budgets keep one of each at work."""
    pods = [pod["metadata"]["name"] for pod in world.release.pods()]
    waited = set()

    def evict(name: str) -> bool:
        status = _evict(world, name)
        if status == 429:
            waited.add(name)
        return status in (201, 404)

    for pod in pods:
        eventually(lambda pod=pod: evict(pod), world.release.state)  # type: ignore[misc]
    world.catch_up()
    return f"{len(pods)} pods evicted, {len(waited)} after their budget allowed it"


def kill(world: World) -> str:
    """Kill pods and processes at random."""
    killed: Counter[str] = Counter()
    end = time.monotonic() + world.kill_seconds
    while time.monotonic() < end:
        time.sleep(world.dice.uniform(0, _KILL_WITHIN))
        running = [pod for pod in world.release.pods() if pod["status"].get("containerStatuses")]
        if running:
            killed[_kill(world, world.dice.choice(running))] += 1
    world.catch_up()
    return ", ".join(f"{count} {what}" for what, count in sorted(killed.items()))


def without_store(world: World) -> str:
    """The store does not answer for a while."""
    with world.same_pods():
        with _stopped(world.peers.store.proxy):
            time.sleep(_OUTAGE)
            assert world.release.is_settled(), world.release.state()
        world.catch_up()
    return f"for {_OUTAGE:.0f} s; no pod restarted"


def without_ledger(world: World) -> str:
    """The ledger is down for a while. A worker whose wake-ups do not resume restarts itself (workers/watchdog.py)."""
    before = world.restarts()
    with _stopped(world.peers.valkey):
        time.sleep(_OUTAGE)
        # Nobody is sent to a console that cannot answer.
        assert world.release.is_settled(without="console"), world.release.state()
    world.catch_up()
    after = world.restarts()
    assert after.keys() == before.keys(), world.release.state()
    return f"for {_OUTAGE:.0f} s; {(after - before).total()} workers restarted themselves"


def lose_ledger(world: World) -> str:
    """The ledger comes back empty."""
    world.peers.valkey.flush()
    world.catch_up()
    return "rebuilt from the store"


def check(world: World) -> str:
    """`mailhaul check` in the pods that see store, mailboxes and sinks."""
    for process in ("poller", "relay"):
        world.release.exec(process, "check")
    return "no failure"


def last_mail(world: World) -> str:
    """No more mail comes; all that came arrives."""
    world.catch_up()
    return "all arrived"


def uninstall(world: World) -> str:
    """Uninstall; no pod is left."""
    world.release.helm("uninstall", "mailhaul", "--wait", "--timeout=10m")
    server = world.release.node.server
    eventually(lambda: not server.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"], world.release.state)
    return "nothing left"


@contextmanager
def _stopped(server: DelayProxy | Valkey) -> Iterator[None]:
    """A server does not run in this block."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def _tags(world: World) -> set[str]:
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in world.release.pods()}


def _evict(world: World, name: str) -> int:
    """Ask for an eviction; return the HTTP status."""
    body: Mapping[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    return world.release.node.server.ask("POST", path, json=body).status_code


def _kill(world: World, pod: dict[str, Any]) -> str:
    """Kill a pod, which is replaced, or only its process, which is started again; return what it was."""
    if world.dice.random() < 0.5:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}"
        world.release.node.server.ask("DELETE", path, json={"gracePeriodSeconds": 0})
        return "pods"
    container = pod["status"]["containerStatuses"][0].get("containerID", "").rpartition("/")[2]
    try:
        run("ctr", "--address", SOCKET, "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", container)
    except RuntimeError:
        return "already dead"
    return "processes"


STEPS = {
    "`helm test`": helm_test,
    "more mailboxes": add_mailboxes,
    "other passwords": rotate_passwords,
    "other key of the store": rotate_store_key,
    "upgrade to a dead store": upgrade_to_dead_store,
    "upgrade to another image": upgrade_image,
    "roll back": roll_back,
    "scale": scale,
    "autoscale": autoscale,
    "drain": drain,
    "kill at random": kill,
    "store unavailable": without_store,
    "ledger unavailable": without_ledger,
    "ledger empty": lose_ledger,
    "`mailhaul check`": check,
}
