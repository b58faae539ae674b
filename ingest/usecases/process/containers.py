"""Extract files from attachments that are containers, within limits, and recognise e-invoices.

A container is read from its spool, before it is stored. It is stored in any case: an error while reading it only
affects what is extracted from it, and is reported as a defect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from structlog import get_logger

from ingest.containers.archive import ZIP, ArchiveLock, read_zip
from ingest.containers.cms import HEAD_BYTES, kind_of, read_signed
from ingest.containers.gz import GZIP, read_gzip
from ingest.containers.limits import ContainerLimits
from ingest.containers.outlook import MESSAGE_HEAD_BYTES, OLE, OUTLOOK_MESSAGE, MessageFiles, is_message_file
from ingest.containers.passwords import Passwords
from ingest.containers.pdf import PdfFiles, PdfScan
from ingest.containers.tnef import TNEF, read_tnef
from ingest.invoices.recognise import MAX_BYTES as INVOICE_BYTES
from ingest.invoices.recognise import recognise
from ingest.mime import MimeLimits, parse
from ingest.mime.defects import Defect, codes
from ingest.mime.detect import DETECT_BYTES, PGP_MESSAGE
from ingest.mime.events import MessageEnded, PartBegun, PartData
from ingest.usecases.process.budget import BudgetExceededError, ContainerBudget, ExtractionBudget
from ingest.usecases.process.parts import Part, PartCollector
from ingest.usecases.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Literal

    from ingest.containers.stream import FileEnd, FileEvent
    from ingest.domain.manifest import BodyKind

_T = TypeVar("_T")

log = get_logger()

_CHUNK_BYTES = 65_536
_ALL_INVOICE_BYTES = 64 * 2**20  # of one message that are read as invoices; two seconds of CPU or more
_CMS_TYPE = "application/pkcs7-mime"
_SIGNATURE_TYPE = "application/pkcs7-signature"
_MESSAGE_TYPE = "message/rfc822"
# The header of a signed entity (RFC 8551 section 3.1) has one of these fields; other texts with colons do not.
_ENTITY = re.compile(
    rb"(?i)(?>[!-9;-~]{1,77}:[^\r\n]*\r?\n(?>[ \t][^\r\n]*\r?\n)*)*?(?:content-[a-z-]{1,40}|mime-version):"
)
# `invoice.xml.p7m` is the signed file `invoice.xml`; `smime.p7m` tells nothing about its content.
_SIGNED_NAME = re.compile(r"(.*\.[^.\s/\\]{1,10})\.(?:p7m|pk7|p7e)", re.IGNORECASE | re.DOTALL)
# The exceptions by which a bug in a reader shows. Listed one by one, so that nothing else is caught: neither an error
# of the spool or the guard, nor the interrupt of a worker that exceeded its time limit.
_BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def _guarded(part: Part, message: str, read: Callable[[], _T]) -> _T | None:
    """Read a part, and turn what goes wrong into a defect of that part."""
    try:
        return read()
    except BudgetExceededError:
        part.add_defect(Defect.CONTAINER_LIMIT.value)
    except MemoryError:
        part.add_defect(Defect.CONTAINER_STOPPED.value)
    except _BUGS:
        log.exception("container.bug", message=message)
        part.add_defect(Defect.CONTAINER_BROKEN.value)
    return None


@dataclass
class OpenContainer:
    """A container that is being read.

    Attributes:
        part: the container.
        carrier: what kind of container it is, if it may carry an invoice.
        deferred: whether it is a signed message. Its texts become the bodies of a message that has none of its own,
            so it is read only when all of the message has been parsed.
    """

    part: Part
    _files: Generator[Part]
    _message: str
    carrier: Literal["pdf", "p7m"] | None = None
    deferred: bool = False

    def next(self) -> Part | None:
        """Return the next file in it, complete; None at the end.

        Raises:
            SpoolError: there is no room for it.
            GuardError: no process can be started to read the container.
        """
        return _guarded(self.part, self._message, lambda: next(self._files, None))

    def note_invoice(self, file: Part) -> None:
        """Mark the container as the carrier of an invoice if this file of it is one."""
        invoice, known = file.invoice, self.part.invoice
        if self.carrier is None or invoice is None or file.head.role != "embedded":
            return
        if known is None or (known.confidence == "likely" and invoice.confidence == "certain"):
            self.part.invoice = invoice.model_copy(update={"carrier": self.carrier})

    def close(self) -> None:
        """Stop reading, and release its bytes."""
        self._files.close()
        self.part.spool.close()


@dataclass
class Containers:
    """Opens the containers of one message.

    Args:
        message: the message key.
        limits: how much is extracted.
        mime: how much is parsed of a signed message.
        bodies: the kinds of body that the message has; grows while the message is parsed.
        invoice_fields: whether the fields of e-invoices are reported.
        passwords: tried on encrypted containers.
    """

    message: str
    limits: ContainerLimits = field(default_factory=ContainerLimits)
    mime: MimeLimits = field(default_factory=MimeLimits)
    bodies: set[BodyKind] = field(default_factory=set)
    invoice_fields: bool = True
    passwords: Passwords = field(default_factory=Passwords, repr=False)

    def __post_init__(self) -> None:
        self._invoice_bytes = _ALL_INVOICE_BYTES
        self._extracted = ExtractionBudget(self.limits)
        self._parents: set[str] = set()

    def open(self, part: Part) -> OpenContainer | None:
        """Find out whether a part, whose type was detected, is an invoice, and whether it is a container.

        Returns:
            The container; None if the part is none, or is not opened because of a limit.

        Raises:
            SpoolError: its bytes cannot be read.
        """
        self._parents.add(part.head.path.rpartition(".")[0])
        return None if part.is_body else _guarded(part, self.message, lambda: self._open(part))

    def _open(self, part: Part) -> OpenContainer | None:
        self._recognise_invoice(part)
        # The parser has found parts in it already, and the paths of other parts would be the same.
        if part.head.path in self._parents:
            return None
        if part.detected in (TNEF, ZIP, GZIP):
            return self._open_container(part, self._archive(part))
        if part.detected == "application/pdf":
            return self._pdf(part)
        if part.detected == _MESSAGE_TYPE and part.head.role != "message":
            return self._nested_message(part)
        if part.detected == OLE and is_message_file(part.spool.head(MESSAGE_HEAD_BYTES), part.head.filename):
            return self._open_container(part, lambda budget: self._message_files(part, budget))
        if part.detected == PGP_MESSAGE and part.head.role == "attachment":
            part.head = part.head._replace(role="encrypted")
        return self._cms(part)

    def _recognise_invoice(self, part: Part) -> None:
        left = min(INVOICE_BYTES, max(_CHUNK_BYTES, self._invoice_bytes))
        found = recognise(_chunks(part.spool), part.head.filename or "", fields=self.invoice_fields, max_bytes=left)
        self._invoice_bytes -= max(0, found.size - _CHUNK_BYTES)  # the first chunk of every file is read
        part.invoice = found.invoice
        part.defects += codes([found.defect] if found.defect is not None else [])

    def _open_container(
        self,
        part: Part,
        read: Callable[[ContainerBudget], Generator[Part]],
        carrier: Literal["pdf", "p7m"] | None = None,
    ) -> OpenContainer | None:
        if part.level >= self.limits.depth:
            part.add_defect(Defect.CONTAINER_LIMIT.value)
            return None
        return OpenContainer(part, read(ContainerBudget(self._extracted, part.spool.size)), self.message, carrier)

    def _cms(self, part: Part) -> OpenContainer | None:
        """Open signed or compressed data, in whatever encoding and under whatever name it comes."""
        if part.head.role == "signature" or part.detected == _SIGNATURE_TYPE:
            return None
        kind = kind_of(part.spool.head(HEAD_BYTES))
        if kind is None:
            return None
        part.detected = _CMS_TYPE
        if kind == "encrypted":
            part.head = part.head._replace(role="encrypted")
            return None
        if not _is_message(part):
            return self._open_container(
                part, lambda budget: _files(part, read_signed, budget, _signed_name(part)), "p7m"
            )
        opened = self._open_container(part, lambda budget: self._message(part, budget))
        if opened is not None:
            opened.deferred = True
            self._extracted.messages += 1
            if self._extracted.messages > self.limits.messages:
                part.add_defect(Defect.CONTAINER_LIMIT.value)
                return None
        return opened

    def _nested_message(self, part: Part) -> OpenContainer | None:
        """Open a message that was attached as a file."""
        opened = self._open_container(
            part, lambda budget: self._parts(part, _chunks(part.spool), budget, nested=True)
        )
        if opened is not None:
            part.head = part.head._replace(role="message")
        return opened

    def _message(self, part: Part, budget: ContainerBudget) -> Generator[Part]:
        """Yield the parts of a signed message as if they were parts of the message (RFC 8551 section 3.1)."""
        defects: set[Defect] = set()
        content = (piece for piece in read_signed(_chunks(part.spool), defects) if isinstance(piece, bytes))
        try:
            yield from self._parts(part, content, budget)
        finally:
            part.defects += codes(defects)

    def _parts(
        self, part: Part, content: Iterable[bytes], budget: ContainerBudget, *, nested: bool = False
    ) -> Generator[Part]:
        path, own = part.head.path, part.own and not nested
        bodies: Iterable[BodyKind] = self.bodies if own else ("text", "html")
        collector = PartCollector(part.level + 1, path, own=own)
        try:
            for event in parse(content, self.mime, parent=path, bodies=frozenset(bodies), nested=nested):
                if isinstance(event, PartBegun):
                    budget.count_file()
                elif isinstance(event, PartData):
                    budget.count_bytes(len(event.data))
                elif isinstance(event, MessageEnded):
                    part.defects += [code for code in event.defects if code not in part.defects]
                    part.is_partial = part.is_partial or event.status == "partial"
                if (whole := collector.feed(event)) is not None:
                    yield whole
        finally:
            collector.close()

    def _pdf(self, part: Part) -> OpenContainer | None:
        scan = PdfScan()
        for chunk in _chunks(part.spool):
            scan.feed(chunk)
        part.encrypted = scan.encrypted
        if not scan.holds_files and not (scan.encrypted and self.passwords):
            return None
        return self._open_container(part, lambda budget: self._pdf_files(part, scan, budget), "pdf")

    def _pdf_files(self, part: Part, scan: PdfScan, budget: ContainerBudget) -> Generator[Part]:
        size, seconds = self._left_for_guarded()
        if seconds <= 0:
            part.add_defect(Defect.CONTAINER_STOPPED.value)
            return
        found = PdfFiles(
            part.spool.descriptor(),
            scan,
            self.limits,
            max_bytes=size,
            seconds=seconds,
            passwords=self.passwords,
            name=part.head.filename,
        )
        try:
            yield from _as_parts(part, found, budget)
        finally:
            self._extracted.waited += found.waited
            part.encrypted, part.unlocked = found.encrypted, found.unlocked
            part.defects += codes(found.defects)

    def _archive(self, part: Part) -> Callable[[ContainerBudget], Generator[Part]]:
        """Return what reads an archive."""
        if part.detected == TNEF:
            return lambda budget: _files(part, read_tnef, budget)
        if part.detected == GZIP:
            return lambda budget: _files(part, read_gzip, budget, _packed_name(part))
        return lambda budget: _zip_files(part, budget, self.passwords)

    def _message_files(self, part: Part, budget: ContainerBudget) -> Generator[Part]:
        part.head = part.head._replace(role="message")
        part.detected = OUTLOOK_MESSAGE
        size, seconds = self._left_for_guarded()
        if seconds <= 0:
            part.add_defect(Defect.CONTAINER_STOPPED.value)
            return
        found = MessageFiles(part.spool.descriptor(), self.limits, max_bytes=size, seconds=seconds)
        try:
            yield from _as_parts(part, found, budget)
        finally:
            self._extracted.waited += found.waited
            part.defects += codes(found.defects)

    def _left_for_guarded(self) -> tuple[int, float]:
        """Bytes and seconds that guarded processes may still take for this message."""
        extracted, limits = self._extracted, self.limits
        size = limits.max_bytes - extracted.size
        if size <= 0 or extracted.files >= limits.all_children:
            raise BudgetExceededError
        return size, limits.seconds - extracted.waited


def _files(
    part: Part,
    read: Callable[[Iterable[bytes], set[Defect]], Iterator[FileEvent]],
    budget: ContainerBudget,
    filename: str | None = None,
) -> Generator[Part]:
    defects: set[Defect] = set()
    try:
        yield from _as_parts(part, read(_chunks(part.spool), defects), budget, filename)
    finally:
        part.defects += codes(defects)


def _zip_files(part: Part, budget: ContainerBudget, passwords: Passwords) -> Generator[Part]:
    defects, lock = set[Defect](), ArchiveLock(passwords)
    try:
        yield from _as_parts(part, read_zip(part.spool.reader(), defects, lock), budget)
    finally:
        part.defects += codes(defects)
        part.encrypted, part.unlocked = lock.is_locked, lock.is_opened


def _as_parts(
    part: Part, events: Iterable[FileEvent], budget: ContainerBudget, filename: str | None = None
) -> Generator[Part]:
    """Yield the files that a reader finds as parts below `part`; files without a name get `filename`."""
    spool: Spool | None = None
    try:
        for event in events:
            spool = spool or Spool()
            if isinstance(event, bytes):
                budget.count_bytes(len(event))
                spool.write(event)
                continue
            path = f"{part.head.path}.{budget.count_file()}"
            if event.body is not None and not part.own:  # a nested message keeps its text
                spool.close()
                spool = None
                continue
            whole = _complete(part, path, spool, event, filename)
            spool = None
            yield whole
    finally:
        if spool is not None:
            spool.close()


def _complete(part: Part, path: str, spool: Spool, event: FileEnd, filename: str | None) -> Part:
    """Return the part of a file in `part`, or of its text."""
    if event.body is not None:
        text = PartBegun(path, part.head.path, event.body, event.declared_type, event.charset)
        return Part(text, spool, part.level + 1, own=part.own, is_fallback=True)
    about = event.declared_type, None, event.filename or filename, None, event.content_id, event.location
    whole = Part(PartBegun(path, part.head.path, "embedded", *about), spool, part.level + 1)
    whole.defects += codes(event.defects)
    return whole


def _chunks(spool: Spool) -> Iterator[bytes]:
    reader = spool.reader()
    while chunk := reader.read(_CHUNK_BYTES):
        yield chunk


def _is_message(part: Part) -> bool:
    """Whether the signed content is a MIME entity, and not a file."""
    if _signed_name(part) is not None:
        return False
    start = b""
    for piece in read_signed(_chunks(part.spool), set()):
        if not isinstance(piece, bytes) or len(start) >= DETECT_BYTES:
            break
        start += piece
    return _ENTITY.match(start[:DETECT_BYTES]) is not None


def _packed_name(part: Part) -> str | None:
    """Return the name of the file in a gzip file: its own without the extension."""
    name = part.head.filename or ""
    return name[:-3] if name.lower().endswith(".gz") else None


def _signed_name(part: Part) -> str | None:
    match = _SIGNED_NAME.fullmatch(part.head.filename or "")
    return match[1] if match is not None else None
