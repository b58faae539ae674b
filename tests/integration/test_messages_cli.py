"""`mailhaul messages` and `mailhaul events tail` with a real ledger, and a store in a folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.bench import mail, message_key
from tests.support.service import mailhaul, write_config
from tests.support.valkey import PERSISTENT, Valkey
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRETS = {"POP_SECRET": "secret"}
PDF = mail("with a file", attachment=b"%PDF-1.4 made up")
KEY = message_key("a", PDF)


def run(*arguments: str, config: Path) -> str:
    done = mailhaul(*arguments, "--config", str(config), env=SECRETS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bring(config: Path, raw: bytes) -> None:
    file = config.parent / "mail.eml"
    file.write_bytes(raw)
    run("import", "--mailbox", "a", str(file), config=config)


def configured(folder: Path, server: Valkey) -> Path:
    auth = {"type": "password", "username": "a", "password": "env:POP_SECRET"}
    box = {"id": "a", "host": "127.0.0.1", "port": 1, "tls": "none", "auth": auth, "prefix": "in/a"}
    return write_config(folder, [box], ledger=server.url)


@contextmanager
def following(config: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "ingest.cli", "events", "tail", "--follow", "--config", str(config)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **SECRETS}) as process:
        try:
            yield process
        finally:
            process.kill()


def test_message_is_found_read_and_traced_and_its_event_followed(tmp_path: Path, valkey: Valkey) -> None:
    valkey.flush()
    config = configured(tmp_path, valkey)
    bring(config, PDF)

    (row,) = json.loads(run("messages", "list", "--mailbox", "a", "--json", config=config))
    assert (row["message_key"], row["state"], row["documents"]) == (KEY, "complete", ["document"])
    (attachment,) = json.loads(run("messages", "show", KEY[:6], "--json", config=config))["attachments"]
    run("messages", "open", KEY, "--part", attachment["part"], "-o", str(tmp_path / "i.pdf"), config=config)
    assert (tmp_path / "i.pdf").read_bytes() == b"%PDF-1.4 made up"
    run("messages", "open", KEY, "-o", str(tmp_path), config=config)
    assert (tmp_path / f"{KEY}.eml").read_bytes() == PDF
    steps = json.loads(run("messages", "trace", KEY, "--json", config=config))
    way = [(what, "done") for what in ("received", "stored", "processed", "published", "delivered")]
    assert [(step["what"], step["state"]) for step in steps] == way

    with following(config) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["subject"] == KEY
        bring(config, mail("another"))
        assert json.loads(process.stdout.readline())["data"]["headers"]["subject"] == "another"
        process.send_signal(signal.SIGINT)
        assert (process.wait(PATIENCE), process.stderr and process.stderr.read()) == (0, "")
    with following(config) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()  # nobody reads any more, and no event comes
        assert (process.wait(PATIENCE), process.stderr and process.stderr.read()) == (0, "")


def test_following_goes_on_when_the_ledger_was_restarted(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    with Valkey(folder, PERSISTENT) as server:
        config = configured(tmp_path, server)
        bring(config, PDF)
        with following(config) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert json.loads(process.stdout.readline())["subject"] == KEY
            server.stop()
            assert process.stderr.readline() == "error: the ledger is unavailable; waiting for it\n"
            server.start()
            bring(config, mail("another"))
            assert json.loads(process.stdout.readline())["data"]["headers"]["subject"] == "another"
            process.send_signal(signal.SIGINT)
            assert (process.wait(PATIENCE), process.stderr.read()) == (0, "")
