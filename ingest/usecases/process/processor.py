"""Process one open message: read raw, parse, store bodies and attachments, write the manifest, publish the event.

Every key follows from content, so that a second try repairs a first one that died anywhere. The manifest is written
last: its existence proves that every object it names exists.
"""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ingest import __version__
from ingest.containers.limits import ContainerLimits
from ingest.containers.passwords import Passwords
from ingest.domain.manifest import Manifest, Parse, manifest_of
from ingest.errors import StoreCorruptError
from ingest.mime import MimeLimits, parse_in_pieces
from ingest.mime.automatic import ReportParts
from ingest.mime.defects import Defect
from ingest.mime.envelope import read_envelope
from ingest.mime.headers import extra_fields, read_header
from ingest.usecases.handover import HandOver
from ingest.usecases.process.assembly import PartAssembler
from ingest.usecases.process.authentication import Authenticator
from ingest.usecases.process.containers import Containers
from ingest.usecases.process.derived import TextOptions
from ingest.usecases.process.documents import group_documents
from ingest.usecases.process.duplicates import content_sha256
from ingest.usecases.process.rules import with_rules
from ingest.usecases.process.scanning import Scanning
from ingest.usecases.spool import CHUNK_BYTES, HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from ingest.domain.mail import Headers
    from ingest.domain.message import OpenMessage
    from ingest.domain.record import ObjectRef
    from ingest.metrics import Metrics
    from ingest.mime.events import MessageEnded, MimeEvent
    from ingest.mime.fields import Fields
    from ingest.ports.claims import Renewal
    from ingest.ports.store import ReadWriteStore, StoreWriter
    from ingest.usecases.process.duplicates import Duplicates
    from ingest.usecases.process.rules import Rule


# What manifests name as their parser.
PARSER = f"mailhaul {__version__}"


class Written(NamedTuple):
    """A manifest, and its JSON as it was written."""

    manifest: Manifest
    content: bytes


@dataclass(frozen=True, slots=True)
class Processor:
    """Processes messages.

    Attributes:
        uploads: runs the uploads of parts; shared by all that write to the store.
        extra_fields: names of header fields that the manifest lists besides its own; see `extra_fields`.
        limits: of the MIME parser.
        containers: limits on what is extracted from attachments.
        invoice_fields: whether manifests have the fields of e-invoices.
        duplicates: finds what came before; None where nobody asks for it.
        rules: label messages and put them in quarantine, in this order.
        texts: which other forms of bodies are made.
        passwords: returns those to try on encrypted attachments, for the mailbox id and the addresses in From.
        handover: has the raw mail that was fetched in this process just now.
    """

    store: ReadWriteStore
    metrics: Metrics
    uploads: Executor
    authenticator: Authenticator = field(default_factory=Authenticator)
    scanning: Scanning = field(default_factory=Scanning)
    extra_fields: Sequence[str] = ()
    limits: MimeLimits = field(default_factory=MimeLimits)
    containers: ContainerLimits = field(default_factory=ContainerLimits)
    invoice_fields: bool = True
    duplicates: Duplicates | None = None
    rules: Sequence[Rule] = ()
    texts: TextOptions = field(default_factory=TextOptions)
    passwords: Callable[[str, Sequence[str]], Sequence[str]] | None = None
    handover: HandOver = field(default_factory=HandOver)

    def process(
        self, message: OpenMessage, confirm: Callable[[], None] = lambda: None, renewal: Renewal | None = None
    ) -> Written:
        """Parse a stored message, store its parts, write its manifest; returns the manifest.

        Args:
            message: what to process.
            confirm: called right before the manifest is written; raises if the claim on the message is lost.
            renewal: of that claim, which then takes the place of `confirm` where the ledger is asked what came
                before, since that is one round trip less.

        Raises:
            StoreError: an object could not be read or written.
            StoreCorruptError: the raw message is not the one that was stored.
            SpoolError: there is no room for temporary files.
            GuardError: no process can be started to read an attachment.
            LedgerUnavailableError: the ledger cannot say what came before.
            StaleClaimError: the claim is lost.
        """
        manifest = self.read(message)
        if self.duplicates is not None:
            manifest = self.duplicates.mark(manifest, renewal)
        manifest = with_rules(manifest, self.rules)
        if self.duplicates is None or renewal is None:
            confirm()
        content = manifest.to_json()
        assert manifest.manifest is not None
        put_json(self.store, manifest.manifest, content)
        for code in manifest.parse.defects:
            self.metrics.defect(code)
        for attachment in manifest.attachments:
            self.metrics.attachment(attachment.detected_type, attachment.size)
            for code in attachment.defects:
                self.metrics.defect(code)
            if attachment.scan is not None:
                self.metrics.count("scans_total", attachment.scan.status)
        return Written(manifest, content)

    def read(self, message: OpenMessage) -> Manifest:
        """Parse a stored message and store its parts; returns its manifest, without duplicates and rules.

        Raises:
            As `process` does.
        """
        return self._oversize(message) if message.kind == "oversize" else self._whole(message)

    def _whole(self, message: OpenMessage) -> Manifest:
        scans, check = self.scanning.begin(), self.authenticator.begin(message)
        passwords = _MessagePasswords(message.mailbox, self.passwords)
        containers = Containers(
            message.key,
            self.containers,
            self.limits,
            invoice_fields=self.invoice_fields,
            passwords=Passwords(passwords.read),
        )
        content = self.handover.take(message.source)
        with self.store.batch() as writer:
            parts = PartAssembler(writer, message.folder, self.uploads, containers, scans, self.texts)
            try:
                if content is not None:
                    self._parse(passwords.watch(check.pass_through(iter((content,)))), parts)
                else:
                    with self.store.open(message.source.key) as raw:
                        chunks = _verified_chunks(raw, message.source)
                        self._parse(passwords.watch(check.pass_through(chunks)), parts)
                bodies, attachments = parts.finish()
            except BaseException:
                parts.abandon()
                raise
        ended = parts.ended
        assert ended is not None
        fields = ended.fields
        headers = self._with_extra(ended.headers, fields)
        cut = ended.status == "partial" or message.may_be_cut
        return manifest_of(
            message,
            headers,
            _parse_result(message, ended),
            envelope=read_envelope(fields, check.trust),
            authentication=check.result(),
            automatic=parts.reports.classify(fields, headers),
            bodies=bodies,
            attachments=attachments,
            attachments_total=len(attachments),
            documents=group_documents(attachments),
            content_sha256=None if cut else content_sha256(fields, bodies, attachments),
            scan=scans.summary(attachments),
        )

    def _parse(self, chunks: Iterator[bytes], parts: PartAssembler) -> None:
        timer = _ParseTimer()
        for events in timer.time(parse_in_pieces(timer.exclude(chunks), self.limits)):
            for event in events:
                parts.feed(event)
        self.metrics.observe("parse_duration_seconds", timer.seconds)

    def _oversize(self, message: OpenMessage) -> Manifest:
        with self.store.open(message.source.key) as top:
            head = b"".join(_verified_chunks(top, message.source))[:HEAD_BYTES]
        header, check = read_header(head), self.authenticator.begin(message)
        fields = header.fields(set())
        headers = self._with_extra(header.decode(set()), fields)
        return manifest_of(
            message,
            headers,
            Parse(status="oversize", parser=PARSER),
            envelope=read_envelope(fields, check.trust),
            authentication=check.result_of_header(head),
            automatic=ReportParts().classify(fields, headers),
        )

    def _with_extra(self, headers: Headers, fields: Fields) -> Headers:
        if not self.extra_fields:
            return headers
        return headers.model_copy(update={"extra": extra_fields(fields, self.extra_fields, self.limits)})


