"""A console over in-memory twins, and clients that log in as somebody."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from ingest.catalog.catalog import Catalog
from ingest.catalog.feed import Feeder
from ingest.catalog.rebuild import Rebuild
from ingest.config.console import ConsoleSection
from ingest.console.app import make_app
from tests.support.bench import Bench, bench, mailbox, never

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRETS = {"viewer": "secret-of-the-viewer", "operator": "secret-of-the-operator", "tenant": "secret-of-the-tenant"}


def section(**options: Any) -> ConsoleSection:
    return ConsoleSection.model_validate(options)


def with_tokens() -> ConsoleSection:
    digests = {name: hashlib.sha256(secret.encode()).hexdigest() for name, secret in SECRETS.items()}
    return section(
        address="0.0.0.0",  # noqa: S104 - nothing listens
        tokens=[
            {"name": "viewer", "sha256": digests["viewer"]},
            {"name": "operator", "sha256": digests["operator"], "role": "operator"},
            {"name": "tenant", "sha256": digests["tenant"], "role": "operator", "labels": {"tenant": "b"}},
        ],
    )


@dataclass
class Console:
    """A bench with mailboxes `a` and `b`, and what a console needs beside it."""

    b: Bench
    catalog: Catalog
    feeder: Feeder = field(init=False)

    def __post_init__(self) -> None:
        self.feeder = Feeder(self.catalog, self.b.store, self.b.events, list(self.b.sinks), self.now)

    def now(self) -> float:
        return self.b.clock.now().timestamp()

    def haul(self, box: str, *mails: bytes) -> None:
        known = len(self.b.maildrops[box].messages)
        self.b.maildrops[box].messages |= {b"u%d" % (known + n): raw for n, raw in enumerate(mails)}
        self.b.everything()
        self.feed()

    def feed(self) -> None:
        while self.feeder.step():
            pass
        rebuild = Rebuild(self.catalog, self.b.store, self.b.layout, self.now)
        if rebuild.wanted:
            rebuild.run(never)

    def client(self, who: str = "", options: ConsoleSection | None = None) -> TestClient:
        """Return a client; `who` is a key of SECRETS, or empty where everybody on this machine may come in."""
        configured = options or (with_tokens() if who else section())
        app = make_app(self.b.runtime, self.catalog, configured)
        headers = {"authorization": f"Bearer {SECRETS[who]}"} if who in SECRETS else {}
        return TestClient(app, base_url="http://127.0.0.1:8480", headers=headers, follow_redirects=False)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    boxes = [replace(mailbox(id_), labels={"tenant": id_}) for id_ in ("a", "b")]
    catalog = Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite")
    with bench(*boxes) as b:
        one = Console(b, catalog)
        yield one
        one.feeder.close()
    catalog.close()
