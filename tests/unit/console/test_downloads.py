"""A download ends with the session of whoever asked for it."""

from __future__ import annotations

import hashlib
import http.client
import io
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from ingest.console import app
from ingest.console.content import CHUNK
from ingest.errors import LedgerUnavailableError
from tests.support.bench import mail, message_key
from tests.support.live_console import served
from tests.support.waiting import PATIENCE
from tests.unit.console.conftest import SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from tests.unit.console.conftest import Console

RAW = mail("large", f"{'x' * 76}\r\n" * (3 * CHUNK // 78))


class Pieces(io.BytesIO):
    """An object whose first piece is read at once, and the others when that is allowed."""

    def __init__(self, content: bytes, allowed: threading.Event) -> None:
        super().__init__(content)
        self._allowed = allowed

    def read(self, size: int | None = -1) -> bytes:
        assert not self.tell() or self._allowed.wait(PATIENCE)
        return super().read(size)


def logged_in(browser: http.client.HTTPConnection) -> dict[str, str]:
    """Log in; return the header fields that a browser then sends."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    browser.request("POST", "/login", f"secret={SECRETS['viewer']}", form)
    answer = browser.getresponse()
    answer.read()
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


@pytest.mark.parametrize("meanwhile", ["nothing", "logout", "ledger unavailable"])
def test_download_ends_with_its_session(console: Console, monkeypatch: pytest.MonkeyPatch, meanwhile: str) -> None:
    console.haul("a", RAW)
    ledger, store, allowed = console.b.ledger, console.b.store, threading.Event()
    at_once = store.open

    @contextmanager
    def in_pieces(key: str) -> Iterator[BinaryIO]:
        with at_once(key) as body:
            yield Pieces(RAW, allowed) if key.endswith("raw.eml") else body

    def unavailable(*_: object) -> None:
        raise LedgerUnavailableError("it does not answer")

    monkeypatch.setattr(store, "open", in_pieces)
    monkeypatch.setattr(app, "SESSION_CHECK", 0.0)
    with (
        served(console) as address,
        closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE)) as browser,
    ):
        fields = logged_in(browser)
        browser.request("GET", f"/api/v1/messages/{message_key('a', RAW)}/raw", headers=fields)
        answer = browser.getresponse()
        assert answer.read(CHUNK) == RAW[:CHUNK]
        if meanwhile == "logout":
            ledger.drop_session(hashlib.sha256(fields["cookie"].partition("=")[2].encode()).hexdigest())
            allowed.set()
            with pytest.raises(http.client.IncompleteRead) as ended:
                answer.read()
            assert ended.value.partial == b""
        else:
            if meanwhile != "nothing":
                monkeypatch.setattr(ledger, "session", unavailable)
            allowed.set()
            assert answer.read() == RAW[CHUNK:]
