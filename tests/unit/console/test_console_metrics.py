"""What the console counts of itself: few series, and nobody's name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import generate_latest

from ingest.console.live import Listener
from tests.unit.console.conftest import SECRETS, with_tokens
from tests.unit.console.test_live import here

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.unit.console.conftest import Console


def scraped(client: TestClient) -> str:
    return generate_latest(client.app.state.metrics.registry).decode()  # type: ignore[attr-defined]  # of Starlette


def test_requests_are_counted_by_declared_path_and_class_of_status(console: Console) -> None:
    client = console.client("viewer")
    client.get("/api/v1/mailboxes/a")
    client.get("/api/v1/mailboxes/nobody%40example.org")
    client.get("/no/such/page")
    client.post("/api/v1/mailboxes/a/pause")
    client.post("/logout", headers={"origin": "https://evil.example"})
    found = scraped(client)
    for route, status in (
        ("/api/v1/mailboxes/{mailbox}", "2xx"),
        ("/api/v1/mailboxes/{mailbox}", "4xx"),
        ("/api/v1/mailboxes/{mailbox}/pause", "4xx"),
        ("other", "4xx"),
    ):
        assert f'mailhaul_console_request_duration_seconds_count{{route="{route}",status="{status}"}}' in found
    for word in ("nobody", "example", "/no/such", "viewer"):
        assert word not in found


def test_logins_are_counted_by_their_result(console: Console) -> None:
    client = console.client("nobody", with_tokens())
    for secret in (SECRETS["viewer"], *["wrong"] * 11):
        client.post("/login", data={"secret": secret})
    found = scraped(client)
    for result, count in (("ok", 1), ("failed", 10), ("limited", 1), ("unavailable", 0)):
        assert f'mailhaul_console_logins_total{{method="token",result="{result}"}} {count}.0' in found
    assert 'mailhaul_console_logins_total{method="oidc",result="failed"} 0.0' in found


def test_open_streams_are_counted_until_they_end(console: Console) -> None:
    client = console.client()

    async def check() -> list[bool]:
        stream = client.app.state.live.open(Listener("anna", ""), here)  # type: ignore[attr-defined]  # of Starlette
        await anext(stream)
        during = "mailhaul_console_live_streams 1.0" in scraped(client)
        await stream.aclose()
        return [during, "mailhaul_console_live_streams 0.0" in scraped(client)]

    assert asyncio.run(check()) == [True, True]
