"""Assemble the stored parts of a message from MIME events: each is spooled, inspected, named and written."""

from __future__ import annotations

from collections import deque
from concurrent.futures import wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.domain import keys
from ingest.domain.manifest import Attachment, Body, Calendar, DerivedBody, NestedMessage, Picture
from ingest.mime.automatic import ReportParts
from ingest.mime.calendar import CALENDAR_BYTES, read_calendar
from ingest.mime.defects import Defect
from ingest.mime.detect import DETECT_BYTES, detect_type
from ingest.mime.events import MessageEnded, MimeEvent
from ingest.mime.names import display_name
from ingest.mime.pictures import PICTURE_BYTES, picture_size
from ingest.mime.reports import REPORT_BYTES
from ingest.texts.convert import Conversions
from ingest.usecases.process.bodies import ChosenBody, Texts, is_binary, kind_of_text, references, with_roles
from ingest.usecases.process.derived import Images, TextOptions, derive
from ingest.usecases.process.nested import NESTED_BYTES, read_nested
from ingest.usecases.process.parts import Part, PartCollector
from ingest.usecases.process.scanning import Scanning, Scans

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from ingest.domain.record import ObjectRef
    from ingest.ports.store import StoreWriter
    from ingest.usecases.process.containers import Containers, OpenContainer
    from ingest.usecases.spool import Spool

# Parts that are being stored hold up to a MiB of memory each; a slow store must not make them many.
_MOST_UPLOADS = 32
# Defects of containers in which something was not read, so that the message is `partial`.
_LEFT_OUT = frozenset(
    defect.value
    for defect in (
        *(Defect.CONTAINER_LIMIT, Defect.CONTAINER_STOPPED, Defect.CONTAINER_BROKEN, Defect.PDF_UNREAD),
        *(Defect.PARTS_LIMIT, Defect.DEPTH_LIMIT),
    )
)

_REPORT_TEXT_BYTES = 4096  # of a text, to recognise a bounce by
_BODIES = {"text": (keys.BODY_TEXT, "text/plain"), "html": (keys.BODY_HTML, "text/html")}
_DERIVED = {"plain": (keys.DERIVED_PLAIN, "text/plain"), "safe_html": (keys.DERIVED_SAFE_HTML, "text/html")}


