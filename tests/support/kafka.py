"""A real Kafka, one node of its own with broker and controller in one, run from a folder of its own on loopback."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

import pytest
import trustme
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but in no __all__
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from cryptography.hazmat.primitives import serialization

from tests.support.proxy import DelayProxy
from tests.support.servers import find_program, free_port, undone_on_failure
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES = Path(__file__).resolve().parents[2] / ".tools" / "kafka"
USER, PASSWORD = "hauler", "sesame"
# A user who may describe topics, but not write to them.
READER, READER_PASSWORD = "reader", "open"
_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"

# Topics come into being by being asked for, unless the client forbids it; so a test can see that ours does. A
# broker that was killed may come back only when its session has ended.
_CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{quorum_port}
controller.listener.names=QUORUM
inter.broker.listener.name=DIRECT
listeners=QUORUM://127.0.0.1:{quorum_port},DIRECT://127.0.0.1:{port},\
PROXIED://127.0.0.1:{proxied_port},TLS://127.0.0.1:{tls_port}
advertised.listeners=DIRECT://127.0.0.1:{port},\
PROXIED://127.0.0.1:{proxy.port},TLS://127.0.0.1:{tls_proxy.port}
listener.security.protocol.map=QUORUM:PLAINTEXT,DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,TLS:SASL_SSL
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={folder}/server.pem
listener.name.tls.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.tls.plain.sasl.jaas.config={login} required user_{user}="{password}" user_{reader}="{reader_password}";
listener.name.tls.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user}
log.dirs={folder}/data
auto.create.topics.enable=true
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
num.network.threads=1
num.io.threads=2
log.cleaner.enable=false
"""


