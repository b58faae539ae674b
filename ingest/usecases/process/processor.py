"""Process one open message: read raw, parse, store bodies and attachments, write the manifest, publish the event.

Every write goes to a key that follows from content, so that a second try repairs a first one that died anywhere. The
manifest is written last: that it exists proves that everything it names does.
"""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from ingest.containers.limits import ContainerLimits
from ingest.domain.manifest import Manifest, Parse
from ingest.domain.message import manifest_of
from ingest.mime import MimeLimits, parse, parse_headers
from ingest.usecases.process.assembly import Parts
from ingest.usecases.process.authentication import Authenticator
from ingest.usecases.process.containers import Contents
from ingest.usecases.process.scanning import Scanning
from ingest.usecases.spool import CHUNK_BYTES, HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

    from ingest.domain.message import OpenMessage
    from ingest.metrics import Metrics
    from ingest.mime.events import MimeEvent
    from ingest.ports.store import Store


@dataclass(frozen=True, slots=True)
class Processor:
    """Everything that processing one message needs, passed in."""

    store: Store
    metrics: Metrics
    uploads: Executor
    authenticator: Authenticator = field(default_factory=Authenticator)
    scanning: Scanning = field(default_factory=Scanning)
    limits: MimeLimits = field(default_factory=MimeLimits)
    containers: ContainerLimits = field(default_factory=ContainerLimits)

    def process(self, message: OpenMessage) -> Manifest:
        """Parse a stored message, store its parts, write its manifest.

        Raises:
            StoreError: something could not be read or written.
            SpoolError: there is no room for temporary files.
            GuardError: no process can be started to look into an attachment.
        """
        manifest = self._oversize(message) if message.kind == "oversize" else self._whole(message)
        self._write(manifest)
        for code in manifest.parse.defects:
            self.metrics.defect(code)
        for attachment in manifest.attachments:
            self.metrics.attachment(attachment.detected_type, attachment.size)
            for code in attachment.defects:
                self.metrics.defect(code)
            if attachment.scan is not None:
                self.metrics.count("scans_total", attachment.scan.status)
        return manifest

    def _whole(self, message: OpenMessage) -> Manifest:
        scans, watch = self.scanning.begin(), self.authenticator.watch(message)
        contents = Contents(message.key, self.containers, self.limits)
        parts = Parts(self.store, message.folder, self.uploads, contents, scans)
        clock = _ParseClock()
        try:
            with self.store.open(message.source.key) as raw:
                for event in clock.time(parse(clock.leave_out(watch.through(_chunks(raw))), self.limits)):
                    parts.take(event)
            bodies, attachments = parts.finish()
        except BaseException:
            parts.abandon()
            raise
        self.metrics.observe("parse_duration_seconds", clock.seconds)
        ended = parts.ended
        assert ended is not None
        return manifest_of(
            message, ended.headers, Parse(status=ended.status, defects=list(ended.defects))
        ).model_copy(
            update={
                "authentication": watch.authentication(),
                "bodies": bodies,
                "attachments": attachments,
                "attachments_total": len(attachments),
                "scan": scans.summary(attachments),
            }
        )

    def _oversize(self, message: OpenMessage) -> Manifest:
        with self.store.open(message.source.key) as top:
            head = top.read(HEAD_BYTES)
        return manifest_of(message, parse_headers(head), Parse(status="oversize")).model_copy(
            update={"authentication": self.authenticator.watch(message).of_top(head)}
        )

    def _write(self, manifest: Manifest) -> None:
        assert manifest.manifest is not None
        body = manifest.to_json()
        self.store.put(
            manifest.manifest,
            io.BytesIO(body),
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            content_type="application/json",
        )


class _ParseClock:
    """Seconds spent in the parser: what the store takes to give and take bytes is left out."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self, events: Iterator[MimeEvent]) -> Iterator[MimeEvent]:
        """The same events; the time to make each is added."""
        while True:
            started = time.perf_counter()
            event = next(events, None)
            self.seconds += time.perf_counter() - started
            if event is None:
                return
            yield event

    def leave_out(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same chunks; the time to get each is taken off, since the parser pulls them."""
        while True:
            started = time.perf_counter()
            chunk = next(chunks, None)
            self.seconds -= time.perf_counter() - started
            if chunk is None:
                return
            yield chunk


def _chunks(raw: BinaryIO) -> Iterator[bytes]:
    while chunk := raw.read(CHUNK_BYTES):
        yield chunk