@dataclass
class PartAssembler:
    """Writes the parts of one message, and the files inside of its containers, to keys below `folder` of `store`.

    Uploads run in `uploads` while parsing continues; `finish` waits for them. Parts keep the message's order.
    """

    store: StoreWriter
    folder: str
    uploads: Executor
    containers: Containers
    scans: Scans = field(default_factory=Scanning().begin)
    options: TextOptions = field(default_factory=TextOptions)
    ended: MessageEnded | None = None
    reports: ReportParts = field(default_factory=ReportParts)
    _collector: PartCollector = field(default_factory=PartCollector)
    _stack: list[OpenContainer] = field(default_factory=list)  # containers being read, each nested in the one before
    _deferred: deque[OpenContainer] = field(default_factory=deque)
    _texts: Texts = field(default_factory=Texts)
    _images: Images = field(default_factory=Images)
    _conversions: Conversions = field(default_factory=Conversions)
    _all_known: bool = False  # whether the bodies were chosen
    _others: deque[Part] = field(default_factory=deque)  # texts that are no bodies
    _only_html: bool = False
    _bodies: list[tuple[ChosenBody, Future[Body]]] = field(default_factory=list)
    _written: list[tuple[Part, Future[Attachment]]] = field(default_factory=list)

    def feed(self, event: MimeEvent) -> None:
        """Process the next event.

        Raises:
            SpoolError: there is no room for its bytes.
            GuardError: no process can be started to read an attachment.
        """
        if isinstance(event, MessageEnded):
            self.ended = event
        part = self._collector.feed(event)
        if part is not None and not self._is_text(part):
            self._add(part)
            self._read_containers()

    def finish(self) -> tuple[list[Body], list[Attachment]]:
        """Read the signed messages that were deferred, then wait until all parts are stored; returns what was stored.

        Raises:
            StoreError: a part could not be stored. Processing the message again writes the same keys.
            SpoolError, GuardError: as for `feed`.
        """
        self._read_deferred()
        chosen, others = self._texts.choose()
        self._all_known = True
        self._others.extend(others)
        referred: set[str] = set()
        for body in chosen:
            if body.kind == "html":
                referred = references(body)
            else:
                self.reports.text = body.spool.head(_REPORT_TEXT_BYTES)
        self._only_html = _only_html(chosen)
        # Without anything left to do, this thread would only wait for the last one.
        here = [] if others else chosen[-1:]
        for body in chosen[: len(chosen) - len(here)]:
            self._bodies.append((body, self._submit_body(body)))
        written_here = [self._write_body(body, only_html=self._only_html) for body in here]
        # Every text is known, so what containers among the others hold can be no body.
        self.containers.bodies |= {"text", "html"}
        while self._others:
            self._add(self._others.popleft())
            self._read_containers()
        self._read_deferred()
        attachments = [future.result() for _, future in self._written]
        bodies = [future.result() for _, future in self._bodies] + written_here
        if not attachments:
            return bodies, attachments
        self._mark_partial()
        attachments = sorted(with_roles(attachments, referred), key=lambda part: _order(part.part))
        return bodies, _with_parts(attachments)

    def abandon(self) -> None:
        """After an error: cancel uploads or wait for them, and release everything."""
        uploads: list[tuple[Part | ChosenBody, Future[Attachment] | Future[Body]]] = [*self._written, *self._bodies]
        for stored, future in uploads:
            if future.cancel():
                stored.spool.close()
            else:
                future.exception()
        for part in self._others:
            part.spool.close()
        for container in (*self._stack, *self._deferred):
            container.close()
        self._texts.close()
        self._collector.close()

    def _read_deferred(self) -> None:
        while self._deferred:
            self._stack.append(self._deferred.popleft())
            self._read_containers()

    def _read_containers(self) -> None:
        """Read depth first: a file in a container may be a container too."""
        while self._stack:
            inside = self._stack[-1].next()
            if inside is None:
                self._submit(self._stack.pop().part)
            elif not self._is_text(inside):
                self._add(inside)

    def _add(self, part: Part) -> None:
        """Add a complete part: inspect it, and open it if it is a container."""
        try:
            self._detect(part)
            container = self.containers.open(part)
        except BaseException:
            part.spool.close()
            raise
        if container is None:
            self._submit(part)
        elif container.deferred:
            self._deferred.append(container)
        else:
            self._stack.append(container)

    def _is_text(self, part: Part) -> bool:
        """Keep a text that may be a body. Binary content that passes for text becomes an attachment."""
        kind = kind_of_text(part)
        if kind is None:
            return False
        if is_binary(part):
            part.head = part.head._replace(role="attachment")
            return False
        if self._all_known:
            if part.is_body:
                part.head = part.head._replace(role="inline")
            return False
        if not self._texts.add(part, kind):
            return False
        if not part.is_fallback and not part.head.filename:  # it is a body unless another is before it
            self.containers.bodies.add(kind)
        return True

    def _detect(self, part: Part) -> None:
        head = part.head
        part.detected = detect_type(part.spool.head(DETECT_BYTES), head.declared_type, head.filename)

    def _submit(self, part: Part) -> None:
        if part.own and self.reports.wants(part.head.declared_type):
            self.reports.note(part.head.declared_type, part.spool.head(REPORT_BYTES))
        if self._stack:
            self._stack[-1].note_invoice(part)
        if self.options.safe_html:
            self._images.add(part)
        uploading = [future for _, future in self._written[-_MOST_UPLOADS:]]
        if len(uploading) == _MOST_UPLOADS:
            wait(uploading[:1])
        self._written.append((part, self.uploads.submit(self._write, part)))

    def _mark_partial(self) -> None:
        assert self.ended is not None
        if any(part.is_partial or _LEFT_OUT.intersection(part.defects) for part, _ in self._written):
            self.ended = self.ended.partial()

    def _write(self, part: Part) -> Attachment:
        try:
            return self._write_attachment(part)
        finally:
            part.spool.close()

    def _submit_body(self, body: ChosenBody) -> Future[Body]:
        return self.uploads.submit(self._write_body, body, only_html=self._only_html)

    def _write_body(self, body: ChosenBody, folder: str = "", *, only_html: bool) -> Body:
        name, content_type = _BODIES[body.kind]
        try:
            stored = self._put(f"{folder}{name}", body.spool, f"{content_type}; charset=utf-8")
            derived, defects = self._write_derived(body, folder, only_html=only_html)
        finally:
            body.spool.close()
        return Body(
            part=body.path,
            parts=[part.head.path for part in body.parts],
            kind=body.kind,
            charset=body.charset,
            object=stored,
            defects=[*body.defects, *defects],
            derived=derived,
        )

    def _write_derived(
        self, body: ChosenBody, folder: str, *, only_html: bool
    ) -> tuple[list[DerivedBody], list[str]]:
        """Store the other forms of a body; returns them, and a defect if something is missing from one."""
        written, whole = [], True
        for form in derive(body, self.options, self._images, self._conversions, only_html=only_html):
            whole = whole and form.whole
            if form.spool is None:
                continue
            name, content_type = _DERIVED[form.kind]
            try:
                stored = self._put(f"{folder}{name}", form.spool, f"{content_type}; charset=utf-8")
            finally:
                form.spool.close()
            written.append(DerivedBody(kind=form.kind, converter=form.converter, object=stored))
        return written, [] if whole else [Defect.DERIVED_LIMIT.value]

    def _write_attachment(self, part: Part) -> Attachment:
        head, spool = part.head, part.spool
        name = display_name(head.path, head.filename, part.detected)
        scan = self.scans.scan(spool)
        stored = self._put(self.scans.object_name(head.path, name.safe, scan), spool, part.detected, name.display)
        assert head.role != "text" and head.role != "html"  # noqa: PT018, PLR1714 - mypy narrows only this form
        return Attachment(
            part=head.path,
            parent=head.parent,
            filename=name.display,
            filename_original=name.original,
            role=head.role,
            disposition=head.disposition,
            content_id=head.content_id,
            declared_type=head.declared_type,
            detected_type=part.detected,
            size=spool.size,
            sha256=spool.sha256,
            object=stored,
            defects=[*part.defects, *name.defects],
            scan=scan,
            invoice=part.invoice,
            encrypted=part.encrypted,
            unlocked=part.unlocked,
            location=head.location,
            description=head.description,
            charset=head.charset if head.declared_type.startswith("text/") else None,
            calendar=_calendar(part),
            message=self._write_nested(part),
            picture=_picture(part),
        )

    def _write_nested(self, part: Part) -> NestedMessage | None:
        """Store the texts of a nested message; None for other parts, and for messages in a form of Outlook's."""
        if part.detected != "message/rfc822":
            return None
        path = part.head.path
        head = part.spool.head(NESTED_BYTES)
        headers, bodies = read_nested(head, path, self.containers.mime, whole=part.spool.size == len(head))
        only_html = _only_html(bodies)
        written = [self._write_body(body, f"nested/{path}/", only_html=only_html) for body in bodies]
        return NestedMessage(headers=headers, bodies=written)

    def _put(self, name: str, spool: Spool, content_type: str, filename: str | None = None) -> ObjectRef:
        return self.store.put(
            f"{self.folder}/{name}",
            spool.reader(),
            size=spool.size,
            sha256=spool.sha256,
            content_type=content_type,
            filename=filename,
        )


