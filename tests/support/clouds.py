"""Emulators of Google Cloud Storage (fake-gcs-server) and Azure Blob Storage (Azurite), as processes on loopback."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pytest

from ingest.adapters.stores.rest.azure import API_VERSION
from ingest.adapters.stores.rest.messages import Reply, Request
from ingest.adapters.stores.rest.opening import open_azure, open_gcs
from tests.support.servers import find_program, free_port, missing, undone_on_failure
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.adapters.stores.rest.store import RestStore

ACCOUNT = "mailhaul"
ACCOUNT_KEY = base64.b64encode(b"the account key of the tests" * 2).decode()
_TOOLS = Path(__file__).resolve().parents[2] / ".tools"


@dataclass
class Emulator:
    """Runs in a `with` block, on a port of 127.0.0.1, and keeps everything in memory.

    Attributes:
        environment: the credentials for `store`.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    environment: ClassVar[dict[str, str]] = {}

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        command, environment = self._command()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **environment}
            )
        with undone_on_failure(self._stop):
            eventually(self._answers, lambda: self._log.read_text()[-2000:])
            self.make_bucket("mail")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def make_bucket(self, name: str, *, versions: bool = False) -> str:
        """Make a bucket, one that keeps versions if wanted; returns its name."""
        raise NotImplementedError

    def open(self, bucket: str = "mail", **options: Any) -> RestStore:
        """A store in one of its buckets."""
        raise NotImplementedError

    def store(self, bucket: str = "mail") -> dict[str, Any]:
        """The `store` section of a configuration; the credentials come from `environment`."""
        raise NotImplementedError

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Reply:
        """Make a request behind the store's back; `_` in the names of headers is `-`."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.open()._http.ask(Request(method, target, fields), body, len(body or b""))
        assert reply.status < 300, reply
        return reply

    def everything(self, bucket: str) -> list[tuple[str, str, bytes]]:
        """Key, version and bytes of all objects of a bucket, earlier versions too."""
        store, found = self.open(bucket), []
        for entry in store._entries("", "versions"):
            request = store._api.get(entry.key)
            version = f"&generation={entry.version}" if "?" in request.target else ""
            reply = store._http.ask(replace(request, target=request.target + version))
            assert reply.status == 200, reply
            found.append((entry.key, entry.version or "", reply.content))
        return found

    def _command(self) -> tuple[Sequence[str | Path], dict[str, str]]:
        raise NotImplementedError

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the emulator ended by itself: {self._log.read_text()[-2000:]}"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def _stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class FakeGcs(Emulator):
    """fake-gcs-server, which asks for no credentials."""

    def make_bucket(self, name: str, *, versions: bool = False) -> str:
        about = {"name": name, "versioning": {"enabled": versions}}
        self.ask("POST", "/storage/v1/b?project=tests", json.dumps(about).encode(), content_type="application/json")
        return name

    def open(self, bucket: str = "mail", **options: Any) -> RestStore:
        return open_gcs(bucket, **{"endpoint": self.endpoint, **options})

    def store(self, bucket: str = "mail") -> dict[str, Any]:
        return {"url": f"gs://{bucket}/haul", "endpoint": self.endpoint}

    def _command(self) -> tuple[Sequence[str | Path], dict[str, str]]:
        found = next(iter(sorted((_TOOLS / "bin").glob("fake-gcs-server-*"))), None) or find_program(
            "fake-gcs-server"
        )
        program = found or missing("", "fake-gcs-server", "MAILHAUL_TEST_GCS=1 tests/install-gcs")
        where = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port)]
        return [program, "-backend", "memory", *where, "-log-level", "error"], {}


class Azurite(Emulator):
    """Azurite, with one account."""

    environment: ClassVar[dict[str, str]] = {"MAILHAUL_TEST_ACCOUNT_KEY": ACCOUNT_KEY}

    @property
    def endpoint(self) -> str:
        """Its URL; an emulator has the account in the path."""
        return f"{super().endpoint}/{ACCOUNT}"

    def make_bucket(self, name: str, *, versions: bool = False) -> str:
        assert not versions, "Azurite has none"
        self.ask("PUT", f"/{name}?restype=container", b"", x_ms_version=API_VERSION)
        return name

    def open(self, bucket: str = "mail", **options: Any) -> RestStore:
        credentials = {} if "sas_token" in options else {"account_key": lambda: ACCOUNT_KEY}
        return open_azure(ACCOUNT, bucket, **{"endpoint": self.endpoint, **credentials, **options})

    def store(self, bucket: str = "mail") -> dict[str, Any]:
        url = f"az://{ACCOUNT}/{bucket}/haul"
        return {"url": url, "endpoint": self.endpoint, "account_key": "env:MAILHAUL_TEST_ACCOUNT_KEY"}

    def _command(self) -> tuple[Sequence[str | Path], dict[str, str]]:
        main = _TOOLS / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        node = find_program("node")
        if node is None or not main.exists():
            missing("", "Azurite", "tests/install-azurite")
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        options = ["--inMemoryPersistence", "--disableTelemetry", "--silent", *where]
        return [node, main, *options], {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGcs]:
    """One emulator for all tests of a session, with the bucket `mail`."""
    with FakeGcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One emulator for all tests of a session, with the container `mail`."""
    with Azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server
