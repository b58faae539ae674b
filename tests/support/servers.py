"""What the helpers for real servers share: free ports, and what to do where a server is not installed."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socketserver import BaseServer

_S = TypeVar("_S", bound="BaseServer")

# Below what Linux gives to outgoing connections (32768 and up), so that a server finds its port free again when it
# is started once more.
_LOWEST, _HIGHEST = 20_000, 32_000
_IN_A_ROW = 8  # a service takes five


def _candidates() -> Iterator[int]:
    """The first ports of this process's blocks, in turn: a block comes up again only after all others."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    blocks = (_HIGHEST - _LOWEST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) // _IN_A_ROW
    start = secrets.randbelow(blocks)  # another run may be at work beside this one
    for step in itertools.count(start):
        yield _LOWEST + _IN_A_ROW * (number * blocks + step % blocks)


_blocks = _candidates()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on, and that no other process of this run asks for.

    The seven ports above it are handed out to nobody else. Ports come in turn: a server may begin to listen long
    after it was given its port, and no other may be given the same one meanwhile.
    """
    while True:
        port = next(_blocks)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def serving(server: _S) -> Iterator[_S]:
    """Serve in a thread for the length of a `with` block, then close the server, also if the test has failed."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def find_program(name: str) -> Path | None:
    """Where a program is, also in the folders that only root has on PATH."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    return Path(found) if found else None


def missing(server: str, what: str, installer: str = "tests/install-servers") -> NoReturn:
    """Skip the test, and say how to fix it; in CI (`CI=true`) fail instead.

    Args:
        server: as `tests/install-servers` calls it.
        what: is missing.
        installer: installs it.
    """
    text = f"{what} is not installed; `{installer} {server}` installs it on Debian"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
