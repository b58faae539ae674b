"""The demonstration's mail server as a process of its own: what it says where it cannot serve."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path


def _serve(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "MAILBOX_PASSWORD"} | variables
    command = [sys.executable, "-m", "ingest.demo", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_mailboxes_without_a_password_are_not_served(tmp_path: Path) -> None:
    done = _serve("--folder", str(tmp_path))
    assert done.returncode == 2
    assert "set MAILBOX_PASSWORD" in done.stderr
    assert not list(tmp_path.iterdir())


def test_used_port_and_missing_folder_are_named_in_the_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = _serve("--folder", str(tmp_path / "mail"), "--port", port, MAILBOX_PASSWORD="made-up")
    assert done.returncode == 1
    assert f"{tmp_path / 'mail'} cannot be served on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr

    (tmp_path / "file").touch()
    done = _serve("--folder", str(tmp_path / "file"), MAILBOX_PASSWORD="made-up")
    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr
