"""`mailhaul init` on a terminal and without one: what it asks, what it writes, and what it says then."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.service import mailhaul
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from pathlib import Path


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._end, other = pty.openpty()
        command = [sys.executable, "-m", "ingest.cli", *arguments]
        with os.fdopen(other, "r+b", buffering=0) as terminal:
            # In a session of its own there is no other terminal of which the password could be asked.
            self.process = subprocess.Popen(
                command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=folder, start_new_session=True
            )
        self.screen = ""

    def answer(self, question: str, text: str, *, is_secret: bool = False) -> None:
        """Wait for a question, and type the answer."""
        while question not in self.screen:
            self.screen += os.read(self._end, 4096).decode()
        self.screen = self.screen.partition(question)[2]
        if is_secret:  # what is typed before it is hidden is thrown away
            eventually(lambda: not termios.tcgetattr(self._end)[3] & termios.ECHO, "typing is hidden")
        os.write(self._end, f"{text}\n".encode())

    def wait(self) -> str:
        """Return the rest of the screen once the program has ended."""
        try:
            while data := os.read(self._end, 4096):
                self.screen += data.decode()
        except OSError:
            pass  # Linux ends a terminal whose other end is closed like that
        assert self.process.wait(PATIENCE) is not None
        os.close(self._end)
        return self.screen


def test_terminal_is_asked_and_the_password_goes_into_a_file_of_its_own(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "init", "--no-check")
    terminal.answer("Address of the mailbox:", "invoices@example.org")
    terminal.answer("Provider (gmail, microsoft365, yahoo, zoho, generic) [generic]:", "")
    terminal.answer("POP3 server [pop.example.org]:", "mail.example.org")
    terminal.answer("Password:", "s3cret: #1", is_secret=True)
    screen = terminal.wait()
    assert terminal.process.returncode == 0, screen
    assert "s3cret" not in screen
    (box,) = yaml.safe_load((tmp_path / "mailhaul.yaml").read_text())["mailboxes"]
    assert (box["host"], box["auth"]["password"]) == ("mail.example.org", "file:secrets/invoices")
    secret = tmp_path / "secrets" / "invoices"
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("s3cret: #1", 0o600)
    assert secret.parent.stat().st_mode & 0o777 == 0o700


def test_microsoft_365_is_asked_for_its_application(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "init", "--no-check", "--address", "a@example.org", "--provider", "microsoft365")
    terminal.answer("Application (client) id:", "0a1b")
    terminal.answer("Directory (tenant) id:", "example.org")
    terminal.answer("Secret of the application:", "x", is_secret=True)
    assert "wrote mailhaul.yaml" in terminal.wait()
    (box,) = yaml.safe_load((tmp_path / "mailhaul.yaml").read_text())["mailboxes"]
    assert (box["provider"], box["auth"]["type"], box["auth"]["tenant"]) == ("microsoft365", "oauth2", "example.org")


def test_options_alone_write_a_configuration_and_it_is_tried(tmp_path: Path) -> None:
    file = tmp_path / "made" / "my.yaml"
    options = ["--config", str(file), "--address", "a@example.org", "--host", "127.0.0.1", "--secret", "env:NOT_SET"]
    done = mailhaul("init", *options, "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert done.stdout.startswith(f"wrote {file}: mailbox a, data in {tmp_path / 'data'}\n")
    assert "set the environment variable NOT_SET" in done.stdout
    assert done.stdout.endswith(f"edit {file}, and try it again: mailhaul check -c {file}\n")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "--address is missing, and there is no terminal to ask for it"),
        (["--address", "a@example.org"], "--host is missing, and there is no terminal to ask for it"),
        (["--address", "a@gmail.com"], "--secret is missing, and there is no terminal to ask for it"),
        (["--address", "a@gmail.com", "--secret", "hunter2"], "--secret is a reference, not the secret itself"),
        (
            ["--address", "a@gmail.com", "--host", "h", "--secret", "env:P"],
            "--host does not go with --provider gmail",
        ),
        (["--address", "a@example.org", "--provider", "aol"], "there is no provider aol; write one of gmail"),
    ],
)
def test_missing_or_wrong_answer_is_named_and_nothing_is_written(
    tmp_path: Path, options: list[str], problem: str
) -> None:
    done = mailhaul("init", "--config", str(tmp_path / "my.yaml"), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {problem}")
    assert "hunter2" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_existing_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("store: file:///srv/mail\n")
    done = mailhaul("init", "--config", str(file), "--address", "a@gmail.com", "--secret", "env:P")
    assert (done.returncode, file.read_text()) == (2, "store: file:///srv/mail\n")
    assert "exists already; name another file with --config" in done.stderr


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answers = ("--address", "a@example.org", "--host", "h", "--secret", "env:P")
    done = mailhaul("init", "--config", str(tmp_path / "file" / "my.yaml"), *answers)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"error: {tmp_path / 'file'}: cannot be written (")
