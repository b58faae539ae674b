"""What a release talks to, beside the cluster: mail server, object store, ledger, and the receiver of its events.

They listen on loopback, where pods do not reach them. A proxy on the node's address leads to each, and a Service to
the proxy, so that names and addresses of Services are translated as in any cluster.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.cluster.machine import NODE
from tests.support.dovecot import running_dovecot
from tests.support.http import Answer, Receiver
from tests.support.proxy import DelayProxy
from tests.support.s3 import Account, S3Server, chosen
from tests.support.valkey import PERSISTENT, Valkey

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dovecot import Dovecot
    from tests.support.http import Request

NAMESPACE = "peers"
Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A Service in the cluster whose endpoint is a proxy."""

    name: str
    port: int
    proxy: DelayProxy

    @property
    def host(self) -> str:
        """Its name for pods in any namespace."""
        return f"{self.name}.{NAMESPACE}"

    def objects(self) -> list[Object]:
        """The Service, and where it leads to."""
        service = {"ports": [{"name": "it", "port": self.port, "protocol": "TCP", "targetPort": self.proxy.port}]}
        endpoints = {
            "addressType": "IPv4",
            "endpoints": [{"addresses": [NODE], "conditions": {"ready": True}}],
            "ports": [{"name": "it", "port": self.proxy.port, "protocol": "TCP"}],
        }
        names = {"name": self.name, "namespace": NAMESPACE}
        labels = {"kubernetes.io/service-name": self.name}
        return [
            {"apiVersion": "v1", "kind": "Service", "metadata": names, "spec": service},
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**names, "labels": labels},
                **endpoints,
            },
        ]


class Peers:
    """All of them; they run in a `with` block.

    Args:
        folder: exists; for what they keep.

    Attributes:
        mail, store, ledger, receiver: the Services.
        dovecot, s3, valkey, webhooks: the servers behind them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        (folder / "valkey").mkdir(parents=True)
        self.valkey = Valkey(folder / "valkey", PERSISTENT)
        self.s3 = S3Server(folder / "s3")
        self.webhooks = Receiver()
        self.webhooks.answer = self._receive
        self.dovecot: Dovecot
        self._events: dict[str, Object] = {}
        self._deliveries: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with self._stack:
            for server in (self.valkey, self.s3, self.webhooks):
                self._stack.enter_context(server)
            self.dovecot = self._stack.enter_context(running_dovecot())
            self.mail = self.expose("mail", 995, self.dovecot.pop3s_port)
            self.store = self.expose("store", 80, self.s3.port)
            self.ledger = self.expose("ledger", 6379, self.valkey.port)
            self.receiver = self.expose("erp", 80, self.webhooks.port)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def expose(self, name: str, port: int, target: int) -> Peer:
        """Make a port of loopback a Service of the cluster, once its `objects` are applied."""
        return Peer(name, port, self._stack.enter_context(DelayProxy(target, 0, host=NODE)))

    def fingerprint(self) -> str:
        """The SHA-256 of the mail server's certificate, by which mailboxes know it."""
        pem = (self.dovecot.folder / "server.pem").read_text()
        first = pem[: pem.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----\n")]
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()

    def make_key(self, name: str) -> Account:
        """Make an account that may use the store."""
        account = Account(name, f"{name}-secret-of-the-tests")
        self._administer("create-user", "-a", account.access_key, "-s", account.secret_key, "-r", "admin")
        return account

    def drop_key(self, account: Account) -> None:
        """Delete an account: requests that it signs are refused from now on."""
        self._administer("delete-user", "-a", account.access_key)

    def _administer(self, *words: str) -> None:
        program = chosen()
        assert program is not None, "MAILHAUL_TEST_S3=versitygw tests/install-s3"
        owner = self.s3.owner
        login = ["-a", owner.access_key, "-s", owner.secret_key, "-er", self.s3.endpoint]
        subprocess.run([program, "admin", *login, *words], check=True, capture_output=True)

    def _receive(self, request: Request) -> Answer:
        event = json.loads(request.body)
        with self._lock:
            self._deliveries[event["id"]] += 1
            self._events[event["id"]] = event
        return Answer()

    def events(self) -> dict[str, Object]:
        """The events that were delivered, by id."""
        with self._lock:
            return dict(self._events)

    def deliveries(self, name: str) -> int:
        """How often the event with an id was delivered."""
        return self._deliveries[name]

    def repeated(self) -> int:
        """Deliveries of an event after its first, of all events."""
        with self._lock:
            return self._deliveries.total() - len(self._deliveries)

    def stored(self) -> list[str]:
        """Every object in the store."""
        client = self.s3.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="mail")
        found = [item["Key"] for page in pages for item in page.get("Contents", [])]
        client.close()
        return found
