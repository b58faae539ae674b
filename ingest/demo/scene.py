"""The demonstration's mailboxes: a few mails each at first, then a new one at intervals.

They lie as `<folder>/<user>/<number>-<digest>.eml`, as `ingest.demo.server` serves them. The digest follows from the
mail, so that a number used twice is no unique-id used twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ingest.demo.mails import Kind, sample

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

# Seconds between two mails that arrive while somebody watches, and when it is enough (after an hour): one that was
# forgotten must not fill the disk.
DRIP_EVERY = 7.0
DRIPS = 500
_FIRST_MAILS = 8
_PAUSE = timedelta(hours=3)


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
