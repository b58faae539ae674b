"""A `Store` over the HTTP API of Google Cloud Storage or Azure Blob Storage."""

from __future__ import annotations

import base64
import hashlib
import io
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from typing_extensions import override

from ingest.adapters.stores.rest.messages import NewObject, not_a_store
from ingest.adapters.stores.transfer import (
    CHUNK_BYTES,
    Slice,
    byte_range,
    content_disposition,
    guarded,
    header_type,
    measure,
    mismatch,
    raise_exists,
    segments,
    to_skip,
)
from ingest.domain.record import ObjectRef
from ingest.errors import (
    ObjectExistsError,
    ObjectMissingError,
    StoreCorruptError,
    StoreError,
    StoreRefusedError,
)
from ingest.ports.store import Store, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from ingest.adapters.stores.rest.http import HttpClient
    from ingest.adapters.stores.rest.messages import Api, Description, Entry, Reply, Request, Selection

# Up to this size an object is sent from memory.
IN_MEMORY_BYTES = 2**20
# A larger object is not sent in vain: whether it is there already is asked first.
_ASKED_FIRST_BYTES = 8 * 2**20
_OK = frozenset({200, 201, 202, 204})
_PARTIAL, _OUT_OF_RANGE = 206, 416
# Deleting the live object makes an earlier version of it on Azure, which goes in the next pass.
_PASSES = 4


class RestStore(Store):
    """A `Store` in a bucket (or container). An object of any size is one request, from memory up to 1 MiB.

    The MD5 of an object is sent with it, and the server refuses other bytes; the one in its answer is compared too.
    An object's SHA-256 is kept as metadata, from which `stat` takes it; an object written by another program is read
    to compute it. A body above 1 MiB has to be seekable.

    Args:
        api: knows the requests and answers.
        http: makes the requests.
    """

    def __init__(self, api: Api, http: HttpClient) -> None:
        self.bucket = api.bucket
        self._api = api
        self._http = http

    @override
    def put(
        self,
        key: str,
        body: BinaryIO,
        *,
        size: int,
        sha256: str,
        content_type: str,
        filename: str | None = None,
        only_if_absent: bool = False,
        compare: bool = True,
    ) -> ObjectRef:
        self._check(key)
        content, md5 = _checked(body, size, sha256)
        new = NewObject(
            key=key,
            size=size,
            sha256=sha256,
            md5=md5,
            content_type=header_type(content_type),
            disposition=None if filename is None else content_disposition(filename),
            only_if_absent=only_if_absent,
        )
        try:
            found = self._write(new, content)
        except ObjectExistsError:
            if not compare:
                raise
            raise_exists(self.stat(key), size=size, sha256=sha256)
        return self._ref(key, found, sha256)

    @override
    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        self._check(key)
        with self._http.reading(self._api.get(key)) as (reply, body):
            self._require_object(key, reply)
            with guarded(body, nullcontext) as reader:
                yield reader

    @override
    @contextmanager
    def open_range(self, key: str, begin: int, end: int) -> Iterator[BinaryIO]:
        self._check(key)
        with self._http.reading(self._api.get(key, byte_range(begin, end))) as (reply, body):
            if reply.status == _OUT_OF_RANGE:
                self._require_shorter(key, begin)
                yield io.BytesIO()
                return
            partial = reply.status == _PARTIAL
            self._require_object(key, replace(reply, status=200) if partial else reply)
            skip = to_skip(reply.headers.get("content-range", "") if partial else None, begin)
            if skip is None:
                raise not_a_store()
            with guarded(Slice(body, skip, end - begin), nullcontext) as reader:
                yield reader

    @override
    def stat(self, key: str) -> ObjectRef | None:
        self._check(key)
        found = self._described(key)
        if found is None:
            return None
        return self._ref(key, found, found.sha256 or self._read_sha256(key))

    @override
    def delete(self, key: str) -> None:
        self._check(key)
        self._delete(self._api.delete(key))

    @override
    def erase(self, folder: str, keep: Collection[str] = ()) -> int:
        """A server may still be able to restore what was deleted: see `restorable_until`."""
        self._check(folder)
        return self._erase(f"{folder}/", lambda entry: not (entry.live and entry.key in keep))

    @override
    def erase_versions(self, key: str) -> int:
        self._check(key)
        return self._erase(key, lambda entry: entry.key == key and not entry.live)

    def _erase(self, prefix: str, wanted: Callable[[Entry], bool]) -> int:
        removed: set[tuple[str, str | None]] = set()
        for _ in range(_PASSES):
            entries = [one for one in self._entries(prefix, "versions") if one.gone_at is None and wanted(one)]
            if not entries:
                return len(removed)
            # The live ones last, so that no earlier version becomes visible if this is interrupted.
            for entry in sorted(entries, key=lambda entry: entry.live):
                self._delete(self._api.delete(entry.key, entry))
                removed.add((entry.key, entry.version))
        raise StoreRefusedError(
            "versions of erased objects appear again and again: find out who writes or restores them"
        )

    @override
    def restorable_until(self, folder: str) -> float | None:
        self._check(folder)
        times = [entry.gone_at for entry in self._entries(f"{folder}/", "deleted") if entry.gone_at is not None]
        return max(times, default=None)

    @override
    def stored(self, prefix: str) -> Iterator[Stored]:
        if "\0" in prefix:
            return  # no object has such a key
        for entry in _in_byte_order(self._entries(prefix, "live")):
            yield Stored(entry.key, entry.modified, entry.size)

    def _require_object(self, key: str, reply: Reply) -> None:
        """Raise the error for an answer that has no object."""
        if reply.status not in _OK:
            # The answer to a request for the bytes may lack the code that one for the description has.
            raise self._explained(reply if self._api.is_coded(reply) else self._http.ask(self._api.head(key)))
        if not self._api.is_object(reply.headers):
            raise not_a_store()

    def _require_shorter(self, key: str, begin: int) -> None:
        """Check that an object ends before a range, as its server answered, and not a proxy."""
        if self._api.described(self._ask(self._api.head(key))).size > begin:
            raise not_a_store()

    def _check(self, key: str) -> None:
        segments(key)
        self._api.check(key)

    def _write(self, new: NewObject, content: bytes | BinaryIO) -> Description:
        if new.only_if_absent and new.size > _ASKED_FIRST_BYTES and self._described(new.key) is not None:
            raise ObjectExistsError("there is an object under this key already")
        reply = self._ask(self._api.put(new), content, new.size)
        found, md5 = self._api.written(reply, new)
        if (found.size, md5) != (new.size, new.md5):
            raise StoreCorruptError(
                "the object store reports another checksum than that of the bytes sent: check the server and the"
                " proxies before it"
            )
        return found

    def _described(self, key: str) -> Description | None:
        try:
            return self._api.described(self._ask(self._api.head(key)))
        except ObjectMissingError:
            return None

    def _delete(self, request: Request) -> None:
        with suppress(ObjectMissingError):
            reply = self._ask(request)
            # Nothing else shows who answered. Taken for success, a page would count as erased mail.
            if reply.headers.get("content-type", "").startswith("text/html"):
                raise not_a_store()

    def _entries(self, prefix: str, selection: Selection) -> Iterator[Entry]:
        marker: str | None = None
        while True:
            page = self._api.page(self._ask(self._api.list(prefix, marker, selection)))
            yield from page.entries
            marker = page.marker
            if marker is None:
                return

    def _ask(self, request: Request, body: bytes | BinaryIO | None = None, size: int = 0) -> Reply:
        reply = self._http.ask(request, body, size)
        if reply.status not in _OK:
            raise self._explained(reply)
        return reply

    def _explained(self, reply: Reply) -> StoreError:
        """Return the error for an answer; what may mean the object or the bucket is found out by a listing."""
        error = self._api.refusal(reply)
        if self._api.is_vague(reply):
            listing = self._http.ask(self._api.list("", None, "live"))
            if listing.status not in _OK:
                other = self._api.refusal(listing)
                return self._api.no_bucket() if isinstance(other, ObjectMissingError) else other
        return error

    def _ref(self, key: str, found: Description, sha256: str) -> ObjectRef:
        return ObjectRef(
            bucket=self.bucket, key=key, size=found.size, sha256=sha256, etag=found.etag, version_id=found.version
        )

    def _read_sha256(self, key: str) -> str:
        with self.open(key) as body:
            return measure(body)[1]


