"""Mail in files: process it exactly as the service does, and write its attachments to a folder."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.memory import MemoryStore
from ingest.cli.common import write_new
from ingest.domain import keys
from ingest.domain.message import OpenMessage
from ingest.mailfiles.recognise import is_mail
from ingest.metrics import Metrics
from ingest.mime import received_at
from ingest.usecases.process.processor import Processor
from ingest.usecases.spool import CHUNK_BYTES, Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.manifest import Manifest
    from ingest.ports.store import Store
    from ingest.usecases.process.authentication import Authenticator

STANDARD_INPUT = Path("-")
# The mailbox id in the message key of a file.
_MAILBOX = "file"
# A larger message, whose attachments may be as large again, goes through a folder.
_MEMORY_BYTES = 32 * 2**20


class NoMailError(Exception):
    """The file holds no mail; the text says why."""


@dataclass(frozen=True, slots=True)
class ParsedMail:
    """A manifest, and the store with the objects that it names."""

    manifest: Manifest
    store: Store


@contextmanager
def parsed(file: Path, authenticator: Authenticator) -> Iterator[ParsedMail]:
    """Process one file; the objects in its manifest can be read inside the `with` block.

    Args:
        file: mail as it travels; `-` is standard input.
        authenticator: finds out what is known about its authenticity.

    Raises:
        NoMailError: the file holds no mail.
        OSError: the file cannot be read.
        StoreError, SpoolError: there is no room for its parts.
        GuardError: no process can be started to look into an attachment.
    """
    with ExitStack() as stack:
        spool = Spool(keys.message_hasher(_MAILBOX))
        stack.callback(spool.close)
        raw = sys.stdin.buffer if file == STANDARD_INPUT else stack.enter_context(file.open("rb"))
        _fill(spool, raw)
        _require_mail(spool)
        store: Store = MemoryStore("")
        if spool.size > _MEMORY_BYTES:
            store = FolderStore(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailhaul-"))).resolve())
        uploads = stack.enter_context(ThreadPoolExecutor(4))
        processor = Processor(store, Metrics(), uploads, authenticator=authenticator)
        yield ParsedMail(processor.process(_stored(spool, store)).manifest, store)


def _fill(spool: Spool, raw: BinaryIO) -> None:
    while chunk := raw.read(CHUNK_BYTES):
        spool.write(chunk)


def _require_mail(spool: Spool) -> None:
    if not spool.size:
        raise NoMailError("is empty")
    if not is_mail(spool.head()):
        raise NoMailError("holds no mail: it does not begin with fields such as From, Date or Subject")


def _stored(spool: Spool, store: Store) -> OpenMessage:
    folder = f"{_MAILBOX}/{spool.key}"
    source = store.put(
        f"{folder}/{keys.RAW}",
        spool.reader(),
        size=spool.size,
        sha256=spool.sha256,
        content_type="message/rfc822",
    )
    return OpenMessage(
        key=spool.key,
        mailbox=_MAILBOX,
        unique_id="",
        folder=folder,
        source=source,
        first_seen=datetime.now(UTC),
        received_at=received_at(spool.head()),
    )


@dataclass(frozen=True, slots=True)
class Written:
    """The result for one attachment; `refusal` is why it was not written, None if it was."""

    path: Path
    refusal: str | None = None


@dataclass
class Extraction:
    """Writes the attachments of messages below `folder`.

    Args:
        folder: created if missing.
        apart: whether each message gets its own subfolder, named like its file.
    """

    folder: Path
    apart: bool
    _taken: set[str] = field(default_factory=set)

    def write(self, file: Path, mail: ParsedMail) -> list[Written]:
        """Write the attachments of one message: each under its part's path and its safe name, as in a store.

        Raises:
            OSError: the folder is not writable.
            StoreError: an attachment cannot be read.
        """
        folder = self.folder / self._name(file) if self.apart else self.folder
        written = []
        for attachment in mail.manifest.attachments:
            # Made of digits, dots and a name without separators; see `ingest.domain.keys`.
            target = folder / attachment.object.key.rpartition("/")[2]
            folder.mkdir(parents=True, exist_ok=True)
            with mail.store.open(attachment.object.key) as content:
                written.append(_write(target, content, attachment.sha256))
        return written

    def _name(self, file: Path) -> str:
        stem = file.stem if file.name != "-" else "standard-input"
        number, name = 1, stem
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name)
        return name


def _write(target: Path, content: BinaryIO, sha256: str) -> Written:
    try:
        write_new(target, content)
    except FileExistsError:
        if _is(target, sha256):
            return Written(target)
        return Written(target, "already exists with other content; left unchanged")
    return Written(target)


def _is(path: Path, sha256: str) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
