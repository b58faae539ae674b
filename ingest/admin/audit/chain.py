"""Verify a mailbox's statements: that none is missing or altered, and that what each says fits what came before."""

from __future__ import annotations

import base64
import binascii
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from ingest.admin.audit.archive import DamagedStatementError
from ingest.admin.audit.findings import Kind
from ingest.domain.statement import PROCESSED, Entry, is_canonical, signed_bytes
from ingest.errors import ObjectMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ingest.admin.audit.archive import StatementArchive, StoredStatement
    from ingest.admin.audit.findings import AuditReport
    from ingest.domain.statement import Statement
    from ingest.ports.signing import PublicKey

_ONE_DAY = timedelta(days=1)


class LatestEntries:
    """The last entry about each message, with the day of its statement; kept in a temporary file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute("create table entry (folder text primary key, day text, line blob) without rowid")

    def get(self, folder: str) -> Entry | None:
        """Return the last entry about a message."""
        row = self._database.execute("select line from entry where folder = ?", (folder,)).fetchone()
        return None if row is None else Entry.model_validate_json(row[0])

    def put(self, entry: Entry, day: date) -> None:
        """Replace the last entry about a message."""
        row = entry.folder, day.isoformat(), entry.to_line()
        self._database.execute("insert or replace into entry values (?, ?, ?)", row)

    def __iter__(self) -> Iterator[tuple[date, Entry]]:
        """Yield days and entries, ordered by folder."""
        for day, line in self._database.execute("select day, line from entry order by folder"):
            yield date.fromisoformat(day), Entry.model_validate_json(line)


@contextmanager
def latest_entries() -> Iterator[LatestEntries]:
    """Yield an empty collection, which is gone after the `with` block."""
    with closing(sqlite3.connect("", isolation_level=None, check_same_thread=False)) as database:  # a temporary file
        yield LatestEntries(database)


@dataclass(slots=True)
class Chain:
    """Verifies the statements of one mailbox, from the first to the last.

    Attributes:
        archive: reads them.
        keys: public keys by their ids; without any, signatures are not asked for.
        report: gets findings.
        latest: gets the last entry about each message.
    """

    archive: StatementArchive
    keys: Mapping[str, PublicKey]
    report: AuditReport
    latest: LatestEntries
    _before: StoredStatement | None = None
    _signed: bool = False
    _signer: str = ""

    def verify(self, expected: date | None) -> float:
        """Read every statement and its entries.

        Args:
            expected: the last day about which there has to be a statement by now; None if the mailbox is no longer
                configured.

        Returns:
            The time (seconds since 1970) up to which they go; without any, up to which they should.

        Raises:
            StoreError: the store is unavailable.
        """
        days = self.archive.days(self.report.mailbox)
        for last, day in zip([None, *days], days, strict=False):
            if last is not None and day - last > _ONE_DAY:
                self._gap(last + _ONE_DAY, day - _ONE_DAY)
            self._verify_day(day, follows=last is not None and day - last == _ONE_DAY, is_first=last is None)
        if not days:
            return 0.0 if expected is None else _end_of(expected)
        self.report.first, self.report.last = days[0], days[-1]
        if expected is not None and days[-1] < expected:
            self._gap(days[-1] + _ONE_DAY, expected)
        if self.keys and not self._signed:
            self.report.add(Kind.SIGNATURE, str(days[-1]), "no statement is signed, although keys are known")
        return _end_of(days[-1])

    def _gap(self, first: date, last: date) -> None:
        days = f"{first}" if first == last else f"{first} to {last}"
        self.report.add(Kind.MISSING, str(first), f"there is no statement about {days}")

    def _verify_day(self, day: date, *, follows: bool, is_first: bool) -> None:
        try:
            found = self.archive.load(self.report.mailbox, day)
        except DamagedStatementError as error:
            self.report.add(Kind.ALTERED, str(day), str(error))
            self._before = None
            return
        except ObjectMissingError:  # removed since it was listed
            self._gap(day, day)
            return
        self._verify_statement(found, day, follows=follows, is_first=is_first)
        self._verify_signature(found)
        self._read_entries(found.statement)
        self.report.statements += 1
        self.report.head = found.link
        self._before = found

    def _verify_statement(self, found: StoredStatement, day: date, *, follows: bool, is_first: bool) -> None:
        statement, before = found.statement, self._before
        wrong = None
        if (statement.mailbox, statement.day) != (self.report.mailbox, day):
            wrong = "it is about another mailbox or day"
        elif not is_canonical(found.data):
            wrong = "it is not in the form in which it was written"
        elif statement.until != datetime.combine(day + _ONE_DAY, time(), UTC):
            wrong = "it does not end with its day"
        elif is_first and (statement.previous or statement.since):
            self.report.add(
                Kind.MISSING,
                str(day),
                "it refers to a statement before it, which is gone",
            )
        elif follows and before is not None:
            wrong = _contradiction(statement, before)
        if wrong is not None:
            self.report.add(Kind.ALTERED, str(day), f"the statement was altered, or the one before it: {wrong}")

    def _verify_signature(self, found: StoredStatement) -> None:
        day, signature = str(found.statement.day), found.statement.signature
        if signature is None:
            if self._signed:
                self.report.add(Kind.SIGNATURE, day, "it is not signed, although earlier ones are")
            return
        self._signed = True
        if signature.key_id != self._signer and signature.key_id in self.report.signed_by:
            self.report.add(
                Kind.SIGNATURE, day, f"it is signed with the key {signature.key_id}, which another one had replaced"
            )
        self._signer = signature.key_id
        self.report.signed_by.add(signature.key_id)
        key = self.keys.get(signature.key_id)
        if key is None:
            self.report.add(
                Kind.SIGNATURE, day, f"it is signed with the key {signature.key_id}, which is not known here"
            )
            return
        try:
            value = base64.b64decode(signature.value, validate=True)
        except (binascii.Error, ValueError):
            value = b""
        if not key.verifies(value, signed_bytes(found.data)):
            self.report.add(Kind.SIGNATURE, day, "its signature is wrong")

    def _read_entries(self, statement: Statement) -> None:
        day = statement.day
        try:
            for entry in self.archive.entries(statement):
                self._add(entry, day)
        except DamagedStatementError as error:
            self.report.add(Kind.ALTERED, str(day), str(error))
        except ObjectMissingError:
            self.report.add(Kind.MISSING, str(day), "the entries of the statement are gone")

    def _add(self, entry: Entry, day: date) -> None:
        before = self.latest.get(entry.folder)
        wrong = None if before is None else _impossible(before, entry)
        if wrong is not None:
            self.report.add(Kind.ALTERED, entry.folder, f"{wrong}, as the statement about {day} shows")
        self.latest.put(entry, day)


def _end_of(day: date) -> float:
    return datetime.combine(day + _ONE_DAY, time(), UTC).timestamp()


def _contradiction(statement: Statement, before: StoredStatement) -> str | None:
    """Return what does not fit between a statement and the one of the day before."""
    if statement.previous != before.link:
        return "the hash of the one before does not fit"
    if statement.since != before.statement.until:
        return "it does not begin where the one before ends"
    if statement.store_id != before.statement.store_id:
        return "it is about another store"
    return None


def _impossible(before: Entry, after: Entry) -> str | None:
    """Return what cannot have happened to a message between two entries about it."""
    if before.state == "erased" and after.state != "erased":
        return "the message was erased, and is there again"
    if before.raw is not None and after.raw is not None and before.raw != after.raw:
        return "its raw mail was altered"
    if not before.is_settled or before.state not in PROCESSED or after.state not in PROCESSED:
        return None
    if before.manifest in (None, after.manifest) or before.manifest.sha256 in after.replaced:
        return None
    return "its manifest was altered, and not by reprocessing, which keeps the former one"
