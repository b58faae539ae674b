"""What the helpers for real servers share: free ports, and what to do if a server is not installed."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from socketserver import BaseServer

_S = TypeVar("_S", bound="BaseServer")

# Below the ports that Linux uses for outgoing connections (32768 and up): a server that is stopped and started again
# finds its port free.
_LOWEST, _HIGHEST = 20_000, 32_000
_BLOCK = 8  # ports; a service uses five


def _candidates() -> Iterator[int]:
    """Yield the first port of each of this process's blocks in turn: a block is reused only after all others."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    blocks = (_HIGHEST - _LOWEST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) // _BLOCK
    start = secrets.randbelow(blocks)  # another run of the tests may use the same range
    for step in itertools.count(start):
        yield _LOWEST + _BLOCK * (number * blocks + step % blocks)


_blocks = _candidates()


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 on which nothing listens, the first of a block of eight that is the caller's.

    No other process of this run is given a port of the same block. Blocks are handed out in turn, because a server
    may start to listen long after it was given its port, and until then nothing shows that the port is taken.
    """
    return next(port for port in _blocks if all(map(_is_free, range(port, port + _BLOCK))))


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def serving(server: _S) -> Iterator[_S]:
    """Serve in a thread during a `with` block, then close the server, even if the test failed."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def undone_on_failure(undo: Callable[[], object]) -> Iterator[None]:
    """Call `undo` if the `with` block raises, and let the exception pass."""
    with ExitStack() as stack:
        stack.callback(undo)
        yield
        stack.pop_all()


def find_program(name: str) -> Path | None:
    """Return the path of a program; folders that are only on root's PATH are searched too."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    return Path(found) if found else None


def missing(server: str, what: str, installer: str = "tests/install-servers") -> NoReturn:
    """Skip the test with a message that names the remedy; fail instead in CI (`CI=true`).

    Args:
        server: the name that the installer uses for it.
        what: the name of the missing server, for the message.
        installer: the script that installs it.
    """
    text = f"{what} is not installed; `{installer} {server}` installs it on Debian"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
