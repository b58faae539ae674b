"""Failed logins are counted for each client, also behind a proxy, and for nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from ingest.console.app import make_app
from ingest.console.limits import FAILURE_SECONDS, FAILURES, LoginLimits, TooManyLoginsError, client_of
from tests.unit.console.conftest import SECRETS, with_tokens

if TYPE_CHECKING:
    from tests.unit.console.conftest import Console

TRUSTED = ["10.0.0.0/8", "fd00::/8"]


def seen(peer: str, *forwarded: str) -> str:
    headers = [(b"x-forwarded-for", one.encode()) for one in forwarded]
    return client_of(Request({"type": "http", "client": (peer, 1), "headers": headers}), TRUSTED)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.5", [], "10.0.0.5"),
        ("10.0.0.5", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.5", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.5", ["203.0.113.9", "198.51.100.7, 10.0.0.6"], "198.51.100.7"),
        ("10.0.0.5", ["10.0.0.7, 10.0.0.6"], "10.0.0.7"),
        ("10.0.0.5", ["198.51.100.7, unknown, 10.0.0.6"], "10.0.0.6"),
        ("10.0.0.5", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.5", ["[2001:db8::7]:4711"], "2001:db8::/64"),
        ("fd00::5", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("2001:db8:0:0:1::1", [], "2001:db8::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("testclient", ["198.51.100.7"], "testclient"),
    ],
)
def test_client_is_the_last_address_that_no_trusted_proxy_has(peer: str, forwarded: list[str], client: str) -> None:
    assert seen(peer, *forwarded) == client


def test_client_behind_a_proxy_does_not_lock_out_the_others(console: Console) -> None:
    section = with_tokens().model_copy(update={"trusted_proxies": TRUSTED})
    app = make_app(console.b.runtime, console.catalog, section)
    client = TestClient(app, base_url="http://127.0.0.1", client=("10.0.0.5", 1), follow_redirects=False)

    def log_in(secret: str, address: str) -> int:
        return client.post("/login", data={"secret": secret}, headers={"x-forwarded-for": address}).status_code

    assert [log_in("wrong", f"203.0.113.{n}, 198.51.100.7") for n in range(11)] == [401] * 10 + [429]
    assert log_in(SECRETS["viewer"], "198.51.100.8") == 303


def test_failures_count_for_five_minutes_and_only_so_many_clients_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.console.limits.MOST_CLIENTS", 2)
    now = [0.0]
    limits = LoginLimits(lambda: now[0])
    for _ in range(FAILURES):
        limits.failed("a")
    with pytest.raises(TooManyLoginsError):
        limits.require("a")
    now[0] = FAILURE_SECONDS
    limits.require("a")
    for client in "bcd":
        limits.failed(client)
    assert sorted(limits._failures) == ["c", "d"]


def test_few_logins_ask_the_provider_at_once() -> None:
    limits = LoginLimits(lambda: 0.0)
    held = [limits.slot() for _ in range(8)]
    for one in held:
        one.__enter__()
    with pytest.raises(TooManyLoginsError), limits.slot():
        pass
    held[0].__exit__(None, None, None)
    with limits.slot():
        pass
