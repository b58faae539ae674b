"""The release in the cluster: its values, and what Helm and kubectl do to it."""

from __future__ import annotations

import base64
import hashlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster.images import REPOSITORY, TAGS
from tests.cluster.mail import PASSWORD
from tests.cluster.peers import NAMESPACE as PEERS
from tests.cluster.processes import run
from tests.support.chart import merged
from tests.support.http import SECRET
from tests.support.kubernetes import BUILT
from tests.support.s3 import REGION
from tools.documents.chart_schema import CHART

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.cluster.node import Node
    from tests.cluster.peers import Peers
    from tests.support.s3 import Account

NAME, NAMESPACE = "mailhaul", "mail"
_TOKEN = "a-token-of-the-tests"
Object = dict[str, Any]


@dataclass
class Release:
    """The release, its Secrets and its values.

    Attributes:
        node: where it runs.
        peers: what it talks to.
        folder: for values and a copy of the chart.
        values: what Helm was given last.
    """

    node: Node
    peers: Peers
    folder: Path
    values: Object = field(default_factory=dict)

    @property
    def _chart(self) -> Path:
        return self.folder / "chart"

    def prepare(self, users: Iterable[str], key: Account) -> None:
        """Make the namespaces, in which pods have to be restricted, the peers' Services, and the Secrets."""
        enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforced}},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PEERS}},
        )
        for peer in (self.peers.mail, self.peers.store, self.peers.ledger, self.peers.receiver):
            self.apply(*peer.objects())
        self.set_secret("ledger", url=f"redis://{self.peers.ledger.host}:{self.peers.ledger.port}/0")
        self.set_secret("erp", key=SECRET)
        self.set_store_key(key)
        self.set_passwords(dict.fromkeys(users, PASSWORD))
        self.values = self._first_values(users)
        # A change of the tree while this runs is not part of the run.
        shutil.copytree(CHART, self._chart)

    def set_store_key(self, key: Account) -> None:
        """Write the Secret of the store."""
        self.set_secret("store", access=key.access_key, secret=key.secret_key)

    def set_passwords(self, passwords: Mapping[str, str]) -> None:
        """Write the Secret of all mailboxes."""
        self.set_secret("mailboxes", **passwords)

    def set_secret(self, name: str, **content: str) -> None:
        """Make a Secret, or replace its content."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
        metadata = {"name": name, "namespace": NAMESPACE}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})

    def apply(self, *objects: Object) -> None:
        """`kubectl apply`."""
        command = (str(BUILT / "kubectl"), f"--kubeconfig={self.node.kubeconfig}", "apply", "-f", "-")
        run(*command, stdin=yaml.safe_dump_all(objects))

    def kubectl(self, *words: str) -> str:
        """Run kubectl as an administrator, in the release's namespace; return its output."""
        command = (str(BUILT / "kubectl"), f"--kubeconfig={self.node.kubeconfig}", f"--namespace={NAMESPACE}")
        return run(*command, *words)

    def helm(self, *words: str) -> str:
        """Run Helm likewise; return its output."""
        command = (str(BUILT / "helm"), f"--kubeconfig={self.node.kubeconfig}", f"--namespace={NAMESPACE}")
        return run(*command, *words)

    def install(self) -> None:
        """`helm install --wait`."""
        self.helm("install", NAME, str(self._chart), "--values", self._write_values(), "--wait", "--timeout=10m")

    def upgrade(self, change: Mapping[str, Any] | None = None, *, timeout: str = "10m") -> None:
        """`helm upgrade --wait` with values changed, which stay changed if it succeeds.

        Raises:
            RuntimeError: it failed, or took too long.
        """
        before, self.values = self.values, merged(self.values, change or {})
        try:
            self.helm(
                "upgrade", NAME, str(self._chart), "--values", self._write_values(), "--wait", f"--timeout={timeout}"
            )
        except RuntimeError:
            self.values = before
            raise

    def exec(self, process: str, *words: str) -> str:
        """Run a `mailhaul` command in a pod of a process; return its output."""
        where = ("exec", f"deployment/{NAME}-{process}", "--", "mailhaul")
        return self.kubectl(*where, *words, "--config", "/etc/mailhaul")

    def pods(self) -> list[Object]:
        """The release's pods that are not being removed."""
        found = self.node.server.get(
            f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=f"app.kubernetes.io/instance={NAME}"
        )
        return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]

    def is_settled(self, *, without: str = "") -> bool:
        """Whether all Deployments have the pods that they want, ready and of their newest version.

        Args:
            without: a process that does not matter.
        """
        found = self.node.server.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")["items"]
        name = f"{NAME}-{without}"
        return all(_is_settled(deployment) for deployment in found if deployment["metadata"]["name"] != name)

    def state(self) -> str:
        """A description of pods, for errors."""
        return self.kubectl("get", "pods", "-o", "wide")

    def replicas(self, process: str) -> int:
        """The number of ready pods of a process."""
        found = self.node.server.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}-{process}")
        return int(found["status"].get("readyReplicas", 0))

    def mailbox(self, user: str) -> Object:
        """The configuration of a mailbox."""
        return {
            "id": user,
            "host": self.peers.mail.host,
            "fingerprint": self.peers.fingerprint(),
            # Every other one is emptied.
            "policy": "delete" if int(user.rpartition("-")[2]) % 2 else "keep",
            "auth": {"type": "password", "username": user, "password": f"secret:mailboxes/{user}"},
        }

    def _first_values(self, users: Iterable[str]) -> Object:
        registry, _, repository = REPOSITORY.partition("/")
        store = self.peers.store
        small = {"requests": {"cpu": "20m", "memory": "64Mi"}}
        return {
            "image": {"registry": registry, "repository": repository, "tag": TAGS[0]},
            "config": {
                "store": {
                    "url": "s3://mail",
                    "endpoint": f"http://{store.host}:{store.port}",
                    "region": REGION,
                    "path_style": True,
                    "access_key": "secret:store/access",
                    "secret_key": "secret:store/secret",
                },
                "ledger": "secret:ledger/url",
                "sinks": [
                    {
                        "type": "webhook",
                        "name": "erp",
                        "url": f"http://{self.peers.receiver.host}/hooks/mail",
                        "secret": "secret:erp/key",
                        "allow_private": True,
                    }
                ],
                "defaults": {"interval": "2s"},
                # So few that four pollers have work: the chart rejects more.
                "workers": {"poll_threads": 1},
                "mailboxes": [self.mailbox(user) for user in users],
                "console": {"tokens": [{"name": "tests", "sha256": hashlib.sha256(_TOKEN.encode()).hexdigest()}]},
            },
            "console": {"enabled": True, "resources": small},
            "poller": {"replicas": 2, "resources": small},
            "processor": {"replicas": 2, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}},
            "relay": {"replicas": 2, "resources": small},
            "scheduler": {"resources": small},
            "exporter": {"resources": small},
            "test": {"resources": small},
        }

    def _write_values(self) -> str:
        path = self.folder / "values.yaml"
        path.write_text(yaml.safe_dump(self.values))
        return str(path)


def _is_settled(deployment: Object) -> bool:
    status, wanted = deployment["status"], deployment["spec"]["replicas"]
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and all(
        status.get(count, 0) == wanted for count in ("replicas", "updatedReplicas", "readyReplicas")
    )