def put_json(store: StoreWriter, key: str, body: bytes) -> ObjectRef:
    """Write a manifest or a tombstone.

    Raises:
        StoreError: it is not stored.
    """
    sha256 = hashlib.sha256(body).hexdigest()
    return store.put(key, io.BytesIO(body), size=len(body), sha256=sha256, content_type="application/json")


def _parse_result(message: OpenMessage, ended: MessageEnded) -> Parse:
    """Return how reading the message went; one that the server may have cut is never complete."""
    skipped = dict(ended.skipped)
    if not message.may_be_cut:
        return Parse(status=ended.status, defects=list(ended.defects), skipped=skipped, parser=PARSER)
    defects = sorted({*ended.defects, Defect.MAY_BE_CUT.value})
    return Parse(status="partial", defects=defects, skipped=skipped, parser=PARSER)


@dataclass
class _MessagePasswords:
    """The passwords for one message, which depend on its sender: its header is read again if they are needed."""

    _mailbox: str
    _of: Callable[[str, Sequence[str]], Sequence[str]] | None
    _head: bytes = b""

    def watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Return the same chunks, of which the first one is kept if there may be passwords."""
        return chunks if self._of is None else self._watched(chunks)

    def _watched(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if not self._head:
                self._head = chunk
            yield chunk

    def read(self) -> Sequence[str]:
        """Return the passwords to try."""
        if self._of is None:
            return ()
        headers = read_header(self._head[:HEAD_BYTES]).decode(set())
        return self._of(self._mailbox, [author.address for author in headers.from_])


class _ParseTimer:
    """Measures the seconds spent in the parser, without the time to read the raw mail from the store."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self, pieces: Iterator[list[MimeEvent]]) -> Iterator[list[MimeEvent]]:
        """Yield the same events, and add the time to produce those of each piece."""
        while True:
            started = time.perf_counter()
            events = next(pieces, None)
            self.seconds += time.perf_counter() - started
            if events is None:
                return
            yield events

    def exclude(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the same chunks, and subtract the time to read each, since the parser pulls them."""
        while True:
            started = time.perf_counter()
            chunk = next(chunks, None)
            self.seconds -= time.perf_counter() - started
            if chunk is None:
                return
            yield chunk


def _verified_chunks(raw: BinaryIO, source: ObjectRef) -> Iterator[bytes]:
    """Yield the chunks of an object, and compare size and SHA-256 at its end with what was stored.

    Raises:
        StoreCorruptError: they differ, so that nothing made from them may count as processed.
    """
    digest, size = hashlib.sha256(), 0
    while chunk := raw.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if (size, digest.hexdigest()) != (source.size, source.sha256):
        raise StoreCorruptError(
            f"the object {source.key} ({size} bytes) is no longer the one that was stored ({source.size} bytes):"
            " restore it, then retry the message"
        )
