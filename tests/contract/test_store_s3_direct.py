"""Requests that are sent without boto3 keep what the S3 store promises, and leave what is unexpected to boto3."""

from __future__ import annotations

import os
import ssl
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme

from ingest.adapters.stores import s3_direct
from ingest.adapters.stores.s3_connections import Network, Route
from ingest.errors import (
    ObjectExistsError,
    ObjectMissingError,
    StoreCorruptError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tests.support.odd_s3 import OddServer, running_odd_server
from tests.support.stores import put, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.adapters.stores.s3 import S3Store
    from tests.support.s3 import S3Server


def is_direct(odd: OddServer, number: int = -1) -> bool:
    """Whether a request was not boto3's, which always says who it is."""
    return "User-Agent" not in odd.requests[number][1]


@pytest.fixture
def odd() -> Iterator[OddServer]:
    with running_odd_server(OddServer()) as server:
        yield server


@pytest.fixture
def store(odd: OddServer) -> S3Store:
    """A store that has made its first request, with boto3, so that the next one is direct."""
    made = odd.open()
    put(made, "box/first", b"first")
    odd.requests.clear()
    return made


def test_requests_after_the_first_are_direct(odd: OddServer, store: S3Store) -> None:
    put(store, "box/a", b"bytes")
    assert read(store, "box/a") == b"bytes"
    store.stat("box/first")
    assert [method for method, _, _ in odd.requests][:3] == ["PUT", "GET", "HEAD"]
    assert all(is_direct(odd, number) for number in range(3))


@pytest.mark.parametrize(
    "options",
    [{}, {"kms_key": "arn:aws:kms:eu:1:key/2"}],
    ids=["plain", "kms"],
)
def test_headers_are_those_of_boto3(odd: OddServer, options: dict[str, Any]) -> None:
    """Apart from those that only tell about the client."""
    store = odd.open(**options)
    for _ in range(2):
        put(store, "box/a b/ü~.pdf", b"bytes", content_type="a/b;  c=d", filename="ü.pdf", only_if_absent=False)
    boto, direct = ({name.lower(): value for name, value in headers.items()} for _, headers, _ in odd.requests[-2:])
    assert not is_direct(odd, -2)
    assert is_direct(odd, -1)
    for of_client in (
        "user-agent",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "accept-encoding",
        "authorization",
        "x-amz-date",
        "x-amz-sdk-checksum-algorithm",
    ):
        boto.pop(of_client, None)
        direct.pop(of_client, None)
    assert direct == boto


@pytest.mark.parametrize("quirk", ["ends with a page", "page with an ETag"])
@pytest.mark.parametrize("only_if_absent", [False, True])
def test_page_in_answer_to_put_is_no_success(
    odd: OddServer, store: S3Store, quirk: str, *, only_if_absent: bool
) -> None:
    odd.quirks = {quirk}
    with pytest.raises(StoreUnavailableError, match="not one of an object store"):
        put(store, "box/a", b"bytes", only_if_absent=only_if_absent)
    assert is_direct(odd)


def test_checksum_that_differs_in_the_answer_is_an_error(odd: OddServer, store: S3Store) -> None:
    odd.quirks = {"another checksum"}
    with pytest.raises(StoreCorruptError, match="another checksum"):
        put(store, "box/a", b"bytes")
    assert is_direct(odd)


def test_existing_object_is_not_put_again(odd: OddServer) -> None:
    store = odd.open()
    put(store, "box/first", b"first", only_if_absent=True)
    odd.requests.clear()
    with pytest.raises(StoreCorruptError):
        put(store, "box/first", b"other", only_if_absent=True)
    assert [method for method, _, _ in odd.requests].count("PUT") == 1
    assert is_direct(odd, 0)


def test_page_with_status_412_is_not_taken_for_an_existing_object(odd: OddServer, store: S3Store) -> None:
    odd.quirks = {"412 in a page"}
    with pytest.raises(StoreRefusedError, match="not one of an object store"):
        put(store, "box/a", b"bytes", only_if_absent=True)


def test_unexpected_answer_is_left_to_boto3_for_a_while(
    odd: OddServer, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd.quirks = {"busy"}
    with pytest.raises(StoreUnavailableError, match="SlowDown"):
        read(store, "box/first")
    assert [is_direct(odd, number) for number in range(2)] == [True, False]
    odd.quirks = set()
    for _ in range(2):
        read(store, "box/first")
        assert not is_direct(odd)
    monkeypatch.setattr(s3_direct, "PAUSE", 0.0)
    odd.quirks = {"busy"}
    fresh = odd.open()
    put(fresh, "box/a", b"bytes")
    with pytest.raises(StoreUnavailableError):
        read(fresh, "box/a")
    odd.quirks = set()
    read(fresh, "box/a")
    read(fresh, "box/a")
    assert is_direct(odd)


def test_missing_object_is_found_missing_without_boto3(odd: OddServer, store: S3Store) -> None:
    assert store.stat("box/missing") is None
    with pytest.raises(ObjectMissingError):
        read(store, "box/missing")
    assert [method for method, _, _ in odd.requests] == ["HEAD", "GET", "GET"]
    assert all(is_direct(odd, number) for number in range(3))


def test_page_with_status_404_is_not_taken_for_a_missing_object(odd: OddServer, store: S3Store) -> None:
    odd.quirks = {"404 in a page"}
    with pytest.raises(StoreRefusedError, match="not one of an object store"):
        read(store, "box/first")
    with pytest.raises(StoreRefusedError, match="not one of an object store"):
        store.stat("box/first")


def test_listing_goes_on_with_the_next_page(odd: OddServer, store: S3Store) -> None:
    odd.quirks = {"two pages"}
    assert [(found.key, found.size) for found in store.stored("box/")] == [("box/1", 1), ("box/2", 1)]


@pytest.mark.parametrize("quirk", ["truncated", "repeats a page"])
def test_listing_that_the_server_does_not_end_is_an_error(odd: OddServer, store: S3Store, quirk: str) -> None:
    odd.quirks = {quirk}
    with pytest.raises(StoreUnavailableError, match="not one of an object store"):
        list(store.stored("box/"))


def test_connection_that_the_server_closed_is_replaced(odd: OddServer, store: S3Store) -> None:
    put(store, "box/a", b"bytes")
    odd.close_connections()
    put(store, "box/b", b"bytes")
    assert is_direct(odd)
    assert odd.objects["/bucket/box/b"] == b"bytes"


def test_connection_that_ends_at_the_next_request_is_no_failure_of_the_server(odd: OddServer, store: S3Store) -> None:
    """A server may close an idle connection just when it is used again."""
    put(store, "box/a", b"bytes")
    odd.quirks, odd.refusals = {"drops"}, 1
    assert read(store, "box/a") == b"bytes"
    assert [is_direct(odd, number) for number in (-2, -1)] == [True, True]
    assert odd.requests[-1][2] != odd.requests[-2][2], "on a new connection"


def test_object_left_unread_does_not_spoil_the_connection(odd: OddServer, store: S3Store) -> None:
    put(store, "box/a", b"x" * 1_000_000)
    with store.open("box/a") as body:
        assert body.read(1) == b"x"
    assert read(store, "box/first") == b"first"
    assert is_direct(odd)


def test_truncated_and_stalled_objects_are_errors(odd: OddServer) -> None:
    store = odd.open(read_timeout=0.2)
    put(store, "box/a", bytes(2**20))
    for quirk in ("cuts", "stalls halfway"):
        odd.quirks = {quirk}
        odd.requests.clear()
        with pytest.raises(StoreUnavailableError):
            read(store, "box/a")
        assert is_direct(odd, 0)


@pytest.mark.parametrize("quirk", ["drips its head", "drips its refusal"])
def test_put_whose_time_is_up_is_not_left_to_boto3(odd: OddServer, quirk: str) -> None:
    """It would take the same time again. Each byte comes before `read_timeout`."""
    store = odd.open(read_timeout=60, piece_timeout=0.5)
    put(store, "box/a", b"bytes")
    odd.requests.clear()
    odd.quirks = {quirk}
    with pytest.raises(StoreUnavailableError, match="in time"):
        put(store, "box/b", b"bytes")
    assert [is_direct(odd, number) for number in range(len(odd.requests))] == [True]


def test_changed_access_keys_are_learned_anew(odd: OddServer) -> None:
    keys = [("first", "secret")]
    store = odd.open(keys=lambda: keys[0])
    put(store, "box/a", b"bytes")
    put(store, "box/b", b"bytes")
    keys[0] = ("second", "secret")
    put(store, "box/c", b"bytes")
    put(store, "box/d", b"bytes")
    used = [headers["Authorization"].partition("Credential=")[2].partition("/")[0] for _, headers, _ in odd.requests]
    assert used == ["first", "first", "second", "second"]
    assert [is_direct(odd, number) for number in range(4)] == [False, True, False, True]


def test_credentials_that_botocore_renews_are_used_for_the_next_request(
    odd: OddServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are about to expire whenever they are asked for."""
    soon = datetime.now(UTC) + timedelta(minutes=5)
    answer = f'"Version": 1, "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "{soon:%Y-%m-%dT%H:%M:%SZ}"'
    script = tmp_path / "credentials.sh"
    counted = f"echo >> {tmp_path}/n; n=$(wc -l < {tmp_path}/n)"
    script.write_text(f'{counted}\nprintf \'{{"AccessKeyId": "key%d", {answer}}}\' $n\n')
    (tmp_path / "config").write_text(f"[default]\ncredential_process = sh {script}\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    store = odd.open(keys=lambda: None)
    for number in range(3):
        put(store, f"box/{number}", b"bytes")
    used = [headers["Authorization"].partition("Credential=")[2].partition("/")[0] for _, headers, _ in odd.requests]
    assert len(set(used)) == 3
    assert [is_direct(odd, number) for number in range(3)] == [False, True, True]


def test_behind_a_proxy_every_request_is_left_to_boto3(odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint is the proxy here too: what counts is who asks."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{odd.server_port}")
    monkeypatch.setenv("no_proxy", "")
    store = odd.open()
    for _ in range(2):
        put(store, "box/a", b"bytes")
        assert not is_direct(odd)


def test_certificate_is_verified_with_the_bundle_that_boto3_uses(
    odd: OddServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    odd.socket = context.wrap_socket(odd.socket, server_side=True)
    authority.cert_pem.write_to_path(tmp_path / "trusted.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    endpoint = f"https://localhost:{odd.server_port}"
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    store = odd.open(endpoint=endpoint)
    for _ in range(2):
        put(store, "box/a", b"bytes")
    assert is_direct(odd)
    network = Network(1, 1, 1, 1, str(tmp_path / "other.pem"))
    with pytest.raises(ssl.SSLCertVerificationError):
        Route(urlsplit(endpoint), network).connect()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "other.pem"))
    with pytest.raises(StoreRefusedError, match="not trusted"):
        put(odd.open(endpoint=endpoint), "box/a", b"bytes")


def test_many_threads_share_the_connections(odd: OddServer, store: S3Store) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for turn in range(10):
            content = b"%d-%d" % (number, turn)
            put(store, f"box/{number}", content)
            assert read(store, f"box/{number}") == content

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert all(is_direct(odd, number) for number in range(len(odd.requests)))
    assert len({port for _, _, port in odd.requests}) <= 8


def test_real_server_accepts_signatures_of_all_kinds_of_keys(s3_server: S3Server) -> None:
    bucket = s3_server.make_bucket(f"direct-{uuid.uuid4().hex}")
    store = s3_server.open(bucket)
    put(store, "box/first", b"first")
    for number, name in enumerate(("a b", "ü+%&=?#", "~'!()*;:@$,[]", "e\u0301", "\N{PILE OF POO}")):
        content = b"%d" % number
        put(store, f"box/{name}", content, content_type="a/b;  c=d", filename=name, only_if_absent=True)
        assert read(store, f"box/{name}") == content
        with pytest.raises(ObjectExistsError):
            put(store, f"box/{name}", content, only_if_absent=True)


def test_part_is_asked_of_the_server_which_may_send_everything(odd: OddServer) -> None:
    store = odd.open()
    odd.objects["/bucket/box/a"] = bytes(range(200))
    for number in range(2):
        with store.open_range("box/a", 100, 103) as body:
            assert body.read() == b"def"
        assert odd.requests[-1][1]["Range"] == "bytes=100-102"
        assert is_direct(odd) == (number == 1)


def test_other_part_than_was_asked_for_is_no_answer(odd: OddServer, store: S3Store) -> None:
    odd.quirks = {"another range"}
    with pytest.raises(StoreUnavailableError, match="not one of an object store"):
        store.open_range("box/first", 1, 5).__enter__()
