"""What only the S3 store promises: headers, plain words about refusals, patience with servers that know less."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import time
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from ingest.adapters.stores.s3 import S3Store
from ingest.errors import (
    ConfigError,
    ObjectExistsError,
    StoreCorruptError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tests.support.odd_s3 import OddServer, running_odd_server
from tests.support.s3 import Account, S3Server
from tests.support.servers import free_port
from tests.support.stores import every_call, put, read, stored_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


MIB = 2**20


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.make_bucket(f"s3-{uuid.uuid4().hex}")


# --- on a real server --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 2 * MIB, 6 * MIB])
def test_type_disposition_and_checksum_go_with_the_object(s3_server: S3Server, bucket: str, size: int) -> None:
    store, content = s3_server.open(bucket, single_bytes=4 * MIB, part_bytes=5 * MIB), b"x" * size
    put(store, "box/a", content, content_type="application/pdf", filename="Rechnung Nr. 7/8 'ü'.pdf")
    put(store, "box/raw.eml", content, content_type="message/rfc822")
    client = s3_server.client()
    head: Any = client.head_object(Bucket=bucket, Key="box/a")
    assert head["ContentType"] == "application/pdf"
    assert head["ContentDisposition"] == "attachment; filename*=UTF-8''Rechnung%20Nr.%207%2F8%20%27%C3%BC%27.pdf"
    assert head["Metadata"] == {"sha256": hashlib.sha256(content).hexdigest()}
    head = client.head_object(Bucket=bucket, Key="box/raw.eml")
    assert head["ContentType"] == "message/rfc822"
    assert "ContentDisposition" not in head
    client.close()


def test_content_type_unfit_for_a_header_is_not_sent(s3_server: S3Server, bucket: str) -> None:
    """A sender writes what he likes into a Content-Type; it must not keep his mail from being stored."""
    store = s3_server.open(bucket)
    for number, declared in enumerate(("text/plain\r\nx-evil: 1", "text/größe")):
        put(store, f"box/{number}", b"bytes", content_type=declared)
    assert len(stored_keys(store, "")) == 2


def test_object_of_another_program_is_read_for_its_checksum(s3_server: S3Server, bucket: str) -> None:
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="box/a", Body=b"bytes")
    client.close()
    ref = s3_server.open(bucket).stat("box/a")
    assert ref is not None
    assert (ref.size, ref.sha256) == (5, hashlib.sha256(b"bytes").hexdigest())


def test_more_keys_than_one_page_holds_are_all_listed(s3_server: S3Server, bucket: str) -> None:
    store, keys = s3_server.open(bucket), [f"box/{number:04}" for number in range(1001)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: put(store, key, b""), keys))
    assert stored_keys(store, "box/") == keys


class Breaks(io.BytesIO):
    """A body that cannot be read beyond its first half."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= len(self.getbuffer()) // 2:
            raise KeyboardInterrupt
        return super().read(size)


def test_upload_in_parts_that_is_stopped_leaves_no_parts(s3_server: S3Server, bucket: str) -> None:
    store = s3_server.open(bucket, single_bytes=MIB, part_bytes=5 * MIB)
    with pytest.raises(KeyboardInterrupt):
        store.put("box/a", Breaks(bytes(12 * MIB)), size=12 * MIB, sha256="", content_type="text/plain")
    client = s3_server.client()
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    client.close()


@pytest.mark.parametrize(
    ("whose", "remedy"),
    [
        ("missing", "create it, or correct `store`"),
        ("misnamed", "no name for a bucket"),
        ("stranger", "permission denied: allow s3:PutObject"),
        ("wrong secret", "correct the credentials"),
        ("unknown key", "correct the credentials"),
    ],
)
def test_refusal_names_the_remedy_and_no_secret(s3_server: S3Server, bucket: str, whose: str, remedy: str) -> None:
    unknown = Account("unknown-key", "unknown-secret")
    store = {
        "missing": lambda: s3_server.open("no-such-bucket"),
        "misnamed": lambda: s3_server.open("No Bucket!"),
        "stranger": lambda: s3_server.open(bucket, s3_server.stranger),
        "wrong secret": lambda: s3_server.open(bucket, Account(s3_server.owner.access_key, unknown.secret_key)),
        "unknown key": lambda: s3_server.open(bucket, unknown),
    }[whose]()
    for call in every_call(store):
        with pytest.raises(StoreRefusedError, match=remedy) as caught:
            call()
        for account in (s3_server.owner, s3_server.stranger, unknown):
            assert account.access_key not in str(caught.value)
            assert account.secret_key not in str(caught.value)


