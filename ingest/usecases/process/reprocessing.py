"""Read a processed message again, and update its manifest where the result is another one.

Nothing that a manifest names is ever replaced or deleted. Other bytes get a key of their own, the former manifest is
kept beside the new one, and the new manifest is written last. What has no part in reading the message is taken over:
what came before it, whether its DKIM signatures were valid, and verdicts on files that are still the same.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError
from typing_extensions import override

from ingest.domain import keys
from ingest.domain.content import REPEATED
from ingest.domain.differences import differences, objects_of
from ingest.domain.manifest import Authentication, Manifest, Update
from ingest.domain.message import OpenMessage
from ingest.domain.record import ObjectRef
from ingest.errors import MessageError, ObjectMissingError, StaleClaimError
from ingest.mime.defects import Defect
from ingest.ports.store import ReadWriteStore
from ingest.usecases.process.documents import repeated_picture
from ingest.usecases.process.processor import put_json
from ingest.usecases.process.rules import with_rules
from ingest.usecases.tombstones import read_raw_erased

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from typing_extensions import Unpack

    from ingest.domain.manifest import Document, Scan
    from ingest.domain.marks import Change
    from ingest.ports.store import NewObject, Stored, StoreReader, StoreWriter
    from ingest.usecases.process.processor import Processor

# Changes that a manifest keeps.
MOST_CHANGES = 500


class NoRawMailError(MessageError):
    """A message cannot be read again, because its raw mail is not in the store."""

    code = "no_raw_mail"


class RawErasedError(NoRawMailError):
    """Its raw mail was erased on purpose."""

    code = "raw_erased"


@dataclass(frozen=True, slots=True)
class Compared:
    """What reading a message again would change.

    Attributes:
        message: to open for the update.
        changes: nothing, if the result is the same.
    """

    message: OpenMessage
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class Reprocessor:
    """Reads messages again.

    Attributes:
        processor: as configured today.
        now: the wall clock, in UTC.
    """

    processor: Processor
    now: Callable[[], datetime]

    def compare(self, key: str) -> Compared | None:
        """Read a message again and compare; nothing is written.

        Args:
            key: of its manifest.

        Returns:
            None if there is no manifest any more, because the message was purged.

        Raises:
            NoRawMailError, RawErasedError: its raw mail is gone, or was erased on purpose.
            As `Processor.process` does.
        """
        found = self._manifest(key)
        if found is None:
            return None
        before, _ = found
        message = self._message(before, key)
        after, _ = self._read(before, message, write=False)
        return Compared(message, differences(before, after))

    def update(self, message: OpenMessage, confirm: Callable[[], None]) -> Manifest | None:
        """Read a message again, store what is new, and replace the manifest if the result is another one.

        Args:
            message: opened for an update.
            confirm: called right before the manifest is written; raises if the claim on the message is lost.

        Returns:
            The manifest of the update, also if an earlier try has written it; None if there is nothing to update.

        Raises:
            StaleClaimError: somebody has replaced the manifest meanwhile.
            As `Processor.process` does.
        """
        key = f"{message.folder}/{keys.MANIFEST}"
        found = self._manifest(key)
        if found is None:
            return None
        before, content = found
        assert message.update is not None
        if before.update is not None and before.update.number >= message.update:
            return before
        after, known = self._read(before, message, write=True)
        changes = differences(before, after)
        if not changes:
            return None
        previous = put_json(
            self.processor.store, f"{message.folder}/{keys.update_name(message.update, keys.PREVIOUS)}", content
        )
        named = {ref.key for ref in objects_of(after)}
        update = Update(
            number=message.update,
            at=self.now(),
            changes=changes[:MOST_CHANGES],
            changes_total=len(changes),
            superseded=[*(ref for ref in known if ref.key not in named), previous],
        )
        after = after.model_copy(update={"update": update})
        confirm()
        if _read_bytes(self.processor.store, key) != content:
            raise StaleClaimError("the manifest was replaced while the message was read again")
        put_json(self.processor.store, key, after.to_json())
        return after

    def is_updated(self, message: OpenMessage) -> bool:
        """Return whether the store shows this update of a message.

        Raises:
            StoreError: the store is unavailable.
        """
        found = self._manifest(f"{message.folder}/{keys.MANIFEST}")
        update = None if found is None else found[0].update
        return update is not None and message.update is not None and update.number >= message.update

    def _read(self, before: Manifest, message: OpenMessage, *, write: bool) -> tuple[Manifest, Collection[ObjectRef]]:
        """Return the manifest of today, and the objects that manifests have named so far."""
        known = _known(before)
        assert message.update is not None
        processor = replace(
            self.processor,
            store=UpdateStore(self.processor.store, message.folder, message.update, known, write=write),
            authenticator=replace(self.processor.authenticator, keys=None),
            scanning=replace(self.processor.scanning, known=_verdicts(before)),
        )
        after = _taken_over(before, processor.read(message))
        return with_rules(after, processor.rules), known

    def _manifest(self, key: str) -> tuple[Manifest, bytes] | None:
        """Return the manifest and its bytes, None if there is none, or a tombstone in its place."""
        try:
            content = _read_bytes(self.processor.store, key)
            return Manifest.model_validate_json(content), content
        except (ValidationError, ObjectMissingError):
            return None

    def _message(self, before: Manifest, key: str) -> OpenMessage:
        folder = key.rpartition("/")[0]
        source = before.raw or self._top(f"{folder}/{keys.TOP}")
        number = before.update.number if before.update is not None else 0
        stat = self.processor.store.stat(source.key)
        if stat is None or stat.size == 0 < source.size:
            if read_raw_erased(self.processor.store, folder) is not None:
                raise RawErasedError("its raw mail was erased")
            raise NoRawMailError("its raw mail is not in the store any more")
        return OpenMessage(
            key=before.message_key,
            mailbox=before.mailbox.id,
            unique_id=before.mailbox.unique_id,
            folder=folder,
            kind="oversize" if before.raw is None else "whole",
            source=source,
            listed_size=before.listed_size,
            may_be_cut=Defect.MAY_BE_CUT.value in before.parse.defects,
            first_seen=self.now(),
            received_at=before.received_at,
            labels=before.mailbox.labels,
            update=number + 1,
        )

    def _top(self, key: str) -> ObjectRef:
        try:
            content = _read_bytes(self.processor.store, key)
        except ObjectMissingError:
            raise NoRawMailError("its header is not in the store any more") from None
        digest = hashlib.sha256(content).hexdigest()
        return ObjectRef(bucket=self.processor.store.bucket, key=key, size=len(content), sha256=digest)


class UpdateStore(ReadWriteStore):
    """The store while a message is read again: what is stored already is not written, and nothing is replaced."""

    def __init__(
        self, store: ReadWriteStore, folder: str, number: int, known: Iterable[ObjectRef], *, write: bool
    ) -> None:
        """Begin an update.

        Args:
            store: where the message is.
            folder: of the message.
            number: of the update.
            known: all objects that its manifests have named.
            write: whether to store anything.
        """
        self.bucket = store.bucket
        self._store, self._folder, self._number, self._write = store, folder, number, write
        self._writer: StoreWriter = store  # or that of a batch
        self._known: Mapping[str, list[ObjectRef]] = defaultdict(list)
        for ref in known:
            self._known[self._name(ref.key)].append(ref)

    @override
    def put(self, key: str, body: BinaryIO, **about: Unpack[NewObject]) -> ObjectRef:
        name = self._name(key)
        others = self._known.get(name, [])
        for ref in others:
            if (ref.size, ref.sha256) == (about["size"], about["sha256"]):
                return ref
        if others:
            key = f"{self._folder}/{keys.update_name(self._number, name)}"
        if not self._write:
            return ObjectRef(bucket=self.bucket, key=key, size=about["size"], sha256=about["sha256"])
        return self._writer.put(key, body, **about)

    @override
    @contextmanager
    def batch(self) -> Iterator[StoreWriter]:
        update = copy(self)
        with self._writer.batch() as update._writer:  # noqa: SLF001 - its own copy
            yield update

    @override
    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        return self._store.open(key)

    @override
    def open_range(self, key: str, begin: int, end: int) -> AbstractContextManager[BinaryIO]:
        return self._store.open_range(key, begin, end)

    @override
    def stat(self, key: str) -> ObjectRef | None:
        return self._store.stat(key)

    @override
    def stored(self, prefix: str) -> Iterator[Stored]:
        return self._store.stored(prefix)

    def _name(self, key: str) -> str:
        """Return the key relative to the message's folder, of an object of an update the one that it would have."""
        name = key.removeprefix(f"{self._folder}/")
        return name.split("/", 2)[2] if name.startswith("updates/") else name


