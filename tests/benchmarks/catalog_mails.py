"""Any number of messages for the benchmark of the catalog, made from the mails of the demonstration as they are read.

The demonstration's mails are processed once. Their manifests are the moulds: mailbox, time, key, number of the
invoice, amount, company and a word of the subject change from message to message, and nothing is kept.
"""

from __future__ import annotations

import io
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ingest.adapters.stores.memory import MemoryStore
from ingest.domain import keys
from ingest.ports.store import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

MAILBOXES = 20
# Every so many message is of the mailbox that gets little mail.
RARE = 5_000
FIRST = 1_700_000_000
# Seconds between two messages.
PAUSE = 100
COMPANIES, SUBJECTS = 5_000, 20_000
_NUMBER = re.compile(r"20\d\d-\d{6}")
_MARK = re.compile(r"@(KEY|BOX|AT|NUMBER|GROSS|COMPANY|WORD)@")
_LETTERS = "bcdfghklmnprstvwzaeiouy"


def mould(manifest: bytes, number: int) -> list[str]:
    """Return a manifest in pieces: every other one is the name of what is filled in."""
    found = json.loads(manifest)
    key = found["message_key"]
    found["mailbox"] = {**found["mailbox"], "id": "@BOX@", "labels": {"tenant": "tenant-@BOX@"}}
    found["received_at"] = "@AT@"
    found["labels"] = ["urgent"] if number % 10 == 0 else []
    found["parse"]["status"] = "partial" if number % 100 == 1 else found["parse"]["status"]
    headers = found["headers"]
    headers["subject"] = f"{headers['subject']} @WORD@"
    headers["from"] = [{"name": "@COMPANY@ GmbH", "address": "billing@@COMPANY@.example"}]
    for attachment in found["attachments"]:
        fields = (attachment["invoice"] or {}).get("fields")
        if fields:
            fields["gross"], fields["payable"] = "@GROSS@", "@GROSS@"
            fields["seller"]["name"] = "@COMPANY@ GmbH"
    return _MARK.split(_NUMBER.sub("@NUMBER@", json.dumps(found).replace(key, "@KEY@")))


def word(number: int) -> str:
    """Return the word with a number, of six letters at least."""
    found = ""
    while number or len(found) < 6:
        number, letter = divmod(number, len(_LETTERS))
        found += _LETTERS[letter]
    return found


def uneven(number: int, most: int) -> int:
    """Return a number below `most`, small ones much more often, as words of a language are used."""
    draw = int.from_bytes(blake2b(number.to_bytes(8), digest_size=4).digest()) / 2**32
    return int(most**draw) - 1


@dataclass
class SyntheticStore(MemoryStore):
    """A store that holds the manifests of `count` messages, of which none exists until it is read.

    Attributes:
        moulds: what the manifests are made from.
        count: of messages.
    """

    moulds: Sequence[list[str]] = ()
    count: int = 0

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Yield the manifests in the order of mailboxes, then of days, as a listing does."""
        for box in range(MAILBOXES + 1):
            for number in self._of_mailbox(box):
                yield Stored(f"{self._folder(number)}/{keys.MANIFEST}", 0.0, 3_000)

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        """Read a manifest."""
        yield io.BytesIO(self.manifest(int(key.rpartition("/")[0][-8:], 16)))

    def manifest(self, number: int) -> bytes:
        """Return the manifest of a message."""
        # Without the number of the mailbox: each gets mail of every kind.
        pieces = list(self.moulds[number // MAILBOXES % len(self.moulds)])
        values: dict[str, Any] = {
            "KEY": message_key(number),
            "BOX": mailbox(number),
            "AT": received(number),
            "NUMBER": invoice_number(number),
            "GROSS": f"{uneven(number, 10_000_000) / 100:.2f}",
            "COMPANY": company(number),
            "WORD": word(uneven(number * 7 + 1, SUBJECTS)),
        }
        for place in range(1, len(pieces), 2):
            pieces[place] = values[pieces[place]]
        return "".join(pieces).encode()

    def _of_mailbox(self, box: int) -> Iterator[int]:
        rare = range(0, self.count, RARE)
        if box == MAILBOXES:
            return iter(rare)
        return (number for number in range(box, self.count, MAILBOXES) if number % RARE)

    def _folder(self, number: int) -> str:
        return f"mail/{mailbox(number)}/2026/01/01/{message_key(number)}"


def message_key(number: int) -> str:
    """Return the key of a message: its first digits are random, as those of a digest are."""
    return blake2b(number.to_bytes(8), digest_size=12).hexdigest() + f"{number:08x}"


def mailbox(number: int) -> str:
    """Return the mailbox of a message."""
    return "mailbox-rare" if number % RARE == 0 else f"mailbox-{number % MAILBOXES}"


def company(number: int) -> str:
    """Return who sent a message."""
    return word(uneven(number * 3 + 2, COMPANIES) + 1_000_000)


def invoice_number(number: int) -> str:
    """Return the number that a message is about."""
    return f"2026-{number:07d}"


def received(number: int) -> str:
    """Return when a message was received."""
    return datetime.fromtimestamp(FIRST + number * PAUSE, UTC).isoformat()