def _checked(body: BinaryIO, size: int, sha256: str) -> tuple[bytes | BinaryIO, str]:
    """Return a body as it is sent, and its MD5 in base64.

    Raises:
        StoreUnavailableError: it does not have the announced size and hash.
    """
    start = None if size <= IN_MEMORY_BYTES else body.tell()
    pieces: list[bytes] = []
    digest, digest5, length = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    while chunk := body.read(size + 1 if start is None else CHUNK_BYTES):
        digest.update(chunk)
        digest5.update(chunk)
        length += len(chunk)
        if start is None:
            pieces.append(chunk)
    if (length, digest.hexdigest()) != (size, sha256):
        raise mismatch()
    md5 = base64.b64encode(digest5.digest()).decode()
    if start is None:
        return b"".join(pieces), md5
    body.seek(start)
    return body, md5


def _in_byte_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Sort a listing whose keys are in the order of their UTF-16 code units, which Azure and its emulator use.

    Both orders differ only between keys with characters from U+D800 on, and such keys that have to be exchanged stand
    together, so everything else is passed on at once.
    """
    held: list[Entry] = []
    for entry in entries:
        if any(character >= "\ud800" for character in entry.key):
            held.append(entry)
            continue
        yield from sorted(held, key=lambda entry: entry.key)
        held.clear()
        yield entry
    yield from sorted(held, key=lambda entry: entry.key)
