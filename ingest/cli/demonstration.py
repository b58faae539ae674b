"""The demonstration: a POP3 server with mail on loopback, and a configuration to copy."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingest.demo.scene import DEMO_MAILBOXES, DRIP_EVERY, DRIPS, deliver_one, write_demo
from ingest.demo.server import DemoServer
from ingest.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PASSWORD = "only-for-the-demonstration"  # noqa: S105 - guards made-up mail on loopback

_CONFIG = """\
# Written by the demonstration at each start. Copy it, then change the copy:
#
#     cp {folder}/mailhaul.yaml my.yaml
#     mailhaul check --config my.yaml      # tries every part and prints what is wrong
#     mailhaul up --config my.yaml         # runs the service
#
# examples/full.yaml shows every option.

# Or s3://bucket/prefix
store: {store}
ledger: {{embedded: ledger}}              # or redis://host:6379/0
sinks:
  - {{type: jsonl, path: events.jsonl}}   # or {{type: webhook, url: https://..., secret: env:HOOK_SECRET}}
defaults:
  interval: 2s                          # 60s is usual
  policy: keep                          # or delete, or {{delete_after: 30d}}
  tls: none                             # only for this server on loopback: implicit is usual
mailboxes:
{mailboxes}"""

_MAILBOX = """\
  - id: {user}
    host: 127.0.0.1
    port: {port}
    auth: {{type: password, username: {user}, password: "file:password"}}
"""


@dataclass
class Demonstration:
    """The running server; `config` is the file to use, and `tick` delivers a mail now and then."""

    folder: Path
    config: Path
    _count: int = 0
    _next: float = field(default_factory=lambda: time.monotonic() + DRIP_EVERY)

    def tick(self) -> None:
        """Deliver one more mail if it is time."""
        if time.monotonic() < self._next or self._count >= DRIPS:
            return
        with suppress(OSError):  # the disk is full; the next mail may find room
            deliver_one(self.folder / "maildrops", self._count, datetime.now(UTC))
        self._count += 1
        self._next = time.monotonic() + DRIP_EVERY


@contextmanager
def demonstration(folder: Path) -> Iterator[Demonstration]:
    """Run the demonstration's server, and write its configuration.

    Raises:
        StartError: the folder is not writable.
    """
    folder = folder.resolve()
    try:
        write_demo(folder / "maildrops", datetime.now(UTC))
        (folder / "password").write_text(_PASSWORD + "\n")
    except OSError as error:
        raise StartError(
            f"the demonstration cannot write to {folder} ({error.strerror}); name another folder: --folder DIR"
        ) from error
    passwords = {mailbox.user: _PASSWORD for mailbox in DEMO_MAILBOXES}
    with DemoServer(folder / "maildrops", passwords) as server:
        config = folder / "mailhaul.yaml"
        mailboxes = "".join(_MAILBOX.format(user=mailbox.user, port=server.port) for mailbox in DEMO_MAILBOXES)
        config.write_text(_CONFIG.format(folder=folder, store=(folder / "store").as_uri(), mailboxes=mailboxes))
        yield Demonstration(folder, config)
