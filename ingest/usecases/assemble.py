"""From MIME events to stored parts: bodies and attachments, each spooled, hashed, named and written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.domain import keys
from ingest.domain.manifest import Attachment, Body
from ingest.mime.detect import DETECT_OCTETS, detect_type
from ingest.mime.events import MessageEnded, MimeEvent, PartBegun, PartData, PartEnded
from ingest.mime.names import display_name
from ingest.usecases.scans import Scanning, Scans
from ingest.usecases.spool import Spool

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from ingest.domain.manifest import ObjectRef
    from ingest.ports.store import Store


@dataclass
class _OpenPart:
    head: PartBegun
    spool: Spool


@dataclass
class Parts:
    """Takes the events of one message and writes its parts below `folder`.

    Uploads run in `uploads` while parsing goes on; `finish` waits for them. Order is that of the message.
    """

    store: Store
    folder: str
    uploads: Executor
    scans: Scans = field(default_factory=Scanning().begin)
    ended: MessageEnded | None = None
    _open: dict[str, _OpenPart] = field(default_factory=dict)
    _written: list[tuple[_OpenPart, Future[Body | Attachment]]] = field(default_factory=list)

    def take(self, event: MimeEvent) -> None:
        """Take the next event."""
        match event:
            case PartBegun():
                self._open[event.path] = _OpenPart(event, Spool())
            case PartData():
                self._open[event.path].spool.write(event.data)
            case PartEnded():
                part = self._open.pop(event.path)
                future = self.uploads.submit(self._write, part, event.defects)
                self._written.append((part, future))
            case MessageEnded():
                self.ended = event

    def finish(self) -> tuple[list[Body], list[Attachment]]:
        """Wait until all parts are stored.

        Raises:
            StoreError: one of them is not; the others may be. Doing it again writes the same keys.
        """
        done = [future.result() for _, future in self._written]
        bodies = [part for part in done if isinstance(part, Body)]
        attachments = [part for part in done if isinstance(part, Attachment)]
        return bodies, sorted(attachments, key=lambda part: _order(part.part))

    def abandon(self) -> None:
        """Wait for what is under way and let go of everything; after an error."""
        for part, future in self._written:
            if future.cancel():
                part.spool.close()
            else:
                future.exception()
        for part in self._open.values():
            part.spool.close()

    def _write(self, part: _OpenPart, defects: tuple[str, ...]) -> Body | Attachment:
        try:
            if part.head.role in ("text", "html"):
                return self._write_body(part, defects)
            return self._write_attachment(part, defects)
        finally:
            part.spool.close()

    def _write_body(self, part: _OpenPart, defects: tuple[str, ...]) -> Body:
        kind, head = part.head.role, part.head
        assert kind == "text" or kind == "html"  # noqa: PLR1714 - mypy narrows only this form
        name = keys.BODY_TEXT if kind == "text" else keys.BODY_HTML
        content_type = "text/plain" if kind == "text" else "text/html"
        stored = self._put(name, part.spool, f"{content_type}; charset=utf-8")
        return Body(
            part=head.path, kind=kind, charset=head.charset or "us-ascii", object=stored, defects=list(defects)
        )

    def _write_attachment(self, part: _OpenPart, defects: tuple[str, ...]) -> Attachment:
        head, spool = part.head, part.spool
        detected = detect_type(spool.head(DETECT_OCTETS), head.declared_type, head.filename)
        name = display_name(head.path, head.filename, detected)
        scan = self.scans.scan(spool)
        stored = self._put(self.scans.object_name(head.path, name.safe, scan), spool, detected, name.display)
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
            detected_type=detected,
            size=spool.size,
            sha256=spool.sha256,
            object=stored,
            defects=[*defects, *name.defects],
            scan=scan,
        )

    def _put(self, name: str, spool: Spool, content_type: str, filename: str | None = None) -> ObjectRef:
        return self.store.put(
            f"{self.folder}/{name}",
            spool.reader(),
            size=spool.size,
            sha256=spool.sha256,
            content_type=content_type,
            filename=filename,
        )


def _order(path: str) -> tuple[int, ...]:
    return tuple(int(number) for number in path.split("."))