class Kafka:
    """A broker on ports of 127.0.0.1, which it keeps over restarts, as it keeps topics and their records.

    Without TLS every client has all permissions. With TLS, `USER` (PLAIN or SCRAM-SHA-512) has all permissions, and
    `READER` (PLAIN) has those that a test grants. The certificate is for 127.0.0.1 and by `authority`.

    Args:
        folder: exists; holds all its files.

    Attributes:
        port: direct access, for the tests.
        proxy: access without TLS.
        tls_proxy: access with TLS.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._quorum_port, proxied_port, tls_port = (free_port() for _ in range(4))
        self.proxy, self.tls_proxy = DelayProxy(proxied_port, 0), DelayProxy(tls_port, 0)
        # They run before the broker does, which has to name their ports to clients.
        self.proxy.start()
        self.tls_proxy.start()
        self.authority = trustme.CA()
        self._process: subprocess.Popen[bytes] | None = None
        self._certify()
        (folder / "server.properties").write_text(
            _CONFIG.format(
                folder=folder,
                port=self.port,
                quorum_port=self._quorum_port,
                proxied_port=proxied_port,
                tls_port=tls_port,
                proxy=self.proxy,
                tls_proxy=self.tls_proxy,
                login=_LOGIN,
                user=USER,
                password=PASSWORD,
                reader=READER,
                reader_password=READER_PASSWORD,
            )
        )

    @property
    def ca_file(self) -> Path:
        """The CA certificate, as PEM."""
        return self.folder / "ca.pem"

    @property
    def log(self) -> str:
        """The content of its log."""
        return (self.folder / "log").read_text(errors="replace")

    def __enter__(self) -> Self:
        secret = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        number = "bWFpbGhhdWx0ZXN0Y2x1cw"
        config = str(self.folder / "server.properties")
        done = self._run("kafka.tools.StorageTool", "format", "-t", number, "-S", secret, "-c", config)
        assert done.wait(PATIENCE) == 0, self.log[-4000:]
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.proxy.stop()
        self.tls_proxy.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert self._process is None
        self._process = self._run("kafka.Kafka", str(self.folder / "server.properties"))
        with undone_on_failure(self.kill):
            eventually(self._answers, lambda: self.log[-4000:])

    def kill(self) -> None:
        """`kill -9`; no harm when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def admin(self) -> AdminClient:
        """An admin client."""
        return AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0})

    def topics(self) -> set[str]:
        """The names of all topics."""
        return set(self.admin().list_topics(timeout=PATIENCE).topics)

    def let_describe(self, user: str, topic: str) -> None:
        """Allow a user to describe a topic; takes effect after a moment."""
        granted = AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation.DESCRIBE,
            AclPermissionType.ALLOW,
        )
        admin = self.admin()
        admin.create_acls([granted])[granted].result(PATIENCE)

    def _certify(self) -> None:
        """Java reads keys in PKCS 8 only."""
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        issued = self.authority.issue_cert("127.0.0.1")
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain = b"".join(certificate.bytes() for certificate in issued.cert_chain_pems)
        (self.folder / "server.pem").write_bytes(pem + chain)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        java = find_program("java")
        assert java is not None
        # Compiled quickly rather than well: it lives for a minute.
        options = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{_LIBRARIES}/*")
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                (java, *options, program, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Kafka ended by itself: {self.log[-4000:]}"
        with suppress(KafkaException):
            return bool(self.admin().list_topics(timeout=1).brokers)
        return False


class Record(NamedTuple):
    """A record as a consumer gets it."""

    key: bytes
    value: bytes
    headers: dict[str, bytes]
    partition: int


class KafkaTopic:
    """A topic for one test.

    Args:
        server: is running.
        partitions: their number.
        config: of the topic, as `max.message.bytes`.
    """

    def __init__(self, server: Kafka, partitions: int = 3, **config: str) -> None:
        self.name = f"t-{uuid.uuid4().hex}"
        self._server, self._partitions = server, partitions
        self._config = {name.replace("_", "."): value for name, value in config.items()}
        self.create()

    def create(self) -> None:
        """Make it, and wait until its partitions can be read, which is after Kafka has confirmed it."""
        wanted = NewTopic(self.name, self._partitions, 1, config=self._config)
        admin = self._server.admin()  # what it was asked for ends with it
        admin.create_topics([wanted])[self.name].result(PATIENCE)
        eventually(self._is_led)

    def delete(self) -> None:
        """Remove it, and wait until the broker has removed it."""
        admin = self._server.admin()
        admin.delete_topics([self.name])[self.name].result(PATIENCE)
        eventually(lambda: self.name not in self._server.topics())

    def records(self) -> list[Record]:
        """All records, partition by partition, in order."""
        with closing(self._consumer()) as consumer:
            count = sum(_count(consumer, place) for place in self._places)
            consumer.assign(self._places)
            found: list[Record] = []
            while len(found) < count:
                (message,) = consumer.consume(1, timeout=PATIENCE)
                found.append(_record(message))
        return sorted(found, key=lambda record: record.partition)

    @property
    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self.name, number, OFFSET_BEGINNING) for number in range(self._partitions)]

    def _consumer(self) -> Consumer:
        settings: dict[str, Any] = {
            "bootstrap.servers": f"127.0.0.1:{self._server.port}",
            "group.id": "looks",
            "enable.auto.commit": False,
            "log_level": 0,
        }
        return Consumer(settings)

    def _is_led(self) -> bool:
        with suppress(KafkaException), closing(self._consumer()) as consumer:
            return all(_count(consumer, place) == 0 for place in self._places)
        return False


def _count(consumer: Consumer, place: TopicPartition) -> int:
    ends: Any = consumer.get_watermark_offsets(place, timeout=PATIENCE)
    return int(ends[1] - ends[0])


def _record(message: Any) -> Record:
    assert message.error() is None, message.error()
    return Record(message.key(), message.value(), dict(message.headers()), message.partition())


def _missing() -> NoReturn:
    text = "Kafka or Java are not there; `tests/install-kafka` fetches Kafka, with Java 17 and Maven"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


@contextmanager
def running_kafka() -> Iterator[Kafka]:
    """Run a broker; skip the test, or fail it in CI, if it is not installed."""
    if not _LIBRARIES.is_dir() or find_program("java") is None:
        _missing()
    with tempfile.TemporaryDirectory(prefix="mailhaul-kafka-") as folder, Kafka(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """One running Kafka for all tests; a test that stops it starts it again."""
    with running_kafka() as server:
        yield server
