"""Read the statements in the store."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ingest.domain.merkle import MerkleTree
from ingest.domain.statement import Entry, Link, Statement
from ingest.errors import StoreCorruptError
from ingest.usecases.spool import CHUNK_BYTES, Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.keys import Layout
    from ingest.ports.store import Store

_STATEMENT = re.compile(r"(?P<mailbox>[^/]+)/(?P<day>\d{4}/\d\d/\d\d)\.json")


class DamagedStatementError(StoreCorruptError):
    """A statement or its entries are not what was written; the text says what is wrong."""

    code = "statement_damaged"


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """A statement as it is in the store.

    Attributes:
        data: all its bytes.
    """

    statement: Statement
    data: bytes

    @property
    def link(self) -> Link:
        """What the next statement has as `previous`."""
        return Link(day=self.statement.day, sha256=hashlib.sha256(self.data).hexdigest())


@dataclass(frozen=True, slots=True)
class StatementArchive:
    """Finds and reads statements. Every method raises `StoreError` if the store is unavailable."""

    store: Store
    layout: Layout

    def days(self, mailbox: str) -> list[date]:
        """Return the days about which a mailbox has statements, the first one first."""
        return self._found(mailbox).get(mailbox, [])

    def mailboxes(self) -> list[str]:
        """Return the ids of all mailboxes that have statements, also of those that are not configured any more."""
        return sorted(self._found())

    def _found(self, mailbox: str = "") -> dict[str, list[date]]:
        found: dict[str, list[date]] = {}
        start = len(self.layout.statements())
        for stored in self.store.stored(self.layout.statements(mailbox)):
            if (match := _STATEMENT.fullmatch(stored.key, start)) and (day := _day(match["day"])):
                found.setdefault(match["mailbox"], []).append(day)
        return found

    def load(self, mailbox: str, day: date) -> StoredStatement:
        """Return the statement about a day.

        Raises:
            DamagedStatementError: it cannot be read.
            ObjectMissingError: there is none.
        """
        with self.store.open(self.layout.statement(mailbox, day)) as body:
            data = body.read()
        try:
            return StoredStatement(Statement.model_validate_json(data), data)
        except ValidationError:
            raise DamagedStatementError(f"the statement of {mailbox} about {day} cannot be read") from None

    def entries(self, statement: Statement) -> Iterator[Entry]:
        """Yield the entries of a statement, ordered by folder.

        They are copied into a temporary file before: whoever reads them may take longer than a connection lasts.

        Raises:
            DamagedStatementError: they are not those that the statement is about; the order is known at the end only.
            ObjectMissingError: they are not there.
            SpoolError: there is no room for them.
        """
        expected = statement.entries
        about = f"the entries of the statement of {statement.mailbox} about {statement.day}"
        if not expected.count:
            if statement.merkle_root != MerkleTree().root:
                raise DamagedStatementError(f"{about} are not those that it was written with")
            return
        spool = Spool()
        try:
            key = self.layout.statement_entries(statement.mailbox, statement.day, expected.sha256)
            with self.store.open(key) as body:
                while chunk := body.read(CHUNK_BYTES):
                    spool.write(chunk)
            count, root = _measured(spool)
            if (count, spool.sha256, root) != (expected.count, expected.sha256, statement.merkle_root):
                raise DamagedStatementError(f"{about} are not those that it was written with")
            last = ""
            for line in spool.reader():
                entry = _entry(line, about)
                if entry.folder <= last:
                    raise DamagedStatementError(f"{about} are out of order")
                last = entry.folder
                yield entry
        finally:
            spool.close()


def _measured(spool: Spool) -> tuple[int, str]:
    """Return the number of lines, and their Merkle root."""
    tree, count = MerkleTree(), 0
    for line in spool.reader():
        tree.add(line.removesuffix(b"\n"))
        count += 1
    return count, tree.root


def _entry(line: bytes, about: str) -> Entry:
    try:
        return Entry.model_validate_json(line)
    except ValidationError:
        raise DamagedStatementError(f"{about} cannot be read") from None


def _day(text: str) -> date | None:
    try:
        return date(*map(int, text.split("/")))
    except ValueError:
        return None
