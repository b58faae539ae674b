"""The demonstration: mailboxes with a few mails each at first and a new one at intervals, and their server.

Mails lie as `<folder>/<user>/<number>-<digest>.eml`, as `ingest.demo.server` serves them. The digest follows from the
mail, so that a number used twice is no unique-id used twice.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ingest.demo.mails import Kind, sample
from ingest.demo.server import DemoServer
from ingest.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Seconds between two mails that arrive while somebody watches, and when it is enough (after an hour): one that was
# forgotten must not fill the disk.
DRIP_EVERY = 7.0
DRIPS = 500
_FIRST_MAILS = 8
_PAUSE = timedelta(hours=3)

_HIGHEST_PORT = 65_535
_PASSWORD = "only-for-the-demonstration"  # noqa: S105 - guards made-up mail on loopback

_CONFIG = """\
# Written by the demonstration at each start. Copy it, then change the copy:
#
#     cp {copied} my.yaml
#     mailhaul check --config my.yaml      # tries every part and prints what is wrong
#     mailhaul up --config my.yaml         # runs the service
#
# examples/full.yaml shows every option.

# Or s3://bucket/prefix
store: {store}
ledger: {{embedded: {ledger}}}   # or redis://host:6379/0
sinks:
  - {{type: jsonl, path: {events}}}   # or {{type: webhook, url: https://..., secret: env:HOOK_SECRET}}
{console}defaults:
  interval: 2s                          # 60s is usual
  policy: keep                          # or delete, or {{delete_after: 30d}}
  tls: none                             # only for this server on loopback: implicit is usual
mailboxes:
{mailboxes}"""

_CONSOLE = """\
console: {port: 8480}                   # search, messages and actions in the browser, on this machine only
"""
_MAILBOX = """\
  - id: {user}
    host: 127.0.0.1
    port: {port}
    auth: {{type: password, username: {user}, password: {password}}}
"""


@dataclass(frozen=True, slots=True)
class DemoMailbox:
    """A user of the demonstration server, and the kinds of mail delivered in turn."""

    user: str
    kinds: tuple[Kind, ...]


DEMO_MAILBOXES: tuple[DemoMailbox, ...] = (
    DemoMailbox("invoices-de", (Kind.PDF_INVOICE, Kind.GERMAN, Kind.MALFORMED, Kind.XML_INVOICE, Kind.FORWARDED)),
    DemoMailbox("invoices-it", (Kind.XML_INVOICE, Kind.PDF_INVOICE, Kind.ZIP_INVOICES)),
    DemoMailbox("orders", (Kind.PLAIN, Kind.CSV_LIST, Kind.AUTO_REPLY)),
    DemoMailbox("office", (Kind.PLAIN, Kind.FORWARDED, Kind.DELIVERY_REPORT, Kind.PDF_INVOICE)),
    DemoMailbox("newsletters", (Kind.NEWSLETTER,)),
)


def write_demo(folder: Path, now: datetime) -> None:
    """Create each mailbox's first mails, unless they exist.

    Args:
        folder: one folder in it for each mailbox; made where missing.
        now: the last mails arrived then (timezone-aware), the others in the hours and days before.
    """
    for mailbox in DEMO_MAILBOXES:
        home = folder / mailbox.user
        home.mkdir(parents=True, exist_ok=True)
        for number in range(_FIRST_MAILS):
            if not any(home.glob(f"{number:06d}-*.eml")):
                _write(home, mailbox, number, now - (_FIRST_MAILS - 1 - number) * _PAUSE)


def deliver_one(folder: Path, n: int, now: datetime) -> Path:
    """Deliver one more mail to one mailbox; a reader sees the whole file or none.

    Args:
        folder: as `write_demo` left it.
        n: counts the calls; the mailboxes get mail in turn.
        now: when it arrived (timezone-aware).

    Returns:
        The file. Its number follows the highest in that mailbox, so that a restart goes on counting.
    """
    mailbox = DEMO_MAILBOXES[n % len(DEMO_MAILBOXES)]
    home = folder / mailbox.user
    last = max((int(path.name[:6]) for path in home.glob("[0-9]*-*.eml")), default=-1)
    return _write(home, mailbox, last + 1, now)


def _write(home: Path, mailbox: DemoMailbox, number: int, at: datetime) -> Path:
    raw = sample(number, mailbox.user, mailbox.kinds[number % len(mailbox.kinds)], at).raw
    digest = hashlib.sha256(raw).hexdigest()[:8]
    path = home / f"{number:06d}-{digest}.eml"
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(raw)
    unfinished.replace(path)
    return path


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
def demonstration(folder: Path, *, console: bool = False) -> Iterator[Demonstration]:
    """Run the demonstration's server, and write its configuration.

    Args:
        folder: its data.
        console: whether the console runs too.

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
    config = folder / "mailhaul.yaml"
    with _server(folder / "maildrops", passwords, _former_port(config)) as server:
        config.write_text(_CONFIG.format(**_values(folder, server.port), console=_CONSOLE if console else ""))
        yield Demonstration(folder, config)


def _former_port(config: Path) -> int:
    """Return the port of the last start, on which a copy of its configuration relies; 0 if there was none.

    At another port every mailbox would be another one, whose mail is fetched and compared once more.
    """
    with suppress(OSError, UnicodeDecodeError):
        found = re.search(r"^    port: (\d{1,5})$", config.read_text(), re.MULTILINE)
        if found and int(found[1]) <= _HIGHEST_PORT:
            return int(found[1])
    return 0


@contextmanager
def _server(folder: Path, passwords: dict[str, str], port: int) -> Iterator[DemoServer]:
    """Serve at this port, or at any other if it is taken."""
    server = DemoServer(folder, passwords, port=port)
    try:
        server.start()
    except OSError:
        server = DemoServer(folder, passwords)
        server.start()
    try:
        yield server
    finally:
        server.stop()


def _values(folder: Path, port: int) -> dict[str, str]:
    """Return what stands in the configuration. Paths are absolute, so that a copy works in any folder."""
    password = json.dumps(f"file:{folder / 'password'}")
    return {
        "copied": shlex.quote(str(folder / "mailhaul.yaml")),
        "store": (folder / "store").as_uri(),
        "ledger": json.dumps(str(folder / "ledger")),
        "events": json.dumps(str(folder / "events.jsonl")),
        "mailboxes": "".join(
            _MAILBOX.format(user=mailbox.user, port=port, password=password) for mailbox in DEMO_MAILBOXES
        ),
    }
