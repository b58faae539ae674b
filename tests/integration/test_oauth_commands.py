"""`drain` and `check` with tokens: a token server and a Dovecot that takes its tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.oauth import CLIENT, SCOPE, SECRET, TokenServer
from tests.support.service import mailhaul, read_events, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.dovecot import Dovecot

pytestmark = pytest.mark.dovecot
USER = "tokens"


@pytest.fixture
def tokens(dovecot_server: Dovecot) -> Iterator[TokenServer]:
    if not dovecot_server.has_user(USER):
        dovecot_server.add_user(USER, "unused")
        dovecot_server.deliver(USER, b"Subject: x\r\n\r\ntext\r\n")
    with TokenServer() as server:
        server.answer = issue(dovecot_server.token(USER))
        yield server


def issue(token: str) -> tuple[int, bytes]:
    return 200, json.dumps({"access_token": token, "expires_in": 3600}).encode()


def configured(folder: Path, dovecot: Dovecot, tokens: TokenServer) -> str:
    auth: dict[str, Any] = {
        "type": "oauth2",
        "username": USER,
        "client_id": CLIENT,
        "client_secret": "env:SECRET",
        "token_url": tokens.url,
        "scope": SCOPE,
    }
    box = {"id": "a", "host": "127.0.0.1", "port": dovecot.pop3s_port, "ca": str(dovecot.ca_file), "auth": auth}
    return str(write_config(folder, [box]))


def test_mail_is_ingested_with_an_oauth_token(tmp_path: Path, dovecot_server: Dovecot, tokens: TokenServer) -> None:
    done = mailhaul("drain", "--config", configured(tmp_path, dovecot_server, tokens), env={"SECRET": SECRET})
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read_events(tmp_path / "events.jsonl")) == 1
    assert len(tokens.requests) == 1


def test_rejected_application_names_who_must_act(
    tmp_path: Path, dovecot_server: Dovecot, tokens: TokenServer
) -> None:
    tokens.answer = None
    done = mailhaul("check", "--config", configured(tmp_path, dovecot_server, tokens), env={"SECRET": "old"})
    assert done.returncode == 1
    assert "secrets expire" in " ".join(done.stdout.split())


def test_token_rejected_by_the_mailbox_is_not_blamed_on_the_token_server(
    tmp_path: Path, dovecot_server: Dovecot, tokens: TokenServer
) -> None:
    tokens.answer = issue(dovecot_server.token("somebody-else"))
    done = mailhaul("check", "--config", configured(tmp_path, dovecot_server, tokens), env={"SECRET": SECRET})
    assert done.returncode == 1
    assert len(tokens.requests) == 2, "a fresh one is tried once"
