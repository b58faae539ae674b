"""A real clamd, run from a folder of its own, which knows one virus: a text of the tests' own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.scanners.clamd import ClamdScanner
from ingest.errors import ScannerUnavailableError
from tests.support.servers import find_program, free_port, missing
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

VIRUS = b"This text is the virus that the tests of Mailhaul look for."
SIGNATURE = "Mailhaul.Test.UNOFFICIAL"  # clamd adds a suffix to names that are not in its own databases
# Bytes: the largest stream that clamd accepts, and how much of one file it scans.
STREAM_MAX = 256 * 1024
FILE_MAX = 128 * 1024

_CONFIG = """\
Foreground yes
DatabaseDirectory {folder}/database
TemporaryDirectory {folder}
LocalSocket {folder}/clamd.sock
TCPSocket {port}
TCPAddr 127.0.0.1
StreamMaxLength {stream_max}
MaxFileSize {file_max}
AlertExceedsMax yes
SelfCheck 0
"""


class Clamd:
    """One daemon: a socket in its folder and a port on 127.0.0.1.

    Args:
        folder: exists; holds all its files. Its path is short, because that of a socket is limited.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "database").mkdir()
        # One signature for files of any type (0), wherever in them (*).
        (folder / "database" / "tests.ndb").write_text(f"Mailhaul.Test:0:*:{VIRUS.hex()}\n")
        (folder / "clamd.conf").write_text(
            _CONFIG.format(folder=folder, port=self.port, stream_max=STREAM_MAX, file_max=FILE_MAX)
        )

    @property
    def unix_url(self) -> str:
        """The address of its socket."""
        return f"unix://{self.folder}/clamd.sock"

    @property
    def tcp_url(self) -> str:
        """The address of its port."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """The content of its log."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = find_program("clamd")
        assert program is not None
        assert self._process is None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, f"--config-file={self.folder / 'clamd.conf'}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            )
        eventually(self._answers, lambda: self.log)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"clamd ended by itself: {self.log}"
        try:
            for url in (self.unix_url, self.tcp_url):
                ClamdScanner(url, timeout=PATIENCE, largest=1).check()
        except ScannerUnavailableError:
            return False
        return True


@contextmanager
def running_clamd() -> Iterator[Clamd]:
    """Run a clamd; skip the test, or fail it in CI, if it is not installed."""
    if find_program("clamd") is None:
        missing("clamav", "ClamAV's daemon")
    with tempfile.TemporaryDirectory(prefix="mailhaul-clamd-") as folder:
        server = Clamd(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def clamd() -> Iterator[Clamd]:
    """One running clamd for all tests."""
    with running_clamd() as server:
        yield server


@pytest.fixture
def own_clamd() -> Iterator[Clamd]:
    """A running clamd for one test, which may stop it."""
    with running_clamd() as server:
        yield server
