"""Commands of `mailhaul` as processes that are forked from one that has imported everything.

Starting Python and importing Celery and boto3 takes a second of CPU, and the tests run some hundred commands. Each
command still has its own process, arguments, environment, output and exit code. Tests of the running service start
`python -m ingest.cli` instead.

This module is also the program that forks: for each connection it forks a keeper, which forks the command, sends its
process id, waits for it and sends its status.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import io

_IMPORTED = ("ingest.cli.app", "ingest.wiring", "ingest.adapters.ledger", "boto3", "celery", "redis")
_NUMBER = struct.Struct("!i")
_LENGTH = struct.Struct("!I")


def run_command(
    arguments: list[str],
    environment: dict[str, str],
    timeout: float,
    main: str = "ingest.cli.app:main",
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end.

    Args:
        arguments: without the name of the program.
        environment: all of it.
        timeout: seconds.
        main: the function to call, as `module:name`.

    Raises:
        subprocess.TimeoutExpired: it was killed after `timeout` seconds.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, _connect() as connection:
        request = json.dumps([main, arguments, environment, str(Path.cwd())]).encode()
        socket.send_fds(connection, [b"\0"], [output.fileno(), errors.fileno()])
        connection.sendall(_LENGTH.pack(len(request)) + request)
        (pid,) = _NUMBER.unpack(_receive(connection, _NUMBER.size))
        connection.settimeout(timeout)
        try:
            (status,) = _NUMBER.unpack(_receive(connection, _NUMBER.size))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(arguments, timeout) from None
        printed, complained = (_text(file) for file in (output, errors))
    return subprocess.CompletedProcess(arguments, os.waitstatus_to_exitcode(status), printed, complained)


def _text(file: io.BufferedRandom) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


def _connect() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"\0{_forking_process()}")
    return connection


@cache
def _forking_process() -> str:
    """Start the program below and return its abstract address. It ends with this process, which holds its pipe."""
    address = f"mailhaul-tests-{os.getpid()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.commands", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    _kept.append(process)
    return address


_kept: list[subprocess.Popen[bytes]] = []


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("the process that forks commands is gone")
        data += more
    return data


def _serve(address: str) -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{address}")
        listener.listen(64)
        if os.fork() == 0:
            listener.close()
            sys.stdin.buffer.read()
            os.kill(os.getppid(), signal.SIGTERM)
            os._exit(0)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _keep(connection)
            connection.close()


def _keep(connection: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(connection, 1, 2)
    (length,) = _LENGTH.unpack(_receive(connection, _LENGTH.size))
    main, arguments, environment, folder = json.loads(_receive(connection, length))
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(main, arguments, environment, folder, files)
    connection.sendall(_NUMBER.pack(pid))
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):
        connection.sendall(_NUMBER.pack(status))
    os._exit(0)


def _become(main: str, arguments: list[str], environment: dict[str, str], folder: str, files: list[int]) -> NoReturn:
    """Do in this process what `python -m` does with the module of `main`."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, *files)):
        os.dup2(source, target)
    for source in (nothing, *files):
        os.close(source)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as at the start of a process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["mailhaul", *arguments]
    code: object = 0
    try:
        pkgutil.resolve_name(main)()
    except SystemExit as error:
        code = error.code
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    _serve(sys.argv[1])
