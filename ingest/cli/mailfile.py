"""Process mail in files exactly as the service does, into a temporary store."""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.memory import MemoryStore
from ingest.domain import keys
from ingest.domain.message import OpenMessage
from ingest.metrics import Metrics
from ingest.mime import received_at
from ingest.mime.fields import split_fields
from ingest.mime.limits import MimeLimits
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
# A file without any of these fields holds no mail.
_USUAL_FIELDS = frozenset(
    (
        *(b"bcc", b"cc", b"content-type", b"date", b"delivered-to", b"dkim-signature", b"from", b"message-id"),
        *(b"mime-version", b"received", b"reply-to", b"return-path", b"sender", b"subject", b"to"),
    )
)


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
        yield ParsedMail(processor.process(_stored(spool, store)), store)


def _fill(spool: Spool, raw: BinaryIO) -> None:
    while chunk := raw.read(CHUNK_BYTES):
        spool.write(chunk)


def _require_mail(spool: Spool) -> None:
    if not spool.size:
        raise NoMailError("is empty")
    header = spool.head().partition(b"\r\n\r\n")[0].partition(b"\n\n")[0]
    if not split_fields(header, MimeLimits(), set()).has_any(_USUAL_FIELDS):
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
