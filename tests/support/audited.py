"""A bench that writes and verifies statements, and tampers with what is stored."""

from __future__ import annotations

import hashlib
import io
import json
import math
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ingest.adapters.signing import load_public_key, load_signer
from ingest.admin.audit.archive import StatementArchive
from ingest.admin.audit.verify import Auditor, Scope
from ingest.admin.replay import find_manifests
from ingest.domain.merkle import MerkleTree
from ingest.domain.retry import MESSAGE_TRIES
from ingest.domain.statement import canonical
from ingest.mime.names import Name, display_name
from ingest.usecases.process import assembly
from ingest.wiring import admin
from tests.support.bench import Bench, bench, mail, message_key, never
from tests.support.clock import START, Waits
from tests.support.purging import purge_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from ingest.admin.audit.findings import AuditReport
    from ingest.admin.audit.write import StatementWriter, Written
    from ingest.domain.mailbox import Mailbox
    from ingest.domain.statement import Entry, Statement
    from ingest.ports.signing import PublicKey

DAY = 86_400.0
TODAY = datetime.fromtimestamp(START, UTC).date()
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def private(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def keys_of(*keys: Ed25519PrivateKey) -> dict[str, PublicKey]:
    loaded = [load_public_key(public(key), "test") for key in keys]
    return {key.key_id: key for key in loaded}


class Audited:
    """A bench that writes and verifies statements."""

    def __init__(self, b: Bench) -> None:
        self.b = b
        self.key: Ed25519PrivateKey | None = SECRET
        self.known = keys_of(SECRET)
        b.runtime.open_signer = lambda: load_signer(private(self.key), "test") if self.key else None

    @property
    def writer(self) -> StatementWriter:
        return self.b.runtime.statements

    def fetch(self, *subjects: str, box: str = "a") -> None:
        """Messages that arrive, with a file each, are stored, processed and delivered."""
        self.b.maildrops[box].messages |= {subject.encode(): raw(subject) for subject in subjects}
        self.b.everything()

    def fail(self, subject: str) -> None:
        """A message that arrives, and fails whenever it is processed, until there is no attempt left."""
        self.b.maildrops["a"].messages |= {subject.encode(): raw(subject)}
        self.b.poll_all()
        self.b.store.fault = _break_file
        for _ in range(MESSAGE_TRIES):
            self.b.process_stage.run(never)
            self.b.clock.time += 1_800.0
        assert self.b.ledger.failed_messages()
        self.b.store.fault = None
        self.b.relay_stage.run(never)

    def next_day(self) -> None:
        """Move the clock to two hours after midnight; every event of the day is confirmed."""
        self.b.clock.time = (self.b.clock.time // DAY + 1) * DAY + 7_200.0
        assert self.b.watermark.write(list(self.b.mailboxes), list(self.b.sinks), self.b.clock.time)

    def write(self, until: date | None = None) -> list[Written]:
        return list(self.writer.write(self.b.mailboxes.values(), never, until))

    def days(self, count: int) -> None:
        """So many days, of which each has a message and a statement."""
        for number in range(count):
            self.fetch(f"day {number}")
            self.next_day()
            self.write()

    def statement(self, day: date = TODAY, box: str = "a") -> Statement:
        return self.archive.load(box, day).statement

    def entries(self, day: date = TODAY, box: str = "a") -> list[Entry]:
        return list(self.archive.entries(self.statement(day, box)))

    @property
    def archive(self) -> StatementArchive:
        return StatementArchive(self.b.store, self.b.layout)

    def verify(self, box: str = "a", **scope: Any) -> AuditReport:
        b = self.b
        auditor = Auditor(b.store, b.layout, b.mailboxes, self.known, 3_600.0, b.uploads, b.clock.now)
        return auditor.verify(box, Scope(**scope))

    def found(self, **scope: Any) -> set[tuple[str, str]]:
        """Kinds, and the ends of the places."""
        return {(str(one.kind), one.where.rpartition("/")[2]) for one in self.verify(**scope).findings}

    def purge(self, subject: str) -> None:
        purge = purge_of(self.b)
        assert purge.messages(purge.find([key(subject)]), never).error is None

    def reprocess(self) -> None:
        """Read all messages again by a version that names files otherwise, so that every manifest changes."""
        b = self.b
        work = admin.reprocess(b.runtime)
        found = find_manifests(b.store, b.layout, b.mailboxes, [], since=0, until=math.inf)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(assembly, "display_name", _renamed)
            assert work.run(found, list(b.sinks), Waits()).updated == len(found)

    def object(self, name: str, subject: str = "day 0") -> str:
        """The key of an object of a message, by a part of its name."""
        folder = f"/{key(subject)}/"
        return next(one for one in self.b.store.objects if folder in one and name in one)

    def put(self, key_: str, content: bytes) -> None:
        """Write an object as an intruder could: by the store's clock it is new."""
        digest = hashlib.sha256(content).hexdigest()
        self.b.store.put(key_, io.BytesIO(content), size=len(content), sha256=digest, content_type="text/plain")

    def content(self, key_: str) -> bytes:
        return self.b.store.objects[key_].content

    def statement_key(self, day: date = TODAY) -> str:
        return self.b.layout.statement("a", day)

    def do_not_sign(self) -> None:
        """From now on, write and accept statements without signatures."""
        self.key, self.known = None, {}

    def forge_entries(self, lines: list[bytes]) -> None:
        """Replace the entries of today's statement, and all that the statement says of them."""
        content, tree = b"".join(line + b"\n" for line in lines), MerkleTree()
        for line in lines:
            tree.add(line)
        digest = hashlib.sha256(content).hexdigest()
        self.put(self.b.layout.statement_entries("a", TODAY, digest), content)
        entries = {"count": len(lines), "size": len(content), "sha256": digest}
        self.forge(entries=entries, merkle_root=tree.root)

    def forge(self, day: date = TODAY, **changes: Any) -> None:
        """Replace fields of a statement, keeping its form."""
        stored = json.loads(self.content(self.statement_key(day)))
        self.put(self.statement_key(day), canonical({**stored, **changes}))


def raw(subject: str) -> bytes:
    return mail(subject, attachment=b"%PDF " + subject.encode())


def key(subject: str, box: str = "a") -> str:
    return message_key(box, raw(subject))


def _renamed(part: str, name: str | None, detected: str) -> Name:
    found = display_name(part, name, detected)
    return replace(found, display=f"{found.display}~", safe=f"new-{found.safe}")


def _break_file(operation: str, key_: str) -> None:
    if operation == "put" and key_.endswith("i.pdf"):
        raise ZeroDivisionError


@contextmanager
def audited(*boxes: Mailbox) -> Iterator[Audited]:
    with bench(*boxes) as b:
        yield Audited(b)