def _only_html(bodies: list[ChosenBody]) -> bool:
    return all(body.kind == "html" or body.is_blank for body in bodies)


def _picture(part: Part) -> Picture | None:
    if not part.detected.startswith("image/"):
        return None
    size = picture_size(part.spool.head(PICTURE_BYTES), part.detected)
    return None if size is None else Picture(width=size.width, height=size.height)


def _calendar(part: Part) -> Calendar | None:
    if part.detected != "text/calendar" and part.head.declared_type != "text/calendar":
        return None
    found = read_calendar(part.spool.head(CALENDAR_BYTES))
    return Calendar(method=found.method, uid=found.uid)


def _with_parts(attachments: list[Attachment]) -> list[Attachment]:
    """Tell each nested message which attachments are its own."""
    if all(attachment.message is None for attachment in attachments):
        return attachments
    inside: dict[str | None, list[str]] = {}
    for attachment in attachments:
        inside.setdefault(attachment.parent, []).append(attachment.part)
    return [
        attachment
        if attachment.message is None
        else attachment.model_copy(
            update={"message": attachment.message.model_copy(update={"parts": inside.get(attachment.part, [])})}
        )
        for attachment in attachments
    ]


def _order(path: str) -> tuple[int, ...]:
    return tuple(int(number) for number in path.split("."))
