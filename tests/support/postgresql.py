"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.support.servers import free_port, missing
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

# PostgreSQL refuses to run as root.
_UNPRIVILEGED = "postgres"


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        missing("postgresql", "PostgreSQL")
    return found[-1].parent if found else Path(str(on_path)).parent


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a server; yield the address of its database for SQLAlchemy."""
    programs, port = _programs(), free_port()
    user = _UNPRIVILEGED if os.geteuid() == 0 else None
    # Not in pytest's own folder, into which only its owner may look.
    with TemporaryDirectory(prefix="mailhaul-postgresql-", ignore_cleanup_errors=True) as made:
        if user is not None:
            shutil.chown(made, user)
        yield from _served(programs, Path(made), port, user)


def _served(programs: Path, folder: Path, port: int, user: str | None) -> Iterator[str]:
    data = folder / "data"
    subprocess.run(
        [str(programs / "initdb"), "-D", str(data), "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync"],
        user=user,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    options = {"port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    server = subprocess.Popen(
        [str(programs / "postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in options.items())],
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        eventually(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL does not answer")
        yield f"postgresql+psycopg://test@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait()
