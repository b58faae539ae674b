"""The compose file as compose reads it, and its services as processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import IO, TYPE_CHECKING, Any, Self

import yaml

from ingest.adapters.ledger.embedded import find_server
from ingest.adapters.stores.s3 import S3Store
from tests.support.rules import ROOT
from tests.support.s3 import REGION, Account, S3Server, chosen
from tests.support.servers import free_port
from tests.support.service import mailhaul

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    # Command, variables, and the file for both output streams.
    Launch = Callable[[Sequence[str], Mapping[str, str], IO[bytes]], subprocess.Popen[bytes]]

FILE = ROOT / "deploy" / "compose.yaml"
# The path at which our services find their configuration.
CONFIG = "/etc/mailhaul"
PROCESSES = ("scheduler", "poller", "processor", "relay", "exporter")
# All that run `mailhaul`.
OURS = (*PROCESSES, "console")

Service = dict[str, Any]


@cache
def load() -> dict[str, Any]:
    """The whole file."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


def services() -> dict[str, Service]:
    """Every service by its name."""
    found: dict[str, Service] = load()["services"]
    return found


def mounted(service: Service, target: str) -> Path:
    """The file or folder of this tree that a container sees at a path."""
    (source,) = [
        volume["source"] for volume in service["volumes"] if volume["type"] == "bind" and volume["target"] == target
    ]
    return FILE.parent.joinpath(source).resolve()


def grace(service: Service) -> int:
    """Seconds that compose gives a container to stop: `stop_grace_period`, or ten."""
    return int(service.get("stop_grace_period", "10s").removesuffix("s"))


@dataclass
class Stack:
    """Mailhaul's services, its ledger, store and mailboxes, with commands and configuration of the compose file.

    Containers find each other by name at fixed ports, and have paths of their own. Here names become 127.0.0.1, ports
    those that are free, paths folders below `folder`; nothing else differs.

    Args:
        folder: for everything.
        launch: starts our processes, if not from this tree.
    """

    folder: Path
    launch: Launch | None = None
    ports: dict[str, int] = field(init=False)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.ports = {name: free_port() for name in (*OURS, "valkey", "s3", "mail")}
        self.account = Account(*(self._variable("s3", name) for name in ("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY")))

    @property
    def events(self) -> Path:
        """The file that the sink writes."""
        return self._volume("relay") / "events.jsonl"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._stack = stack
            self._write_config()
            self._start_stores()
            self._start("mail", services()["mail"]["entrypoint"])
            for name in OURS:
                self._start(name, ["mailhaul"])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if error is not None:
            for name in self.processes:
                error.add_note(f"{name}: {self.log(name)}")

    def run(self, *arguments: str, beside: str = "relay") -> subprocess.CompletedProcess[str]:
        """Run a `mailhaul` command as `docker compose exec` does in a service."""
        return mailhaul(*arguments, "--config", str(self.folder / "config"), env=self.environment(beside))

    def log(self, name: str) -> str:
        """The end of what a service has printed."""
        return (self.folder / f"{name}.log").read_text()[-2000:]

    def store(self) -> S3Store:
        """The store of the service."""
        return S3Store(
            "mail",
            endpoint=f"http://127.0.0.1:{self.ports['s3']}",
            region=REGION,
            path_style=True,
            keys=lambda: (self.account.access_key, self.account.secret_key),
        )

    def stop(self, name: str) -> int:
        """Stop a service with SIGTERM within the time that compose gives it; return its exit code."""
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        return process.wait(min(60, grace(services()[name])))

    def _write_config(self) -> None:
        (self.folder / "config").mkdir()
        for source in mounted(services()["poller"], CONFIG).glob("*.yaml"):
            text = source.read_text()
            for there, here in (
                ("http://s3:7070", f"http://127.0.0.1:{self.ports['s3']}"),
                ("redis://valkey:6379/0", f"redis://127.0.0.1:{self.ports['valkey']}/0"),
                ("host: mail,", "host: 127.0.0.1,"),
                ("port: 1110", f"port: {self.ports['mail']}"),
                ("/var/lib/mailhaul", str(self._volume("relay"))),
            ):
                assert there in text, f"{source.name} does not name {there}"
                text = text.replace(there, here)
            (self.folder / "config" / source.name).write_text(text)

    def _start_stores(self) -> None:
        self._start("valkey", [str(find_server())], {"/data": str(self._volume("valkey"))})
        program = chosen()
        if program is None:  # no versitygw here: another server, with the bucket made by hand
            server = self._stack.enter_context(S3Server(self.folder / "s3", self.ports["s3"]))
            self.account = server.owner
            return
        for name in ("buckets/mail", "metadata"):
            (self.folder / "s3" / name).mkdir(parents=True)
        paths = {f"/srv/{name}": str(self.folder / "s3" / name) for name in ("buckets", "metadata")}
        self._start("s3", [str(program)], {":7070": f"127.0.0.1:{self.ports['s3']}", **paths})

    def _start(self, name: str, program: Sequence[str], replaced: Mapping[str, str] | None = None) -> None:
        words = services()[name]["command"]
        if name == "valkey":
            words = [*words[1:], "--bind", "127.0.0.1", "--port", str(self.ports[name])]
        known = {
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - to be replaced, nothing listens there
            "1110": str(self.ports["mail"]),
            "/var/lib/mailhaul": str(self._volume(name)),
            CONFIG: str(self.folder / "config"),
            **(replaced or {}),
        }
        launch = self.launch if self.launch and name in (*OURS, "mail") else _launch
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [*program, *(known.get(word, word) for word in words)]
            self.processes[name] = launch(command, self.environment(name), log)
        self._stack.callback(_end, self.processes[name])

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a service, and those that set the port of its metrics."""
        given = {**services()[name].get("environment", {})}
        if "S3_ACCESS_KEY" in given:
            given.update(S3_ACCESS_KEY=self.account.access_key, S3_SECRET_KEY=self.account.secret_key)
        if "PROMETHEUS_MULTIPROC_DIR" in given:
            given["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder / "metrics")
        if name in PROCESSES:
            given.update(MAILHAUL_METRICS__ADDRESS="127.0.0.1", MAILHAUL_METRICS__PORT=str(self.ports[name]))
        if name == "console":
            given.update(MAILHAUL_CONSOLE__ADDRESS="127.0.0.1", MAILHAUL_CONSOLE__PORT=str(self.ports[name]))
        return given

    def _variable(self, name: str, variable: str) -> str:
        return str(services()[name]["environment"][variable])

    def _volume(self, name: str) -> Path:
        folder = self.folder / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _launch(command: Sequence[str], env: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a process from this tree and its virtual environment."""
    ours = {"mailhaul": [sys.executable, "-m", "ingest.cli"], "python": [sys.executable]}
    return subprocess.Popen(
        [*ours.get(command[0], command[:1]), *command[1:]],
        env={**os.environ, **env},
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
