"""The image, built for real, and containers of it: without an engine, so that any Debian with root will do.

buildah builds it from a base that debootstrap makes. A container is a process in namespaces of its own, of an
ordinary user without capabilities, with the image's files as read-only root. Its network is this machine's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.support.rules import ROOT
from tests.support.servers import find_program, missing
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BASE = "localhost/base"
NAME = "localhost/mailhaul"
VERSION = "1.2.3-test"
_BASE_FILES = ROOT / ".tools" / "image-base.tar"
_SUITE = "bookworm"  # the oldest Debian whose Python is recent enough
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_BUILD_SECONDS = 900  # with a C compiler to install, on a busy machine

# Runs as root in namespaces of its own, and ends as the process it starts. What an engine mounts is mounted: /proc, a
# small /dev with its /dev/shm, /tmp, and the volumes; everything else is read-only.
_CONTAIN = r"""
root=$1 user=$2 volumes=$3
shift 3
mount --bind "$root" "$root"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
for device in null zero random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
for volume in $volumes; do
    mkdir -p "$root${volume#*:}"
    mount --bind "${volume%%:*}" "$root${volume#*:}"
done
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups="${user#*:}" "$root" "$@"
"""


def need_tools() -> None:
    """Skip the test with the reason if images cannot be built."""
    if (
        os.geteuid() != 0
        or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("the image is built and run by root, who may make namespaces")
    for program in ("buildah", "debootstrap"):
        if find_program(program) is None:
            missing(program, program)
    if not _KEYS.is_file():
        pytest.skip("the keys that Debian's packages are signed with are not here (debian-archive-keyring)")


class Container(subprocess.Popen[bytes]):
    """A process in its container. Signals go to the container's first process, as an engine sends them."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, if the container still runs."""
        if self.poll() is None:
            os.kill(self.first(), sig)

    def kill(self) -> None:
        """Kill it with all its processes: those of a namespace end with the first one.

        Killing `unshare` is not enough: the kernel resets its child's parent-death signal when that changes user.
        """
        if self.poll() is None:
            for child in self._children():
                os.kill(child, signal.SIGKILL)
            super().send_signal(signal.SIGKILL)

    def first(self) -> int:
        """The process id of its first process on this machine."""
        children = self._children()
        assert children, "the container has no process yet, or none any more"
        return children[0]

    def _children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: its configuration as engines read it, and its files, as root of containers."""

    config: dict[str, Any]
    root: Path

    def start(
        self,
        words: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        volumes: Mapping[Path, str] | None = None,
        output: IO[bytes] | int = subprocess.PIPE,
    ) -> Container:
        """Start a process in a container of its own.

        Args:
            words: program and arguments; the image's entry point is not put before them.
            user: `uid:gid`; without, the image's.
            env: over the image's.
            volumes: folders of this machine, and where the container sees them.
            output: for both of its streams.
        """
        listed = " ".join(f"{folder}:{place}" for folder, place in (volumes or {}).items())
        inside = dict(variable.split("=", 1) for variable in self.config["Env"])
        return Container(
            [
                *("/usr/bin/unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"),
                *("/bin/sh", "-euc", _CONTAIN, "contain", str(self.root), user or self.config["User"], listed),
                *words,
            ],
            # Its PATH finds the shell's programs too: the base's folders are those of any Debian.
            env={**inside, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def run(self, words: Sequence[str], **options: Any) -> tuple[int, str]:
        """Run a container to its end; return its exit code and output."""
        with self.start(words, **options) as process:
            try:
                output, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, output.decode()


@contextmanager
def built_image() -> Iterator[Image]:
    """Build the image from this tree, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="mailhaul-image-"))
    try:
        build(folder)
        buildah(folder, "from", "--name", "run", NAME)
        root = Path(buildah(folder, "mount", "run").strip())
        config = json.loads(buildah(folder, "inspect", "--type", "image", NAME))["Docker"]["config"]
        yield Image(config, root)
    finally:
        shutil.rmtree(folder)


def build(folder: Path) -> None:
    """Build the image `NAME` from this tree, with all that buildah keeps below an empty folder."""
    _make_base_files()
    buildah(folder, "from", "--name", "base", "scratch")
    buildah(folder, "add", "base", str(_BASE_FILES), "/")
    buildah(folder, "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "base")
    buildah(folder, "commit", "--rm", "base", BASE)
    _build(folder)


def _build(folder: Path) -> None:
    """As docs/containers.md says; from this machine's package index, and with the authorities that it trusts."""
    settings = [f"cert = {_CERTIFICATES}"]
    if "PIP_INDEX_URL" in os.environ:
        settings.append(f"index-url = {os.environ['PIP_INDEX_URL']}")
    secret = folder / "pip.conf"
    secret.write_text("\n".join(["[global]", *settings, ""]))
    arguments = {"BASE": BASE, "VERSION": VERSION}
    given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    given += ["--secret", f"id=pip.conf,src={secret}", "--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"]
    where = ["--file", str(ROOT / "deploy" / "Dockerfile"), "--tag", NAME, str(ROOT)]
    buildah(folder, "build", "--format", "docker", "--isolation", "chroot", *given, *where)


def _make_base_files() -> None:
    """A Debian with Python and nothing else; made once, for it takes longer than the image itself."""
    if _BASE_FILES.is_file():
        return
    _BASE_FILES.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mailhaul-base-") as folder:
        tree, archive = f"{folder}/tree", f"{folder}/base.tar"
        packages = "python3-minimal,python3-venv,ca-certificates"
        _run(["debootstrap", "--variant=minbase", f"--include={packages}", _SUITE, tree])
        _run(
            ["tar", "-C", tree, "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "-cf", archive, "."]
        )
        shutil.move(archive, _BASE_FILES)


def buildah(folder: Path, *words: str) -> str:
    """Run buildah, with all it keeps below a folder; return its standard output."""
    storage = ["--root", str(folder / "root"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]
    return _run(["buildah", *storage, *words])


def _run(words: Sequence[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    assert done.returncode == 0, f"{words[0]} failed: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout
