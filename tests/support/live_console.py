"""A console that listens, with something of everything that its pages and its API show."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from socket import create_server
from typing import TYPE_CHECKING, Any

import uvicorn

from ingest.catalog.catalog import Catalog
from ingest.console.app import make_app
from ingest.demo.mails import KINDS, sample
from ingest.errors import MaildropAuthError
from ingest.ports.sink import Outcome, Verdict
from tests.support.bench import bench, mail, mailbox, message_key
from tests.support.waiting import eventually
from tests.unit.console.conftest import Console, with_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from ingest.config.console import ConsoleSection

# In the past of the clock of a bench.
FAILED, REJECTED = mail("A message that fails").replace(b"2026", b"2025"), "An order that nobody wants"


@contextmanager
def filled_console(folder: Path) -> Iterator[Console]:
    """A console over twins, with mail of every kind, a failed message, rejected events, and mailboxes in trouble."""
    names = ("invoices-de", "invoices-fr", "orders", "office", "archive")
    boxes = [replace(mailbox(name), labels={"tenant": name.rpartition("-")[2], "team": "accounts"}) for name in names]
    with bench(*boxes) as b, closing(Catalog.open(f"sqlite:///{folder}/catalog.sqlite")) as catalog:
        b.relay_stage = replace(b.relay_stage, keeps_answers=True)
        console = Console(b, catalog)
        with closing(console.feeder):
            b.fail("office", FAILED)
            console.feed()
            for hours, box in enumerate(names[:3]):
                console.haul(box, *_mails(box, b.clock.now() - timedelta(hours=hours)))
            _reject(console)
            _trouble(console)
            yield console


def _mails(box: str, last: datetime) -> Iterator[bytes]:
    """Mails of every kind, the last one of which came at a time."""
    for number, kind in enumerate(KINDS):
        yield sample(number, box, kind, last - timedelta(hours=3 * (len(KINDS) - number), minutes=7 * number)).raw


def failed_key() -> str:
    """The key of the message that failed."""
    return message_key("office", FAILED)


@contextmanager
def served(console: Console, options: ConsoleSection | None = None) -> Iterator[str]:
    """Serve a console on a port of this machine; yield its address. Tokens are those of the unit tests."""
    configured = options or with_tokens()
    with create_server(("127.0.0.1", 0)) as socket:
        app = make_app(console.b.runtime, console.catalog, configured)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([socket],))
        thread.start()
        try:
            eventually(lambda: server.started, "the console does not start")
            yield f"http://127.0.0.1:{socket.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _reject(console: Console) -> None:
    """Let the consumer reject an event."""
    sink = console.b.sinks["main"]
    accepts, sink.verdict = sink.verdict, lambda _: Outcome(Verdict.REJECTED, "http_400")
    console.haul("office", mail(REJECTED, "Please send us <b>12</b> chairs.").replace(b"2026", b"2025"))
    sink.verdict = accepts


def _trouble(console: Console) -> None:
    """Let a login be rejected, and pause a mailbox."""
    b = console.b
    b.maildrops["invoices-fr"].error = MaildropAuthError("the password is wrong")
    b.poll_all()
    b.ledger.pause("archive")
    console.feed()


def pages(console: Console, job: str) -> dict[str, list[str]]:
    """Paths of pages by their route: with everything that they may show, and where they have nothing.

    Args:
        console: filled.
        job: id of a replay.
    """
    api = console.client("operator")
    listed = api.get("/api/v1/messages", params={"limit": 100}).json()["messages"]
    keys = {kind: next(one["key"] for one in listed if _has(one, kind)) for kind in ("invoice", "logo", "rejected")}
    return {
        "/": ["/", "/?q=nothing&status=failed", "/?kind=invoice"],
        "/messages/{key}": [f"/messages/{key}" for key in (*keys.values(), failed_key(), "0" * 32)],
        "/messages/{key}/source/{what}": [f"/messages/{keys['logo']}/source/{what}" for what in ("raw", "manifest")],
        **{f"/{name}": [f"/{name}"] for name in ("mailboxes", "failures", "consumers", "activity")},
        **{f"/{name}": [f"/{name}"] for name in ("replays", "reprocesses")},
        "/replays/{job}": [f"/replays/{job}"],
        "/reprocesses/{job}": [],  # the page of a replay
    }


def _has(message: dict[str, Any], kind: str) -> bool:
    if kind == "rejected":
        return bool(message["subject"] == REJECTED)
    return any(one["kind"] == kind for one in message["documents"])
