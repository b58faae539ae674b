"""The sections `parse` and `scan`, and which servers a mailbox trusts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ingest.config.model import Config

BASE = {"store": "file:///s", "ledger": "embedded"}
BOX = {"host": "h", "auth": {"type": "password", "username": "u", "password": "env:P"}}


def config(**more: Any) -> Config:
    return Config.model_validate({**BASE, **more})


def test_nothing_is_scanned_verified_or_believed_unless_asked_for() -> None:
    plain = config(mailboxes=[{"id": "a", **BOX}])
    assert plain.scan is None
    assert not plain.parse.dkim
    assert plain.mailboxes_by_id()["a"].authserv_id is None


def test_an_address_alone_makes_a_scanner() -> None:
    assert config(scan="tcp://clamd:3310") == config(scan={"url": "tcp://clamd:3310"})
    assert config(scan=None).scan is None


@pytest.mark.parametrize("url", ["unix:///run/clamav/clamd.ctl", "tcp://127.0.0.1:3310", "tcp://[::1]:3310"])
def test_clamd_is_reached_through_a_socket_or_a_port(url: str) -> None:
    found = config(scan=url).scan
    assert found is not None
    assert found.url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "clamd:3310",
        "tcp://clamd",
        "tcp://:3310",
        "tcp://clamd:3310/x",
        "tcp://u:p@clamd:1",
        "unix://run/x",
        "/run/x",
    ],
)
def test_other_addresses_are_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(ValidationError, match=r"write unix:///run/clamav/clamd.ctl or tcp://host:3310"):
        config(scan=url)


def test_a_scan_may_not_take_the_time_that_a_message_has() -> None:
    assert config(scan={"url": "tcp://c:1", "timeout": "2m"}).scan
    with pytest.raises(ValidationError, match="2m or shorter"):
        config(scan={"url": "tcp://c:1", "timeout": "121s"})


def test_each_mailbox_may_have_a_mail_server_of_its_own() -> None:
    boxes = config(
        defaults={"authserv_id": "mx.example.org"},
        mailboxes=[{"id": "a", **BOX}, {"id": "b", "authserv_id": "mx.google.com", **BOX}],
    ).mailboxes_by_id()
    assert (boxes["a"].authserv_id, boxes["b"].authserv_id) == ("mx.example.org", "mx.google.com")
