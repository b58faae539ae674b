"""What is inside of a message's attachments: which of them are containers, and the files in those, within limits.

A container is read from where its bytes wait to be stored. It is stored in any case: whatever becomes of reading it
becomes of its content only, and is told of by a defect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from structlog import get_logger

from ingest.containers.cms import HEAD_BYTES, kind_of, read_signed
from ingest.containers.invoices import HEAD_BYTES as INVOICE_BYTES
from ingest.containers.invoices import recognise
from ingest.containers.limits import ContainerLimits
from ingest.containers.pdf import PdfFiles, PdfScan
from ingest.containers.tnef import TNEF, read_tnef
from ingest.mime import MimeLimits, parse
from ingest.mime.defects import Defect, codes
from ingest.mime.detect import DETECT_BYTES
from ingest.mime.events import MessageEnded, PartBegun, PartData
from ingest.usecases.process.budget import BudgetExceededError, ContainerBudget, ExtractionBudget
from ingest.usecases.process.parts import Part, PartCollector
from ingest.usecases.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Literal

    from ingest.containers.stream import FileEvent
    from ingest.domain.manifest import BodyKind

_T = TypeVar("_T")

log = get_logger()

_CHUNK_BYTES = 65_536
_CMS_TYPE = "application/pkcs7-mime"
_CMS_TYPES = frozenset({_CMS_TYPE, "application/x-pkcs7-mime"})
# The header of an entity that was signed (RFC 8551 section 3.1) says what its content is; other texts with colons do
# not.
_ENTITY = re.compile(
    rb"(?i)(?>[!-9;-~]{1,77}:[^\r\n]*\r?\n(?>[ \t][^\r\n]*\r?\n)*)*?(?:content-[a-z-]{1,40}|mime-version):"
)
# `invoice.xml.p7m` is a signed file of the name before; `smime.p7m` says nothing.
_SIGNED_NAME = re.compile(r"(.*\.[^.\s/\\]{1,10})\.p7m", re.IGNORECASE | re.DOTALL)
# What a bug in a reader of ours shows itself by. Named one by one, so that nothing else stops here: neither an error
# of the spool or the guard, nor the interrupt of a worker whose time is up.
_BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def _within_border(part: Part, message: str, look: Callable[[], _T]) -> _T | None:
    """Look into a part; what goes wrong there is told of at that part, and ends here."""
    try:
        return look()
    except BudgetExceededError:
        part.add(Defect.CONTAINER_LIMIT.value)
    except MemoryError:
        part.add(Defect.CONTAINER_STOPPED.value)
    except _BUGS:
        log.exception("container.bug", message=message)
        part.add(Defect.CONTAINER_BROKEN.value)
    return None


@dataclass
class Opened:
    """A container that is being read.

    Attributes:
        part: the container.
        waits: whether it is a signed message. Its texts are the bodies of a message that has none of its own; so that
            it waits until all of the message was read.
    """

    part: Part
    _files: Generator[Part]
    _message: str
    carrier: Literal["pdf", "p7m"] | None = None
    waits: bool = False

    def next(self) -> Part | None:
        """The next file in it, whole; None where there is none.

        Raises:
            SpoolError: there is no room for it.
            GuardError: no process can be started to read it.
        """
        return _within_border(self.part, self._message, lambda: next(self._files, None))

    def tell(self, inside: Part) -> None:
        """A file in it was looked at: what carries an invoice is one."""
        invoice, known = inside.invoice, self.part.invoice
        if self.carrier is None or invoice is None or inside.head.role != "embedded":
            return
        if known is None or (known.confidence == "likely" and invoice.confidence == "certain"):
            self.part.invoice = invoice.model_copy(update={"carrier": self.carrier})

    def close(self) -> None:
        """Let go of it and of what was read of it."""
        self._files.close()
        self.part.spool.close()


@dataclass
class Contents:
    """Opens the containers of one message.

    Args:
        message: its key.
        limits: how much is taken out of them.
        mime: how much is read of a signed message.
        bodies: the kinds of body that the message has; grows while it is read.
    """

    message: str
    limits: ContainerLimits = field(default_factory=ContainerLimits)
    mime: MimeLimits = field(default_factory=MimeLimits)
    bodies: set[BodyKind] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._budget = ExtractionBudget(self.limits)
        self._parents: set[str] = set()

    def open(self, part: Part) -> Opened | None:
        """Look at a part whose type was detected: whether it is an invoice, and whether it is a container.

        Returns:
            The container; None where it is none, or is not opened.

        Raises:
            SpoolError: its bytes cannot be read.
        """
        self._parents.add(part.head.path.rpartition(".")[0])
        return None if part.is_body else _within_border(part, self.message, lambda: self._look_into(part))

    def _look_into(self, part: Part) -> Opened | None:
        found = recognise(part.spool.head(INVOICE_BYTES), part.head.filename or "")
        part.invoice = found.invoice
        part.defects += codes([found.defect] if found.defect is not None else [])
        # What the parser has found parts in gets no others: their paths would be the same.
        if part.head.path in self._parents:
            return None
        if part.detected == TNEF:
            return self._opened(part, lambda share: _files(part, read_tnef, share))
        if part.detected == "application/pdf":
            return self._pdf(part)
        return self._cms(part) if _is_called_cms(part) else None

    def _opened(
        self,
        part: Part,
        read: Callable[[ContainerBudget], Generator[Part]],
        carrier: Literal["pdf", "p7m"] | None = None,
    ) -> Opened | None:
        if part.level >= self.limits.depth:
            part.add(Defect.CONTAINER_LIMIT.value)
            return None
        return Opened(part, read(ContainerBudget(self._budget, part.spool.size)), self.message, carrier)

    def _cms(self, part: Part) -> Opened | None:
        kind = kind_of(part.spool.head(HEAD_BYTES))
        if kind is None:
            return None
        part.detected = _CMS_TYPE
        if kind == "encrypted":
            part.head = part.head._replace(role="encrypted")
            return None
        if not _is_message(part):
            return self._opened(part, lambda share: _files(part, read_signed, share, _signed_name(part)), "p7m")
        opened = self._opened(part, lambda share: self._message(part, share))
        if opened is not None:
            opened.waits = True
            self._budget.messages += 1
            if self._budget.messages > self.limits.messages:
                part.add(Defect.CONTAINER_LIMIT.value)
                return None
        return opened

    def _message(self, part: Part, share: ContainerBudget) -> Generator[Part]:
        """The parts of a signed message, as if they were the message's own (RFC 8551 section 3.1)."""
        path = part.head.path
        bodies: Iterable[BodyKind] = self.bodies if part.own else ("text", "html")
        defects: set[Defect] = set()
        content = (piece for piece in read_signed(_chunks(part.spool), defects) if isinstance(piece, bytes))
        collector = PartCollector(part.level + 1, path, own=part.own)
        try:
            for event in parse(content, self.mime, parent=path, bodies=frozenset(bodies)):
                if isinstance(event, PartBegun):
                    share.take_child()
                elif isinstance(event, PartData):
                    share.take_bytes(len(event.data))
                elif isinstance(event, MessageEnded):
                    part.defects += [code for code in event.defects if code not in part.defects]
                if (whole := collector.take(event)) is not None:
                    yield whole
        finally:
            collector.close()
            part.defects += codes(defects)

    def _pdf(self, part: Part) -> Opened | None:
        scan = PdfScan()
        for chunk in _chunks(part.spool):
            scan.feed(chunk)
        part.encrypted = scan.encrypted
        if not scan.holds_files:
            return None
        return self._opened(part, lambda share: self._pdf_files(part, scan, share), "pdf")

    def _pdf_files(self, part: Part, scan: PdfScan, share: ContainerBudget) -> Generator[Part]:
        budget, limits = self._budget, self.limits
        size, seconds = limits.max_bytes - budget.size, limits.seconds - budget.waited
        if size <= 0 or budget.children >= limits.all_children:
            raise BudgetExceededError
        if seconds <= 0:
            part.add(Defect.CONTAINER_STOPPED.value)
            return
        found = PdfFiles(part.spool.descriptor(), scan, limits, max_bytes=size, seconds=seconds)
        try:
            yield from _gathered(part, found, share)
        finally:
            budget.waited += found.waited
            part.encrypted = found.encrypted
            part.defects += codes(found.defects)


