"""The image, built and run: small, as any user, on a read-only root, and at work."""

from __future__ import annotations

import json
import urllib.request
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from ingest import __version__
from ingest.demo.mails import sample
from ingest.demo.scene import DEMO_MAILBOXES
from tests.support.compose import CONFIG, PROCESSES, Stack
from tests.support.image import VERSION, Container, built_image, need_tools
from tests.support.service import read_events
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.support.image import Image

# One that the image has no name for, as OpenShift gives them; it is in group 0.
RANDOM = "1000730000:0"
_FIRST = 8 * len(DEMO_MAILBOXES)
_PACKAGES = "opt/mailhaul/lib"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    need_tools()
    with built_image() as built:
        yield built


def _files(image: Image) -> list[Path]:
    return [path for path in (image.root / "opt" / "mailhaul").rglob("*") if path.is_file() and not path.is_symlink()]


def test_engines_read_how_it_is_to_be_run(image: Image) -> None:
    config = image.config
    assert config["Entrypoint"] == ["mailhaul"], "no shell between the engine and the process"
    assert config["User"] == "10001:0"
    assert config["Healthcheck"]["Test"] == ["CMD", "mailhaul", "health", "--config", CONFIG]
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert not any(name in variable for variable in config["Env"] for name in ("PIP_", "PASSWORD", "SECRET"))


def test_it_is_small_and_holds_nothing_but_what_runs(image: Image) -> None:
    files = _files(image)
    # Cryptography, CEL, librdkafka, libxml2, the libraries of three clouds, and those that the console needs for two
    # databases and HTTP (a quarter), are most of it.
    assert sum(path.stat().st_size for path in files) < 225e6
    packages = {path.name.partition("-")[0] for path in image.root.glob(f"{_PACKAGES}/*/site-packages/*.dist-info")}
    assert {"mailhaul", "cel_expr_python", "cryptography", "pypdf", "opentelemetry_sdk"} <= packages
    assert not {"pip", "hatchling", "pytest", "moto", "ruff"} & packages
    assert not [path for path in files if path.stat().st_mode & 0o6022], "nobody may change what runs"
    for left in ("src", "tools", "wheels", "root/.cache", "usr/bin/gcc"):
        assert not (image.root / left).exists()


def test_bytecode_is_there_and_never_compared_with_its_source(image: Image) -> None:
    compiled = [path for path in _files(image) if path.suffix == ".pyc"]
    assert {path.name.partition(".")[0] for path in compiled} >= {"supervisor", "lifecycle", "app", "client"}
    # PEP 552: 1 is a hash that is not looked at.
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\1\0\0\0"}


@pytest.mark.parametrize("user", ["10001:0", RANDOM, "54321:54321"])
def test_it_runs_as_anybody(image: Image, user: str) -> None:
    assert image.run(["mailhaul", "version"], user=user) == (0, f"{__version__}\n")


def test_parser_is_compiled(image: Image) -> None:
    code, output = image.run(["mailhaul", "version", "--json"])
    assert (code, json.loads(output)["parser"]) == (0, "compiled")


def test_names_are_decoded_by_the_python_of_the_base(image: Image, tmp_path: Path) -> None:
    """Regular expressions of Debian 12's Python differ from those of later ones."""
    tmp_path.chmod(0o755)
    mail = next(mail for mail in map(partial(sample, mailbox="a"), range(20)) if b'filename="=?' in mail.raw)
    (tmp_path / "mail.eml").write_bytes(mail.raw)
    code, output = image.run(["mailhaul", "parse", "/tmp/mail/mail.eml"], volumes={tmp_path: "/tmp/mail"})  # noqa: S108
    assert code == 0, output
    assert all(attachment.filename in output for attachment in mail.attachments), output


def test_nothing_but_scratch_can_be_written(image: Image) -> None:
    program = (
        "import errno, pathlib\n"
        "for place in ('/', '/etc', '/opt/mailhaul', '/var/lib/mailhaul'):\n"
        "    try:\n"
        "        pathlib.Path(place, 'new').touch()\n"
        "    except OSError as error:\n"
        "        print(place, errno.errorcode[error.errno])\n"
        "pathlib.Path('/tmp/new').touch()\n"
    )
    code, output = image.run(["python", "-c", program])
    assert code == 0, output
    assert output.splitlines() == [f"{place} EROFS" for place in ("/", "/etc", "/opt/mailhaul", "/var/lib/mailhaul")]


@pytest.mark.e2e
def test_image_ingests_mail_and_stops_on_sigterm(image: Image, tmp_path: Path) -> None:
    """The compose file's services, each in a container: mail arrives, each is healthy, counts, and drains."""

    def launch(command: Sequence[str], env: Mapping[str, str], log: IO[bytes]) -> Container:
        for folder in (tmp_path, *tmp_path.glob("volumes/*")):
            folder.chmod(0o777)
        for path in (tmp_path / "config", *(tmp_path / "config").iterdir()):
            path.chmod(0o755)  # whatever the umask of whoever runs the tests
        user = RANDOM if "poll" in command or "process" in command else None
        return image.start(command, user=user, env=env, volumes={tmp_path: str(tmp_path)}, output=log)

    with Stack(tmp_path, launch) as stack:
        eventually(
            lambda: len(read_events(stack.events)) >= _FIRST,
            lambda: f"{len(read_events(stack.events))} of {_FIRST} events",
        )
        for name in PROCESSES:
            _check_confinement(stack, name)
            with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports[name]}/metrics", timeout=PATIENCE) as page:
                assert b"mailhaul_" in page.read()
            _, *health = image.config["Healthcheck"]["Test"]
            config = {tmp_path / "config": CONFIG}
            assert image.run(health, env=stack.environment(name), volumes=config) == (0, "")
        for name in PROCESSES:
            assert stack.stop(name) == 0, f"{name} does not end as it was asked to"


@pytest.mark.e2e
def test_one_container_is_enough_for_the_demonstration(image: Image, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    with (tmp_path / "log").open("wb") as log:
        container = image.start(
            ["mailhaul", "up", "--folder", "/var/lib/mailhaul/demo"],
            user=RANDOM,
            volumes={state: "/var/lib/mailhaul"},
            output=log,
        )
    events = state / "demo" / "events.jsonl"
    with container:
        try:
            eventually(lambda: len(read_events(events)) >= _FIRST, (tmp_path / "log").read_text)
            container.terminate()
            assert container.wait(PATIENCE) == 0
        finally:
            container.kill()


def _check_confinement(stack: Stack, name: str) -> None:
    process = stack.processes[name]
    assert isinstance(process, Container)
    rows = (line.split(":", 1) for line in Path(f"/proc/{process.first()}/status").read_text().splitlines())
    status = {key: value.split() for key, value in rows}
    assert status["NSpid"][-1] == "1", "signals would reach somebody else"
    assert "0" not in status["Uid"]
    assert int(status["CapEff"][0], 16) == 0
    assert status["NoNewPrivs"] == ["1"]
