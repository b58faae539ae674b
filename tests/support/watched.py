"""A service in every state that the dashboards show, and a Prometheus with our rules that scrapes it.

Two mailboxes work, one of them over a slow line; one has a wrong password, one a server that does not run, and one is
paused. One sink confirms, one is unavailable, one rejects.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.request import urlopen

import trustme

from ingest.cli.children import PROCESSES
from ingest.demo.mails import Kind, sample
from ingest.demo.server import DemoServer
from tests.support.http import Answer, Receiver, Request
from tests.support.prometheus import Prometheus
from tests.support.proxy import DelayProxy
from tests.support.rules import RULES
from tests.support.servers import free_port
from tests.support.service import Service, write_config
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

WORKING, SLOW, LOCKED_OUT, UNREACHABLE, PAUSED = "orders", "invoices-it", "invoices-fr", "invoices-pl", "archive"
CONFIRMING, UNAVAILABLE, REFUSING = "file", "erp", "dms"
# Seconds each way.
_DELAY = 0.15
_KINDS = (Kind.PDF_INVOICE, Kind.MALFORMED, Kind.XML_INVOICE, Kind.CSV_LIST, Kind.NEWSLETTER, Kind.ZIP_INVOICES)


@dataclass
class Watched:
    """Runs all of it during a `with` block.

    Args:
        folder: for everything that is written.
        rules: for Prometheus.
    """

    folder: Path
    rules: Path = RULES

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._build(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def deliver(self, mailbox: str, number: int) -> None:
        """Drop one mail into a mailbox; a reader sees the whole file or none."""
        home = self.folder / "drops" / mailbox
        home.mkdir(parents=True, exist_ok=True)
        unfinished = home / f"{number}.part"
        unfinished.write_bytes(sample(number, mailbox, _KINDS[number % len(_KINDS)]).raw)
        unfinished.replace(home / f"{number}.eml")

    def away(self, *, away: bool) -> None:
        """Make the sink `erp` unavailable or available."""
        self._erp.answer = lambda _: Answer(503 if away else 204)

    def look(self) -> None:
        """Open a page of the console, if it listens by now."""
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self.console}/mailboxes", timeout=PATIENCE) as page:
            page.read()

    def _build(self, stack: ExitStack) -> None:
        authority = trustme.CA()
        ca = self.folder / "ca.pem"
        authority.cert_pem.write_to_path(str(ca))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.deliver(WORKING, 0)
        passwords = dict.fromkeys((WORKING, SLOW, LOCKED_OUT, PAUSED), "right")
        server = stack.enter_context(DemoServer(self.folder / "drops", passwords, tls_context=context))
        line = DelayProxy(server.port, _DELAY)
        line.start()
        stack.callback(line.stop)
        self._erp, dms = stack.enter_context(Receiver()), stack.enter_context(Receiver())
        dms.answer = refuse_all_but_the_first()
        self.away(away=True)
        port, self.console = free_port(), free_port()
        config = write_config(
            self.folder,
            [
                _mailbox(WORKING, server.port, ca),
                _mailbox(SLOW, line.port, ca),
                _mailbox(LOCKED_OUT, server.port, ca, password="env:WRONG"),
                _mailbox(UNREACHABLE, free_port(), ca),
                _mailbox(PAUSED, server.port, ca, enabled=False),
            ],
            sinks=[
                {"type": "jsonl", "name": CONFIRMING, "path": str(self.folder / "events.jsonl")},
                _webhook(UNAVAILABLE, self._erp),
                _webhook(REFUSING, dms),
            ],
            defaults={"interval": "2s"},
            metrics={"port": port},
            console={"port": self.console},
        )
        secrets = {"RIGHT": "right", "WRONG": "wrong", "HOOK": f"whsec_{b64encode(bytes(32)).decode()}"}
        self.service = stack.enter_context(Service(config, secrets))
        targets = [f"127.0.0.1:{port + offset}" for offset in range(len(PROCESSES) + 1)]
        self.prometheus = stack.enter_context(Prometheus(self.folder / "prometheus", targets, self.rules))


def refuse_all_but_the_first() -> Any:
    """Answers 204 once, then 400: a sink that accepts some events and rejects others."""
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return Answer(204 if len(seen) == 1 else 400)

    return answer


def _mailbox(name: str, port: int, ca: Path, *, password: str = "env:RIGHT", enabled: bool = True) -> dict[str, Any]:
    return {
        "id": name,
        "host": "127.0.0.1",
        "port": port,
        "ca": str(ca),
        "enabled": enabled,
        "auth": {"type": "password", "username": name, "password": password},
    }


def _webhook(name: str, receiver: Receiver) -> dict[str, Any]:
    return {"type": "webhook", "name": name, "url": receiver.url, "secret": "env:HOOK", "allow_private": True}