def _files(
    part: Part,
    read: Callable[[Iterable[bytes], set[Defect]], Iterator[FileEvent]],
    share: ContainerBudget,
    filename: str | None = None,
) -> Generator[Part]:
    defects: set[Defect] = set()
    try:
        yield from _gathered(part, read(_chunks(part.spool), defects), share, filename)
    finally:
        part.defects += codes(defects)


def _gathered(
    part: Part, events: Iterable[FileEvent], share: ContainerBudget, filename: str | None = None
) -> Generator[Part]:
    """What a reader gives as parts below `part`; `filename` is for those that have none."""
    spool: Spool | None = None
    try:
        for event in events:
            spool = spool or Spool()
            if isinstance(event, bytes):
                share.take_bytes(len(event))
                spool.write(event)
                continue
            path = f"{part.head.path}.{share.take_child()}"
            about = event.declared_type, None, event.filename or filename, None, event.content_id
            whole = Part(PartBegun(path, part.head.path, "embedded", *about), spool, part.level + 1)
            whole.defects += codes(event.defects)
            spool = None
            yield whole
    finally:
        if spool is not None:
            spool.close()


def _chunks(spool: Spool) -> Iterator[bytes]:
    reader = spool.reader()
    while chunk := reader.read(_CHUNK_BYTES):
        yield chunk


def _is_called_cms(part: Part) -> bool:
    """CMS in base64 is text, and is a container only where it is said to be one."""
    head = part.head
    named = (head.filename or "").lower().endswith(".p7m")
    return named or part.detected == _CMS_TYPE or head.declared_type in _CMS_TYPES


def _is_message(part: Part) -> bool:
    """Whether what was signed is a MIME entity, and not a file."""
    if _signed_name(part) is not None:
        return False
    beginning = b""
    for piece in read_signed(_chunks(part.spool), set()):
        if not isinstance(piece, bytes) or len(beginning) >= DETECT_BYTES:
            break
        beginning += piece
    return _ENTITY.match(beginning[:DETECT_BYTES]) is not None


def _signed_name(part: Part) -> str | None:
    match = _SIGNED_NAME.fullmatch(part.head.filename or "")
    return match[1] if match is not None else None
