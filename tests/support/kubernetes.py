"""A real Kubernetes API server with its etcd and nothing else: it validates and stores objects, but runs no pod.

The two programs lie in the folder that `KUBEBUILDER_ASSETS` names (`setup-envtest use -p env` fetches them), or where
`tests/install-kubernetes` builds them.
"""

from __future__ import annotations

import base64
import os
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import requests
import trustme
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.rules import ROOT
from tests.support.servers import free_port
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAMS = ("etcd", "kube-apiserver")
BUILT = ROOT / ".tools" / "kubernetes"
TOKEN = "an-administrator"
# No controller makes the service accounts that the server would wait for.
ALONE = ("--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=10.0.0.0/24,fd00:10::/112")


def assets() -> Path:
    """Return the folder of the programs; skip the test if there is none."""
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS") or BUILT)
    if not all((folder / name).exists() for name in PROGRAMS):
        pytest.skip(
            "no Kubernetes API server: run tests/install-kubernetes, or set KUBEBUILDER_ASSETS to a folder with etcd "
            "and kube-apiserver"
        )
    return folder


class Kubernetes:
    """An API server with one administrator.

    Args:
        programs: the folder of etcd and kube-apiserver.
        folder: exists; for data, keys and logs.
        address: of this machine, to listen on.
        options: more of the API server.

    Attributes:
        authority: the certificate of who signed the server's, in PEM.
        account_key: the key that signs tokens of service accounts, in PEM.
    """

    def __init__(
        self, programs: Path, folder: Path, address: str = "127.0.0.1", options: Sequence[str] = ALONE
    ) -> None:
        self._programs, self._folder = programs, folder
        self._address, self._options = address, options
        self._stack = ExitStack()
        self._url = f"https://{address}:{free_port()}"
        self._etcd = f"http://127.0.0.1:{free_port()}"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {TOKEN}"
        self._session.trust_env = False  # neither a proxy nor certificates of the machine's
        self._resources: dict[str, dict[str, dict[str, Any]]] = {}
        self._authority = trustme.CA()
        self.authority, self.account_key = folder / "authority.pem", folder / "service-accounts.pem"
        self._session.verify = str(self.authority)
        self._authority.cert_pem.write_to_path(self._session.verify)

    def __enter__(self) -> Self:
        with self._stack:
            self._stack.enter_context(self._session)
            self._stack.enter_context(self._running("etcd", self._etcd_options()))
            self._stack.enter_context(self._running("kube-apiserver", self._server_options()))
            eventually(self._ready, lambda: (self._folder / "kube-apiserver.log").read_text()[-3000:])
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def kubeconfig(self) -> str:
        """The configuration of an administrator."""
        authority = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        cluster = {"server": self._url, "certificate-authority-data": authority}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "it", "cluster": cluster}],
                "users": [{"name": "me", "user": {"token": TOKEN}}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
                "current-context": "it",
            }
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._url

    def create(self, path: str, body: dict[str, Any], *, dry_run: bool = False) -> requests.Response:
        """POST an object; fields that its kind does not have are errors."""
        params = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return self.ask("POST", path, json=body, params=params)

    def path_of(self, item: dict[str, Any]) -> str:
        """Where objects of this kind and in this namespace are."""
        version = item["apiVersion"]
        if version not in self._resources:
            found = self.get(f"/{'apis' if '/' in version else 'api'}/{version}")["resources"]
            self._resources[version] = {one["kind"]: one for one in found if "/" not in one["name"]}
        resource = self._resources[version][item["kind"]]
        namespace = f"/namespaces/{item['metadata'].get('namespace', 'default')}" if resource["namespaced"] else ""
        return f"/{'apis' if '/' in version else 'api'}/{version}{namespace}/{resource['name']}"

    def find(self, path: str) -> dict[str, Any] | None:
        """An object, or a list of them; None while the server does not know the path."""
        answer = self.ask("GET", path)
        return answer.json() if answer.ok else None

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """An object, or a list of them; takes parameters as `labelSelector`."""
        answer = self.ask("GET", path, params=query)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send any request; takes further arguments of `requests.request`."""
        return self._session.request(method, f"{self._url}{path}", timeout=PATIENCE, **options)

    def _ready(self) -> bool:
        try:
            # Namespaces that everything needs are made a moment after the server answers.
            return self.ask("GET", "/readyz").ok and self.ask("GET", "/api/v1/namespaces/default").ok
        except requests.ConnectionError:
            return False

    @contextmanager
    def _running(self, program: str, options: Sequence[str]) -> Iterator[None]:
        with (self._folder / f"{program}.log").open("wb") as log:
            process = subprocess.Popen([self._programs / program, *options], stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _etcd_options(self) -> list[str]:
        peers = f"http://127.0.0.1:{free_port()}"
        return [
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={self._etcd}",
            f"--advertise-client-urls={self._etcd}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]

    def _server_options(self) -> list[str]:
        key = self.account_key
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        certificate, secret = self._folder / "server.pem", self._folder / "server.key"
        issued = self._authority.issue_cert(self._address)
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(secret))
        tokens = self._folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},me,me,"system:masters"\n')
        return [
            f"--etcd-servers={self._etcd}",
            f"--bind-address={self._address}",
            f"--secure-port={self._url.rpartition(':')[2]}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={secret}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://localhost",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            *self._options,
        ]