def _known(before: Manifest) -> list[ObjectRef]:
    superseded = before.update.superseded if before.update is not None else []
    return [*objects_of(before), *superseded]


def _verdicts(before: Manifest) -> dict[str, Scan]:
    scans = ((attachment.sha256, attachment.scan) for attachment in before.attachments)
    return {sha256: scan for sha256, scan in scans if scan is not None and scan.status != "unscanned"}


def _taken_over(before: Manifest, after: Manifest) -> Manifest:
    """Return the new manifest with what was found out when the message was processed first."""
    earlier = {document.main: document for document in before.documents}
    documents = [_with_earlier(document, after, earlier.get(document.main)) for document in after.documents]
    authentication = after.authentication
    verified = before.authentication and before.authentication.dkim_verified
    if verified is not None:
        authentication = (authentication or Authentication()).model_copy(update={"dkim_verified": verified})
    return after.model_copy(
        update={"duplicate_of": before.duplicate_of, "documents": documents, "authentication": authentication}
    )


def _with_earlier(document: Document, after: Manifest, earlier: Document | None) -> Document:
    """Return a document with what is known of earlier messages: which had it first, or repeated a picture."""
    if earlier is None:
        return document
    document = document.model_copy(update={"duplicate_of": earlier.duplicate_of})
    first = next((reason.fact for reason in earlier.reasons if reason.code == REPEATED), None)
    if first is None or document.kind not in ("image", "logo"):
        return document
    return repeated_picture(document, after.attachments, first)


def _read_bytes(store: StoreReader, key: str) -> bytes:
    with store.open(key) as body:
        return body.read()
