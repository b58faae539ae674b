"""What every object store promises (`ingest/ports/store.py`), in memory, a folder, a real S3 server and emulators."""

from __future__ import annotations

import hashlib
import io
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.memory import MemoryStore
from ingest.adapters.stores.rest.store import RestStore
from ingest.errors import (
    ObjectExistsError,
    ObjectMissingError,
    StoreCorruptError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tests.support.clouds import ACCOUNT
from tests.support.stores import put, read, stored_keys

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.ports.store import Store
    from tests.support.clouds import Emulator
    from tests.support.s3 import S3Server

MIB = 2**20
# Azure changes them, so they are refused; names that the product chooses have neither.
REFUSED_BY_AZURE = ("...", '"quoted" \\ <xml>')
# In memory, streamed from the body, and in two parts: the three ways an object goes to S3.
SMALL, STREAMED, PARTED = 5_000, 3 * MIB, 6 * MIB


@pytest.fixture(params=["memory", "folder", "s3", "fake_gcs", "azurite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    if request.param in ("fake_gcs", "azurite"):
        emulator: Emulator = request.getfixturevalue(request.param)
        return emulator.open(emulator.make_bucket(f"contract-{uuid.uuid4().hex}"))
    server: S3Server = request.getfixturevalue("s3_server")
    bucket = server.make_bucket(f"contract-{uuid.uuid4().hex}")
    return server.open(bucket, single_bytes=4 * MIB, part_bytes=5 * MIB)


def filler(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311 - the same bytes each time


def test_objects_of_a_batch_are_stored_at_its_end(store: Store) -> None:
    with store.batch() as batch:
        refs = [put(batch, f"box/m/{name}", name.encode()) for name in ("attachments/1", "body.txt")]
        with pytest.raises(StoreUnavailableError):
            batch.put("box/m/cut", io.BytesIO(b"c"), size=2, sha256="", content_type="text/plain")
    assert [read(store, ref.key) for ref in refs] == [b"attachments/1", b"body.txt"]
    assert stored_keys(store, "box/") == ["box/m/attachments/1", "box/m/body.txt"]


def test_listing_has_the_time_of_each_object(store: Store) -> None:
    """To the second: some stores tell no more."""
    before = time.time() - 1
    put(store, "box/a", b"1")
    (found,) = store.stored("box/a")
    assert (found.key, before <= found.modified <= time.time() + 1) == ("box/a", True)


def test_listing_has_the_size_of_each_object(store: Store) -> None:
    put(store, "box/a", b"")
    put(store, "box/b/c", filler(SMALL))
    assert {found.key: found.size for found in store.stored("box/")} == {"box/a": 0, "box/b/c": SMALL}


@pytest.mark.parametrize("size", [0, 1, SMALL, MIB, MIB + 1, STREAMED, PARTED])
def test_what_is_put_is_read_byte_for_byte(store: Store, size: int) -> None:
    content = filler(size)
    ref = put(store, "box/2026/01/02/key/raw.eml", content)
    assert (ref.bucket, ref.key, ref.size) == (store.bucket, "box/2026/01/02/key/raw.eml", size)
    assert ref.sha256 == hashlib.sha256(content).hexdigest()
    assert read(store, ref.key) == content
    assert store.stat(ref.key) == ref


@pytest.mark.parametrize("size", [SMALL, STREAMED, PARTED])
def test_body_is_read_from_its_current_position(store: Store, size: int) -> None:
    content = filler(size)
    body = io.BytesIO(b"read before" + content)
    body.seek(len(b"read before"))
    digest = hashlib.sha256(content).hexdigest()
    store.put("box/part", body, size=size, sha256=digest, content_type="text/plain")
    assert read(store, "box/part") == content


def test_object_can_be_read_in_pieces_and_left_unread(store: Store) -> None:
    content = filler(STREAMED)
    put(store, "box/a", content)
    with store.open("box/a") as body:
        assert body.read(10) == content[:10]
        assert body.read(MIB) == content[10 : MIB + 10]
    with store.open("box/a") as body:
        pieces = list(iter(lambda: body.read(100_000), b""))
    assert b"".join(pieces) == content


def test_part_of_an_object_is_read(store: Store) -> None:
    content, last = filler(STREAMED), STREAMED - 1
    put(store, "box/a b/ü.pdf", content)
    for begin, end in ((0, 1), (1, 10), (MIB - 1, 2 * MIB), (last, STREAMED), (last - 9, STREAMED + 9)):
        with store.open_range("box/a b/ü.pdf", begin, end) as body:
            pieces = list(iter(lambda: body.read(100_000), b""))
        assert b"".join(pieces) == content[begin:end]


def test_part_behind_the_end_of_an_object_is_empty(store: Store) -> None:
    for content in (b"", b"bytes"):
        put(store, "box/a", content)
        for begin in (len(content), 10**12):
            with store.open_range("box/a", begin, 10**13) as body:
                assert body.read() == b""


def test_part_of_what_is_missing_is_missing(store: Store) -> None:
    with pytest.raises(ObjectMissingError), store.open_range("box/a", 0, 1):
        pass
    with pytest.raises(StoreRefusedError, match="key"), store.open_range("../a", 0, 1):
        pass


def test_put_is_idempotent(store: Store) -> None:
    """Some stores count each write as another version."""
    first, second = (put(store, "box/a", b"same") for _ in range(2))
    assert second.model_copy(update={"etag": first.etag, "version_id": first.version_id}) == first
    assert stored_keys(store, "") == ["box/a"]


def test_put_replaces_what_was_there(store: Store) -> None:
    put(store, "box/a", filler(SMALL))
    put(store, "box/a", b"later")
    assert read(store, "box/a") == b"later"


@pytest.mark.parametrize("size", [SMALL, STREAMED, PARTED])
def test_only_if_absent_leaves_the_first_object_as_it_is(store: Store, size: int) -> None:
    put(store, "box/a", b"first", only_if_absent=True)
    with pytest.raises(StoreCorruptError):
        put(store, "box/a", filler(size), only_if_absent=True)
    assert read(store, "box/a") == b"first"
    assert stored_keys(store, "") == ["box/a"]


@pytest.mark.parametrize("size", [0, SMALL, STREAMED, PARTED])
def test_same_bytes_under_the_key_exist_already(store: Store, size: int) -> None:
    put(store, "box/a", filler(size), only_if_absent=True)
    with pytest.raises(ObjectExistsError):
        put(store, "box/a", filler(size), only_if_absent=True)


def test_other_bytes_exist_already_without_comparison(store: Store) -> None:
    """As for a key that does not follow from the content: the first of two writers wins."""
    put(store, "box/a", b"first")
    with pytest.raises(ObjectExistsError):
        store.put(
            "box/a",
            io.BytesIO(b"second"),
            size=6,
            sha256=hashlib.sha256(b"second").hexdigest(),
            content_type="text/plain",
            only_if_absent=True,
            compare=False,
        )
    assert read(store, "box/a") == b"first"


@pytest.mark.parametrize("there", [b"", b"another mail"])
def test_other_bytes_under_the_key_are_not_taken_for_the_object(store: Store, there: bytes) -> None:
    """Else an empty or altered object would count as stored mail, and the mail be deleted on its server."""
    put(store, "box/a", there)
    with pytest.raises(StoreCorruptError):
        put(store, "box/a", b"first mail!!", only_if_absent=True)
    assert read(store, "box/a") == there


@pytest.mark.parametrize("size", [SMALL, STREAMED, PARTED])
def test_only_if_absent_creates_what_is_absent(store: Store, size: int) -> None:
    put(store, "box/a", filler(size), only_if_absent=True)
    assert read(store, "box/a") == filler(size)


def test_one_of_two_concurrent_creations_wins(store: Store) -> None:
    put(store, "warm", b"", only_if_absent=True)
    for number in range(10):
        key, start = f"box/{number}", threading.Barrier(2)
        bodies = [f"writer {writer} ".encode() * 1000 for writer in range(2)]

        def create(body: bytes, key: str = key, start: threading.Barrier = start) -> bool:
            start.wait()
            try:
                put(store, key, body, only_if_absent=True)
            except (StoreCorruptError, StoreUnavailableError):  # S3 may answer a race with 409
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(create, bodies))
        assert sorted(won) == [False, True]
        assert read(store, key) == bodies[won.index(True)]


class Breaks(io.BytesIO):
    """A body that cannot be read beyond its first half."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= len(self.getbuffer()) // 2:
            raise BrokenBodyError
        return super().read(size)


class BrokenBodyError(Exception):
    """Of nobody but this test."""


@pytest.mark.parametrize("size", [SMALL, STREAMED, PARTED])
def test_failing_body_leaves_nothing_and_keeps_its_error(store: Store, size: int) -> None:
    body = Breaks(filler(size))
    with pytest.raises(BrokenBodyError):
        store.put("box/a", body, size=size, sha256=hashlib.sha256(filler(size)).hexdigest(), content_type="a/b")
    assert store.stat("box/a") is None
    assert stored_keys(store, "") == []


@pytest.mark.parametrize("size", [SMALL, STREAMED, PARTED])
@pytest.mark.parametrize("damage", ["short", "long", "changed"])
def test_bytes_that_are_not_those_announced_are_not_stored(store: Store, size: int, damage: str) -> None:
    content = filler(size)
    damaged = {"short": content[:-1], "long": content + b"!", "changed": content[:-1] + b"!"}[damage]
    with pytest.raises(StoreUnavailableError, match="announced"):
        store.put(
            "box/a",
            io.BytesIO(damaged),
            size=size,
            sha256=hashlib.sha256(content).hexdigest(),
            content_type="application/octet-stream",
        )
    assert stored_keys(store, "") == []


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "#1 50%.pdf",
        "what?",
        "a+b&c=d",
        "%41%2f",
        "Übergröße — Rechnung №7.pdf",
        "請求書.pdf",
        "e\u0301",
        "\N{PILE OF POO}",
        "~'!()*;:@$,[]",
        '"quoted" \\ <xml>',
        "...",
        "-",
    ],
)
def test_keys_are_taken_as_they_are(store: Store, name: str) -> None:
    key = f"box/{name}/1-{name}"
    if isinstance(store, RestStore) and store.bucket.startswith(f"{ACCOUNT}/") and name in REFUSED_BY_AZURE:
        with pytest.raises(StoreRefusedError, match="key"):
            put(store, key, b"bytes")
        return
    assert put(store, key, b"bytes").key == key
    assert read(store, key) == b"bytes"
    assert stored_keys(store, f"box/{name}/") == [key]
    stat = store.stat(key)
    assert stat is not None
    assert stat.key == key
    store.delete(key)
    assert store.stat(key) is None


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "a/./b", "../a", "a/..", "a\0b", "a/\ud800", "/".join(["x" * 200] * 6)]
)
def test_ambiguous_keys_are_refused(store: Store, key: str) -> None:
    with pytest.raises(StoreRefusedError, match="key"):
        put(store, key, b"bytes")
    with pytest.raises(StoreRefusedError, match="key"):
        store.open(key).__enter__()
    with pytest.raises(StoreRefusedError, match="key"):
        store.stat(key)
    with pytest.raises(StoreRefusedError, match="key"):
        store.delete(key)
    with pytest.raises(StoreRefusedError, match="key"):
        store.erase(key)
    assert stored_keys(store, "") == []


def test_keys_are_listed_in_lexical_order_of_the_whole_key(store: Store) -> None:
    keys = [
        "a-b/x",
        "a.b/x",
        "a/x",
        "a/y/1",
        "a/y/2",
        "a/y.z",
        "a0/x",
        "ab",
        "b/é/x",
        "b/z/x",
        "B/x",
        "b/\U0001f4a9",
        "b/\uff21",
    ]
    for key in keys:
        put(store, key, b"")
    assert stored_keys(store, "") == sorted(keys)


def test_prefix_is_text_not_a_folder(store: Store) -> None:
    for key in ("box/a/1", "box/a/2", "box/ab/1", "box/b/1", "boxes/1"):
        put(store, key, b"")
    assert stored_keys(store, "box") == ["box/a/1", "box/a/2", "box/ab/1", "box/b/1", "boxes/1"]
    assert stored_keys(store, "box/a") == ["box/a/1", "box/a/2", "box/ab/1"]
    assert stored_keys(store, "box/a/") == ["box/a/1", "box/a/2"]
    assert stored_keys(store, "box/a/2") == ["box/a/2"]
    for nothing in ("box/c", "box/a/1/", "box//a", "/box", "../", "x" * 300 + "/", "a\0b/"):
        assert stored_keys(store, nothing) == []


def test_missing_objects_are_reported_as_missing(store: Store) -> None:
    assert store.stat("box/a") is None
    assert stored_keys(store, "box/") == []
    with pytest.raises(ObjectMissingError), store.open("box/a"):
        pass
    store.delete("box/a")
    put(store, "box/a/b", b"")
    assert store.stat("box/a") is None  # the beginning of a key is no object
    with pytest.raises(ObjectMissingError), store.open("box/a"):
        pass


def test_deleted_object_is_gone(store: Store) -> None:
    put(store, "box/a", b"")
    put(store, "box/b", b"")
    store.delete("box/a")
    assert stored_keys(store, "") == ["box/b"]
    put(store, "box/a", b"again", only_if_absent=True)
    assert read(store, "box/a") == b"again"


def test_latest_version_of_an_object_stays(store: Store) -> None:
    """Stores that keep no versions have nothing to do."""
    for content in (b"first", b"second", b""):
        put(store, "box/m/raw.eml", content)
    put(store, "box/m/raw.eml2", b"other")
    assert store.erase_versions("box/m/raw.eml") == 0
    assert read(store, "box/m/raw.eml") == b""
    assert stored_keys(store, "") == ["box/m/raw.eml", "box/m/raw.eml2"]
    assert list(store.protected("box/m")) == []


def test_folder_is_erased_except_for_kept_keys(store: Store) -> None:
    inside = ["box/m/a", "box/m/attachments/1-a", "box/m/attachments/2-b", "box/m/keep"]
    beside = ["box/m-2/a", "box/mm/a", "box/n/m/a"]
    for key in [*inside, *beside]:
        put(store, key, key.encode())
    assert store.erase("box/m", keep=["box/m/keep", "box/m/never-was"]) == 3
    assert stored_keys(store, "") == sorted(["box/m/keep", *beside])
    assert read(store, "box/m/keep") == b"box/m/keep"
    assert store.erase("box/m", keep=["box/m/keep"]) == 0, "again, and nothing is missed"
    assert store.erase("box/m") == 1
    assert store.erase("box/nothing") == 0
    assert stored_keys(store, "") == beside
    put(store, "box/m/attachments/1-a", b"again")
    assert read(store, "box/m/attachments/1-a") == b"again"


def test_error_of_the_reader_is_not_translated(store: Store) -> None:
    put(store, "box/a", b"bytes")
    with pytest.raises(ConnectionResetError), store.open("box/a"):
        raise ConnectionResetError


def test_threads_share_a_store(store: Store) -> None:
    def work(number: int) -> bool:
        content = filler(1000 + number)
        put(store, f"box/{number % 4}/{number}", content)
        return read(store, f"box/{number % 4}/{number}") == content

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(64)))
    assert len(stored_keys(store, "box/")) == 64


def test_store_errors_are_transient() -> None:
    """A person fixes a store that refuses while the service keeps trying: no message fails for it."""
    assert StoreRefusedError.transient
    assert StoreUnavailableError.transient
    assert issubclass(StoreRefusedError, StoreError)