def test_missing_credentials_are_reported_with_a_remedy(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    store = s3_server.open(keys=lambda: None)
    for call in every_call(store):
        with pytest.raises(StoreRefusedError, match="configure access_key and secret_key"):
            call()


def test_credentials_may_come_from_the_environment(
    s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    store = s3_server.open(bucket, keys=lambda: None)
    put(store, "box/a", b"bytes")
    found = store.stat("box/a")
    assert found is not None
    assert found.size == len(b"bytes")


# --- where there is no server, or an odd one -----------------------------------------------------------------------


@pytest.fixture
def odd() -> Iterator[OddServer]:
    with running_odd_server(OddServer()) as server:
        yield server


def test_unreachable_server_is_unavailable() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    store = S3Store("bucket", endpoint=endpoint, keys=lambda: ("key", "secret"), attempts=1)
    for call in every_call(store):
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            call()


@pytest.mark.parametrize("endpoint", ["no url", "127.0.0.1:9000", "http://"])
def test_invalid_endpoint_is_refused(endpoint: str) -> None:
    store = S3Store("bucket", endpoint=endpoint, keys=lambda: ("key", "secret"))
    with pytest.raises(StoreRefusedError, match="write https://host:port"):
        put(store, "box/a", b"bytes")


def test_server_that_does_not_answer_is_unavailable(odd: OddServer) -> None:
    put(odd.open(), "box/a", bytes(MIB))
    store = odd.open(read_timeout=0.2)
    for quirk in ("stalls", "stalls halfway"):
        odd.quirks = {quirk}
        with pytest.raises(StoreUnavailableError, match="in time"):
            read(store, "box/a")


@pytest.mark.parametrize("used_before", [False, True], ids=["through boto3", "directly"])
@pytest.mark.parametrize("quirk", ["drips", "drips its head"])
def test_server_that_sends_a_byte_now_and_then_is_unavailable(
    odd: OddServer, quirk: str, *, used_before: bool
) -> None:
    """Each byte comes before `read_timeout`, so only the deadline of a piece ends it."""
    store = odd.open(read_timeout=60, piece_timeout=1.5)
    if used_before:
        put(store, "box/a", b"bytes")
    odd.quirks = {quirk}
    with pytest.raises(StoreUnavailableError, match="in time"):
        read(store, "box/a")
    if quirk == "drips its head":
        for call in every_call(store)[:1]:
            with pytest.raises(StoreUnavailableError, match="in time"):
                call()
    odd.quirks = set()
    put(store, "box/b", b"bytes")
    assert read(store, "box/b") == b"bytes"


def test_server_that_takes_a_byte_now_and_then_is_unavailable(odd: OddServer) -> None:
    store = odd.open(connect_timeout=60, piece_timeout=1.5)
    odd.quirks = {"takes a byte now and then"}
    with pytest.raises(StoreUnavailableError, match="in time"):
        put(store, "box/a", bytes(20 * MIB))


def test_object_that_is_read_slowly_by_its_reader_is_no_failure(odd: OddServer) -> None:
    """The time between two reads is the reader's."""
    store = odd.open(piece_timeout=1.5)
    put(store, "box/a", bytes(MIB))
    with store.open("box/a") as body:
        first = body.read(1000)
        time.sleep(3)  # longer than the deadline, and than the interval in which deadlines are looked at
        assert len(first + body.read()) == MIB


def test_truncated_object_is_an_error(odd: OddServer) -> None:
    store = odd.open()
    put(store, "box/a", bytes(MIB))
    odd.quirks = {"cuts"}
    with pytest.raises(StoreUnavailableError), store.open("box/a") as body:
        list(iter(lambda: body.read(1000), b""))


def test_busy_server_is_retried_as_often_as_configured(odd: OddServer) -> None:
    odd.quirks = {"busy"}
    with pytest.raises(StoreUnavailableError, match="SlowDown"):
        read(odd.open(attempts=2), "box/a")
    assert len(odd.requests) == 2


@pytest.mark.parametrize("content", [b"bytes", bytes(10)])
def test_conflicting_creation_is_repeated(odd: OddServer, content: bytes) -> None:
    odd.quirks, odd.refusals = {"conflicts"}, 2
    put(odd.open(attempts=3), "box/a", content, only_if_absent=True)
    assert odd.objects["/bucket/box/a"] == content
    assert len(odd.sleeps) == 2


def test_creation_that_keeps_conflicting_is_left_for_later(odd: OddServer) -> None:
    odd.quirks, odd.refusals = {"conflicts"}, 1000
    with pytest.raises(StoreUnavailableError, match="ConditionalRequestConflict"):
        put(odd.open(attempts=3), "box/a", b"bytes", only_if_absent=True)
    assert len(odd.sleeps) == 2


# --- answers that are not an object store's ---


@pytest.mark.parametrize("quirk", ["ends with a page", "page with an ETag"])
@pytest.mark.parametrize("only_if_absent", [False, True])
def test_page_in_answer_to_put_is_no_success(odd: OddServer, quirk: str, *, only_if_absent: bool) -> None:
    """A maintenance page or captive portal answers 200 to everything; taken for success, mail would be deleted."""
    odd.quirks = {quirk}
    with pytest.raises(StoreUnavailableError, match="not one of an object store"):
        put(odd.open(), "box/a", b"bytes", only_if_absent=only_if_absent)


@pytest.mark.parametrize("quirk", ["ends with a page", "no upload id", "fails in a success"])
def test_multipart_upload_that_does_not_end_with_an_etag_is_no_success(odd: OddServer, quirk: str) -> None:
    odd.quirks = {quirk}
    with pytest.raises(StoreUnavailableError):
        put(odd.open(single_bytes=5, part_bytes=5), "box/a", bytes(10))


def test_page_in_place_of_an_object_is_an_error(odd: OddServer) -> None:
    store = odd.open()
    put(store, "box/a", b"bytes")
    odd.quirks = {"page"}
    for call in (lambda: read(store, "box/a"), lambda: store.stat("box/a"), lambda: list(store.stored("box"))):
        with pytest.raises(StoreUnavailableError, match="not one of an object store"):
            call()


def test_refusal_by_a_proxy_says_that_the_store_did_not_answer(odd: OddServer) -> None:
    odd.quirks = {"forbids in a page"}
    with pytest.raises(StoreRefusedError, match=r"HTTP 403\) is not one of an object store: .*proxy"):
        read(odd.open(), "box/a")


def test_checksum_that_differs_in_the_answer_is_an_error(odd: OddServer) -> None:
    odd.quirks = {"another checksum"}
    with pytest.raises(StoreCorruptError, match="another checksum"):
        put(odd.open(), "box/a", b"bytes")


def test_content_md5_is_sent_where_the_server_demands_it(odd: OddServer) -> None:
    """As for buckets with Object Lock, of each part too; what the server showed once is remembered."""
    odd.quirks = {"demands md5"}
    store = odd.open(single_bytes=5, part_bytes=5)
    put(store, "box/a", b"bytes")
    odd.requests.clear()
    put(store, "box/b", b"0123456789")
    puts = [headers["Content-MD5"] for method, headers, _ in odd.requests if method == "PUT"]
    assert puts == [
        base64.b64encode(hashlib.md5(part, usedforsecurity=False).digest()).decode() for part in (b"01234", b"56789")
    ]


def test_rotated_access_keys_are_used_for_the_next_request(odd: OddServer) -> None:
    keys = [("first", "secret")]
    store = odd.open(keys=lambda: keys[0])
    put(store, "box/a", b"bytes")
    keys[0] = ("second", "secret")
    put(store, "box/b", b"bytes")
    used = [headers["Authorization"].partition("Credential=")[2].partition("/")[0] for _, headers, _ in odd.requests]
    assert used == ["first", "second"]


def test_access_keys_that_cannot_be_read_are_a_refusal(odd: OddServer) -> None:
    def unreadable() -> tuple[str, str]:
        raise ConfigError(["secret_key: there is no file"])

    with pytest.raises(StoreRefusedError, match="there is no file"):
        put(odd.open(keys=unreadable), "box/a", b"bytes")


@pytest.mark.parametrize("quirk", ["refuses conditions", "ignores conditions"])
def test_without_conditional_creation_the_key_is_checked_first(odd: OddServer, quirk: str) -> None:
    odd.quirks = {quirk}
    store = odd.open()
    put(store, "box/a", b"first", only_if_absent=True)
    put(store, "box/b", b"other", only_if_absent=True)
    for _ in range(2):
        with pytest.raises(ObjectExistsError):
            put(store, "box/a", b"first", only_if_absent=True)
    assert read(store, "box/a") == b"first"
    asked = [method for method, headers, _ in odd.requests if "If-None-Match" in headers]
    assert len(asked) <= 2, "what the server showed once is remembered"


def test_conditional_creation_costs_one_request_per_object(odd: OddServer) -> None:
    store = odd.open()
    put(store, "box/a", b"first", only_if_absent=True)
    odd.requests.clear()
    put(store, "box/b", b"other", only_if_absent=True)
    assert [method for method, _, _ in odd.requests] == ["PUT"]


def test_object_created_during_a_multipart_upload_is_not_replaced(odd: OddServer) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            odd.objects["/bucket/box/a"] = b"first"
            return super().read(size)

    content = bytes(10)
    with pytest.raises(StoreCorruptError):
        odd.open(single_bytes=5, part_bytes=5).put(
            "box/a",
            Slow(content),
            size=10,
            sha256=hashlib.sha256(content).hexdigest(),
            content_type="text/plain",
            only_if_absent=True,
        )
    assert odd.objects == {"/bucket/box/a": b"first"}
    assert "DELETE" in [method for method, _, _ in odd.requests], "the upload is aborted"


def test_checksums_are_left_out_if_the_server_refuses_them(odd: OddServer) -> None:
    odd.quirks = {"refuses checksums", "refuses conditions"}
    store = odd.open()
    put(store, "box/a", b"bytes", only_if_absent=True)
    assert read(store, "box/a") == b"bytes"
    odd.requests.clear()
    put(store, "box/b", b"bytes")
    assert [method for method, _, _ in odd.requests] == ["PUT"]


def test_put_sends_the_checksum_and_no_rare_headers(odd: OddServer) -> None:
    put(odd.open(kms_key="arn:aws:kms:key"), "box/a", b"bytes")
    _, headers, _ = odd.requests[-1]
    assert headers["x-amz-checksum-sha256"] == "J3CJ2RwL308uaGK6fkoHYFEZQx9dE/cm3TUrBvGyBqk="
    assert headers["x-amz-content-sha256"] == hashlib.sha256(b"bytes").hexdigest()
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "arn:aws:kms:key"
    assert headers["Content-Length"] == "5"
    for odd_one in ("x-amz-trailer", "Content-Encoding", "x-amz-checksum-crc32", "Expect", "Transfer-Encoding"):
        assert odd_one not in headers


def test_connections_are_reused_but_not_by_a_forked_process(odd: OddServer) -> None:
    """Two processes that write into one connection would read each other's answers."""
    store = odd.open()
    for key in ("box/first", "box/a", "box/b"):  # the first is boto3's, which has connections of its own
        put(store, key, b"bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            put(store, "box/c", b"bytes")
        except StoreError:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    *earlier, first, second, forked = [port for _, _, port in odd.requests]
    assert first == second
    assert forked not in (*earlier, first)
