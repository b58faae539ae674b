"""A real RabbitMQ, run from a folder of its own on loopback."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest
import trustme
from kombu import Connection
from kombu.exceptions import OperationalError

from tests.support.servers import find_program, free_port, missing, undone_on_failure
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

# Debian's programs on PATH run as nobody but root or rabbitmq; these are what they call.
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")

_CONFIG = """\
listeners.tcp.default = 127.0.0.1:{port}
listeners.ssl.default = 127.0.0.1:{tls_port}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/server.pem
ssl_options.keyfile = {folder}/server.pem
ssl_options.verify = verify_none
# Bytes; far less than by default, so that a test can go above it.
max_message_size = 200000
num_acceptors.tcp = 2
num_acceptors.ssl = 2
disk_free_limit.absolute = 1MB
log.console = true
log.console.level = warning
log.file = false
"""


class RabbitMq:
    """A broker on ports of 127.0.0.1, which it keeps over restarts, as it keeps durable queues and their messages.

    Clients log in as `guest`, who has all permissions. The certificate is for 127.0.0.1, signed by `authority`.

    Args:
        folder: exists; holds all its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self.authority = trustme.CA()
        self._epmd_port, self._distribution_port = free_port(), free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            str(folder / "server.pem")
        )
        config = _CONFIG.format(folder=folder, port=self.port, tls_port=self.tls_port)
        (folder / "rabbitmq.conf").write_text(config)
        (folder / "enabled_plugins").write_text("[].\n")

    @property
    def url(self) -> str:
        """The URL without TLS."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def tls_url(self) -> str:
        """The URL with TLS."""
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}//"

    @property
    def ca_file(self) -> Path:
        """The CA certificate, as PEM."""
        return self.folder / "ca.pem"

    @property
    def log(self) -> str:
        """The content of its log."""
        return (self.folder / "log").read_text(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        assert self._process is None
        with undone_on_failure(self.kill):
            self._start_port_mapper()
            self._process = self._run(str(_PROGRAMS / "rabbitmq-server"))
            eventually(self._answers, lambda: self.log[-4000:])

    def stop(self) -> None:
        """Stop it gracefully; does nothing if it is not running."""
        if self._process is not None:
            self._process.terminate()
        self._wait()

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
        self._wait()

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl`, which takes a second or two; return its output."""
        command = [str(_PROGRAMS / "rabbitmqctl"), "--quiet", *arguments]
        done = subprocess.run(
            command, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
        return done.stdout

    def connect(self) -> Connection:
        """Return a connection of kombu's; the caller closes it."""
        return Connection(self.url, connect_timeout=5)

    @property
    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "PATH": os.environ.get("PATH", ""),
            "LC_ALL": "C.UTF-8",
            "HOME": folder,  # where Erlang keeps the secret that its nodes share
            "RABBITMQ_NODENAME": f"mailhaul-{self.port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            # Two schedulers, because the machine runs other servers too.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Then the start script replaces itself with the server, so that its process is our child.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=self._environment
            )

    def _start_port_mapper(self) -> None:
        """Erlang's port mapper, which the server would otherwise start and leave behind."""
        program = find_program("epmd")
        assert program is not None
        self._epmd = self._run(str(program))
        eventually(lambda: self._mapper_answers(str(program)), lambda: self.log[-4000:])

    def _mapper_answers(self, program: str) -> bool:
        assert self._epmd is not None
        assert self._epmd.poll() is None, f"epmd ended by itself: {self.log[-4000:]}"
        asked = subprocess.run([program, "-names"], env=self._environment, capture_output=True, check=False)
        return asked.returncode == 0

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"RabbitMQ ended by itself: {self.log[-4000:]}"
        with suppress(OperationalError, ConnectionError), closing(self.connect()) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            return True
        return False

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait(PATIENCE)
            self._process = None
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait(PATIENCE)
            self._epmd = None


class Delivered(NamedTuple):
    """A message as a consumer receives it."""

    body: bytes
    routing_key: str
    properties: dict[str, Any]


class AmqpQueue:
    """A durable queue for one test, and the messages read from it.

    Args:
        server: is running.
        arguments: of the declaration, as `x-max-length`.
    """

    def __init__(self, server: RabbitMq, **arguments: Any) -> None:
        self.name = f"q-{uuid.uuid4().hex}"
        self._server = server
        self._read: list[Delivered] = []
        with self.channel() as channel:
            channel.queue_declare(self.name, durable=True, auto_delete=False, arguments=arguments)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """For bindings and the like."""
        with closing(self._server.connect()) as connection:
            yield connection.channel()

    def messages(self) -> list[Delivered]:
        """All messages that arrived so far."""
        with self.channel() as channel:
            while (found := channel.basic_get(self.name, no_ack=True)) is not None:
                body = found.body if isinstance(found.body, bytes) else found.body.encode()
                properties = {**found.properties, **found.headers}
                properties.pop("application_headers", None)
                self._read.append(Delivered(body, found.delivery_info["routing_key"], properties))
        return self._read

    def delete(self) -> None:
        """Remove it."""
        with self.channel() as channel:
            channel.queue_delete(self.name)


@contextmanager
def running_rabbitmq() -> Iterator[RabbitMq]:
    """Run a broker; skip the test, or fail it in CI, if it is not installed."""
    if not (_PROGRAMS / "rabbitmq-server").is_file():
        missing("rabbitmq", "RabbitMQ")
    with tempfile.TemporaryDirectory(prefix="mailhaul-rabbitmq-") as folder, RabbitMq(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMq]:
    """One running RabbitMQ for all tests; a test that stops it starts it again."""
    with running_rabbitmq() as server:
        yield server
