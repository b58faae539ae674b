"""`mailhaul check` in a pod tries what the pod's process has access to, and mailboxes that are named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import free_port
from tests.support.service import mailhaul, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.valkey import Valkey


@pytest.fixture
def config(tmp_path: Path, valkey: Valkey) -> str:
    """A mailbox and a sink whose secrets are not mounted here."""
    auth = {"type": "password", "username": "a", "password": "file:/nowhere/password"}
    box = {"id": "a", "host": "127.0.0.1", "port": free_port(), "tls": "none", "auth": auth}
    sink = {"type": "webhook", "name": "erp", "url": "https://127.0.0.1:1/", "secret": "file:/nowhere/secret"}
    return str(write_config(tmp_path, [box], ledger=valkey.url, sinks=[sink]))


def _check(config: str, role: str, *mailboxes: str) -> tuple[int, dict[str, tuple[bool, bool]]]:
    done = mailhaul("check", *mailboxes, "--json", "--config", config, env={"MAILHAUL_ROLE": role})
    found = json.loads(done.stdout)["findings"]
    return done.returncode, {row["part"]: (row["ok"], row["visible"]) for row in found}


@pytest.mark.parametrize(
    ("role", "code", "sink", "mailbox"),
    [
        ("processor", 0, (True, False), (True, False)),
        ("poller", 1, (True, False), (False, True)),
        ("relay", 1, (False, True), (True, False)),
        # Not in a pod.
        ("", 1, (False, True), (False, True)),
    ],
)
def test_role_decides_what_is_visible(
    config: str, role: str, code: int, sink: tuple[bool, bool], mailbox: tuple[bool, bool]
) -> None:
    found = {"ledger": (True, True), "store": (True, True), "sink": sink, "mailbox": mailbox}
    assert _check(config, role) == (code, found)


def test_named_mailbox_is_tried_whatever_the_role(config: str) -> None:
    code, found = _check(config, "relay", "a")
    assert (code, found["mailbox"]) == (1, (False, True))
