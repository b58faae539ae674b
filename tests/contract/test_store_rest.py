"""The stores of Google and Azure with servers that are busy, wrong, silent, or no object stores at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import ssl
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ingest.adapters.stores.rest.azure import AzureApi
from ingest.adapters.stores.rest.gcs import GcsApi
from ingest.adapters.stores.rest.http import HttpClient, Limits
from ingest.adapters.stores.rest.signers import BearerSigner, Token, Unsigned
from ingest.adapters.stores.rest.store import RestStore
from ingest.errors import (
    ObjectExistsError,
    StoreCorruptError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tests.support.http import Answer, Receiver, Request
from tests.support.servers import free_port
from tests.support.socks import HttpConnect
from tests.support.stores import every_rest_call, put, read, stored_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import trustme

MIB = 2**20
STORED = {"x-ms-request-id": "1", "etag": '"e"', "date": "Fri, 27 Nov 2026 12:00:00 GMT"}
MODIFIED = "<Last-Modified>Fri, 27 Nov 2026 11:00:00 GMT</Last-Modified><Content-Length>1</Content-Length>"


@dataclass
class Server:
    """A scripted server of one of the APIs: answers are taken from `answers` first, then it stores everything."""

    kind: str
    receiver: Receiver
    sleeps: list[float] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    content: bytes = b"bytes"

    def __post_init__(self) -> None:
        self.receiver.answer = self.answer

    @property
    def requests(self) -> list[Request]:
        return self.receiver.requests

    def open(self, **limits: Any) -> RestStore:
        api = GcsApi("bucket") if self.kind == "gcs" else AzureApi("account", "bucket")
        limited = Limits(**{"attempts": 1, **limits})
        return RestStore(api, HttpClient(self.receiver.address, Unsigned(), limited, self.sleeps.append))

    def answer(self, request: Request) -> Answer:
        if self.answers:
            return self.answers.pop(0)
        return self.stored(request) if request.method in ("PUT", "POST") else self.given()

    def stored(self, request: Request, md5: str | None = None) -> Answer:
        """The answer to a put."""
        if self.kind == "azure":
            return Answer(201, {**STORED, "content-md5": md5 or request.headers["content-md5"]})
        found = re.search(rb'"md5Hash": "([^"]+)"', request.body)
        size = len(request.body.split(b"\r\n\r\n", 2)[2].rpartition(b"\r\n--")[0])
        assert found is not None
        about = {"size": str(size), "md5Hash": md5 or found[1].decode(), "etag": "e", "generation": "1"}
        return Answer(200, {}, json.dumps(about).encode())

    def given(self) -> Answer:
        """The answer to a get."""
        if self.kind == "azure":
            return Answer(200, {**STORED, "x-ms-blob-type": "BlockBlob"}, self.content)
        return Answer(200, {"x-goog-generation": "1"}, self.content)

    def refusal(self, status: int, code: str, message: str = "no") -> Answer:
        if self.kind == "azure":
            return Answer(status, {"x-ms-error-code": code})
        error = {"code": status, "message": message, "errors": [{"reason": code, "message": message}]}
        return Answer(status, {}, json.dumps({"error": error}).encode())


@pytest.fixture(params=["gcs", "azure"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Receiver() as receiver:
        yield Server(request.param, receiver)


@pytest.fixture
def gcs() -> Iterator[Server]:
    with Receiver() as receiver:
        yield Server("gcs", receiver)


@pytest.fixture
def azure() -> Iterator[Server]:
    with Receiver() as receiver:
        yield Server("azure", receiver)


# --- refusals ---


@pytest.mark.parametrize(
    ("kind", "status", "code", "error", "words"),
    [
        ("gcs", 401, "authError", StoreRefusedError, "renew them"),
        ("gcs", 401, "required", StoreRefusedError, "configure `credentials`"),
        ("gcs", 401, "unheard", StoreRefusedError, "renew them"),
        ("gcs", 403, "forbidden", StoreRefusedError, "roles/storage.objectUser"),
        ("gcs", 403, "retentionPolicyNotMet", StoreRefusedError, "a retention policy or a hold"),
        ("gcs", 403, "rateLimitExceeded", StoreUnavailableError, "cannot serve"),
        ("gcs", 403, "<b>odd</b>", StoreRefusedError, "unknown, HTTP 403"),
        ("gcs", 409, "conflict", StoreUnavailableError, "cannot serve"),
        ("gcs", 429, "rateLimitExceeded", StoreUnavailableError, "cannot serve"),
        ("gcs", 503, "backendError", StoreUnavailableError, "cannot serve"),
        ("azure", 403, "AuthenticationFailed", StoreRefusedError, "renew what has expired"),
        ("azure", 403, "AuthorizationPermissionMismatch", StoreRefusedError, "Storage Blob Data Contributor"),
        ("azure", 404, "ContainerNotFound", StoreRefusedError, "create it"),
        ("azure", 409, "BlobImmutableDueToPolicy", StoreRefusedError, "immutability policy"),
        ("azure", 409, "BlobBeingRehydrated", StoreUnavailableError, "cannot serve"),
        ("azure", 412, "LeaseIdMissing", StoreRefusedError, "break it"),
        ("azure", 400, "Md5Mismatch", StoreUnavailableError, "arrived changed"),
        ("azure", 400, "Unheard", StoreRefusedError, "Unheard, HTTP 400"),
        ("azure", 503, "ServerBusy", StoreUnavailableError, "cannot serve"),
    ],
)
def test_refusal_names_cause_and_remedy(
    kind: str, status: int, code: str, error: type[StoreError], words: str
) -> None:
    with Receiver() as receiver:
        server = Server(kind, receiver)
        receiver.answer = lambda _: server.refusal(status, code)
        for call in every_rest_call(server.open()):
            with pytest.raises(error, match=words):
                call()


@pytest.mark.parametrize("status", [200, 403, 404, 412, 503])
def test_page_is_no_answer_of_a_store(server: Server, status: int) -> None:
    """Taken for success, mail would be deleted; taken for a missing object, it would be fetched again."""
    page = Answer(status, {"content-type": "text/html"}, b"<!DOCTYPE html><html>Back soon.<br></html>")
    server.receiver.answer = lambda _: page
    for call in every_rest_call(server.open()):
        with pytest.raises(StoreError, match=r"not one of an object store|cannot serve"):
            call()


def test_document_of_another_kind_is_no_listing(server: Server) -> None:
    """An empty listing that is none would count as an empty store."""
    entities = b'<!DOCTYPE a [<!ENTITY b "c">]><EnumerationResults><Prefix>&b;</Prefix><Blobs/></EnumerationResults>'
    for body in (b"{}", b"[]", b"<Blobs/>", b"<Other><Blobs/></Other>", b"<EnumerationResults/>", entities):
        server.answers = [Answer(200, STORED, body)]
        with pytest.raises(StoreUnavailableError, match="not one of an object store"):
            stored_keys(server.open(), "")


def test_checksum_that_differs_in_the_answer_is_an_error(server: Server) -> None:
    server.receiver.answer = lambda request: server.stored(request, md5="AAAAAAAAAAAAAAAAAAAAAA==")
    with pytest.raises(StoreCorruptError, match="another checksum"):
        put(server.open(), "box/a", b"bytes")


def test_missing_object_and_missing_bucket_are_distinguished_by_a_listing(gcs: Server) -> None:
    store, missing = gcs.open(), gcs.refusal(404, "notFound", "Not Found")
    gcs.answers = [missing, Answer(200, {}, b'{"kind": "storage#objects"}')]
    assert store.stat("box/a") is None
    gcs.answers = [missing, missing]
    with pytest.raises(StoreRefusedError, match="no such bucket"):
        store.stat("box/a")
    gcs.requests.clear()
    gcs.answers = [gcs.refusal(404, "notFound", "No such object: bucket/box/a")]
    assert store.stat("box/a") is None
    assert len(gcs.requests) == 1, "where the answer is clear, nothing else is asked"


def test_refusal_of_the_bytes_without_a_code_is_explained_by_the_description(gcs: Server) -> None:
    gcs.answers = [Answer(403, {}, b"Forbidden"), gcs.refusal(403, "forbidden")]
    with pytest.raises(StoreRefusedError, match="objectUser"):
        read(gcs.open(), "box/a")


def test_account_with_folders_of_its_own_is_refused(azure: Server) -> None:
    blob = f"<Blob><Name>box</Name><Properties><ResourceType>directory</ResourceType>{MODIFIED}</Properties></Blob>"
    azure.answers = [listing(blob)]
    with pytest.raises(StoreRefusedError, match="hierarchical namespace"):
        stored_keys(azure.open(), "")


# --- patience ---


@pytest.mark.parametrize("size", [5, 2 * MIB])
def test_busy_server_is_asked_again_with_the_whole_object(server: Server, size: int) -> None:
    server.answers = [Answer(503), Answer(429)]
    content = bytes(size)
    assert put(server.open(attempts=3), "box/a", content).size == size
    assert len(server.sleeps) == 2
    assert len({request.body for request in server.requests}) == 1
    assert content in server.requests[-1].body


def test_busy_server_is_unavailable_after_the_last_attempt(server: Server) -> None:
    server.receiver.answer = lambda _: Answer(503)
    with pytest.raises(StoreUnavailableError, match="503"):
        server.open(attempts=2).stat("box/a")
    assert len(server.requests) == 2


def test_lost_connection_is_followed_by_another(server: Server) -> None:
    server.answers = [Answer(raw=b"")]
    put(server.open(attempts=2), "box/a", b"bytes")
    assert len(server.requests) == 2


def test_unreachable_server_is_unavailable() -> None:
    client = HttpClient(f"http://127.0.0.1:{free_port()}", Unsigned(), Limits(attempts=1))
    for call in every_rest_call(RestStore(GcsApi("bucket"), client)):
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            call()


def test_silent_server_is_unavailable(server: Server) -> None:
    server.receiver.answer = lambda _: Answer(silent=True)
    with pytest.raises(StoreUnavailableError, match="in time"):
        server.open(read_timeout=0.2).stat("box/a")


@pytest.mark.parametrize(
    "first", [b"HTTP/1.1 200 OK\r\nx-filler: ", b"HTTP/1.1 200 OK\r\nx-goog-generation: 1\r\n"], ids=["head", "body"]
)
def test_server_that_sends_a_byte_now_and_then_is_unavailable(gcs: Server, first: bytes) -> None:
    """Each byte comes before `read_timeout`, so only the deadline of a piece ends it."""
    if first.endswith(b"1\r\n"):
        first += b"content-length: 1000000000\r\n\r\n"
    gcs.receiver.answer = lambda _: Answer(trickle=first)
    with pytest.raises(StoreUnavailableError, match="in time"):
        read(gcs.open(read_timeout=60, piece_timeout=1.5), "box/a")


def test_truncated_object_is_an_error(server: Server) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in server.given().headers.items())
    raw = f"HTTP/1.1 200 OK\r\n{head}content-length: 1000\r\n\r\n".encode() + bytes(999)
    server.receiver.answer = lambda _: Answer(raw=raw)
    with pytest.raises(StoreUnavailableError), server.open().open("box/a") as body:
        list(iter(lambda: body.read(100), b""))


def test_object_that_is_read_slowly_by_its_reader_is_no_failure(server: Server) -> None:
    """The time between two reads is the reader's."""
    server.content = bytes(MIB)
    with server.open(piece_timeout=1.5).open("box/a") as body:
        time.sleep(3)
        first = body.read(1000)
        time.sleep(3)  # longer than the deadline, and than the interval in which deadlines are looked at
        assert len(first + body.read()) == MIB


def test_large_object_that_exists_is_not_sent(server: Server) -> None:
    content = bytes(9 * MIB)
    about = {"size": str(len(content)), "etag": "e", "generation": "1"}
    about_it = {"metadata": {"sha256": hashlib.sha256(content).hexdigest()}}
    server.content = json.dumps({**about, **about_it}).encode() if server.kind == "gcs" else content
    digest = {"x-ms-meta-sha256": about_it["metadata"]["sha256"]} if server.kind == "azure" else {}
    given = server.given()
    server.receiver.answer = lambda _: Answer(200, {**given.headers, **digest}, given.body)
    with pytest.raises(ObjectExistsError):
        put(server.open(), "box/a", content, only_if_absent=True)
    assert {request.method for request in server.requests} <= {"GET", "HEAD"}


def test_connections_are_reused_but_not_by_a_forked_process(server: Server) -> None:
    """Two processes that write into one connection would read each other's answers."""
    store = server.open()
    for key in ("box/a", "box/b"):
        put(store, key, b"bytes")
        assert read(store, key) == b"bytes"
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
    *mine, forked = [request.connection for request in server.requests]
    assert len(set(mine)) == 1
    assert forked not in mine


# --- on the way ---


def encrypted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("proxied", [False, True])
def test_server_is_verified_with_the_systems_certificates(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch, *, proxied: bool
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    with Receiver(encrypted(authority)) as receiver, HttpConnect() as proxy:
        if proxied:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        server = Server("azure", receiver)
        with pytest.raises(StoreRefusedError, match="certificate is not trusted"):
            put(server.open(), "box/a", b"bytes")
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        store = server.open()
        put(store, "box/a", b"bytes")
        assert read(store, "box/a") == b"bytes"
        assert bool(proxy.asked) == proxied


def test_proxy_that_is_unavailable_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        server.open().stat("box/a")


# --- what is sent ---


def test_condition_is_sent_only_with_creations(server: Server) -> None:
    store = server.open()
    put(store, "box/a", b"bytes")
    put(store, "box/b", b"bytes", only_if_absent=True)
    found = ["ifGenerationMatch=0" in one.path or one.headers.get("if-none-match") == "*" for one in server.requests]
    assert found == [False, True]


def test_kms_key_is_sent(gcs: Server) -> None:
    http = HttpClient(gcs.receiver.address, Unsigned(), Limits())
    put(RestStore(GcsApi("bucket", "projects/p/cryptoKeys/k"), http), "box/a", b"bytes")
    assert "kmsKeyName=projects%2Fp%2FcryptoKeys%2Fk" in gcs.requests[0].path


def test_body_is_sent_in_pieces_from_where_it_stands(server: Server) -> None:
    content = os.urandom(3 * MIB)
    body = io.BytesIO(b"before" + content)
    body.seek(6)
    digest = hashlib.sha256(content).hexdigest()
    server.open().put("box/a", body, size=len(content), sha256=digest, content_type="text/plain")
    assert content in server.requests[-1].body


def test_rejected_token_is_renewed_once(server: Server) -> None:
    tokens = iter(["first", "second", "third"])
    signer = BearerSigner(lambda: Token(next(tokens), time.time() + 3600))
    api = GcsApi("bucket") if server.kind == "gcs" else AzureApi("account", "bucket")
    store = RestStore(api, HttpClient(server.receiver.address, signer, Limits(attempts=1), server.sleeps.append))
    server.answers = [Answer(401)]
    put(store, "box/a", b"bytes")
    assert [one.headers["authorization"] for one in server.requests] == ["Bearer first", "Bearer second"]
    code = "authError" if server.kind == "gcs" else "AuthenticationFailed"
    server.receiver.answer = lambda _: server.refusal(401, code)
    with pytest.raises(StoreRefusedError, match="credentials are not valid"):
        put(store, "box/a", b"bytes")
    assert len(server.requests) == 4


# --- versions, and what was deleted ---


def listing(*blobs: str) -> Answer:
    body = f"<EnumerationResults><Blobs>{''.join(blobs)}</Blobs><NextMarker/></EnumerationResults>"
    return Answer(200, STORED, body.encode())


def blob(name: str, *elements: str, properties: str = "") -> str:
    return f"<Blob><Name>{name}</Name>{''.join(elements)}<Properties>{MODIFIED}{properties}</Properties></Blob>"


def asked(server: Server) -> list[str]:
    return [f"{one.method} {one.path}" for one in server.requests if one.method != "GET"]


def test_earlier_versions_go_first_and_the_one_that_the_deletion_makes_last(azure: Server) -> None:
    """On Azure a deleted blob becomes an earlier version of itself."""
    old, new = "<VersionId>1</VersionId>", "<VersionId>2</VersionId>"
    current = blob("box/m/a", new, "<IsCurrentVersion>true</IsCurrentVersion>")
    gone = Answer(202, STORED)
    azure.answers = [
        listing(current, blob("box/m/a", old)),
        gone,
        gone,
        listing(blob("box/m/a", new)),
        gone,
        listing(),
    ]
    assert azure.open().erase("box/m") == 2
    path = "DELETE /bucket/box/m/a"
    assert asked(azure) == [f"{path}?versionid=1", path, f"{path}?versionid=2"]


def test_versions_that_do_not_go_are_an_error(azure: Server) -> None:
    found = listing(blob("box/m/a", "<VersionId>1</VersionId>"))
    azure.receiver.answer = lambda one: found if one.method == "GET" else Answer(202, STORED)
    with pytest.raises(StoreRefusedError, match="appear again and again"):
        azure.open().erase("box/m")


def test_another_process_may_erase_beside_this_one(gcs: Server) -> None:
    item = {"name": "box/m/a", "size": "1", "timeCreated": "2026-11-27T11:00:00Z", "generation": "7"}
    page = Answer(200, {}, json.dumps({"kind": "storage#objects", "items": [item]}).encode())
    gcs.answers = [
        page,
        gcs.refusal(404, "notFound", "No such object: bucket/box/m/a"),
        Answer(200, {}, b'{"kind": "storage#objects"}'),
    ]
    assert gcs.open().erase("box/m") == 1
    assert asked(gcs) == ["DELETE /storage/v1/b/bucket/o/box%2Fm%2Fa?generation=7"]


def test_soft_deleted_objects_can_be_restored_until_the_last_of_them_is_gone(gcs: Server) -> None:
    items: list[Mapping[str, str]] = [
        {
            "name": f"box/m/{hour}",
            "size": "1",
            "timeCreated": "2026-11-27T11:00:00Z",
            "generation": "1",
            "hardDeleteTime": f"2026-12-04T{hour}:00:00Z",
        }
        for hour in (11, 13, 12)
    ]
    gcs.answers = [Answer(200, {}, json.dumps({"kind": "storage#objects", "items": items}).encode())]
    assert gcs.open().restorable_until("box/m") == 1796389200
    assert "softDeleted=true" in gcs.requests[0].path


def test_soft_deleted_blobs_are_neither_erased_again_nor_forgotten(azure: Server) -> None:
    """They are listed with the others; the server tells whole days, and begins to count when they are deleted."""
    days = "<RemainingRetentionDays>6</RemainingRetentionDays>"
    deleted = blob("box/m/a", "<Deleted>true</Deleted>", properties=days)
    azure.answers = [listing(deleted), listing(deleted)]
    store = azure.open()
    assert store.erase("box/m") == 0
    until = store.restorable_until("box/m")
    assert until == 1795780800 + 7 * 86_400
    assert asked(azure) == []


def test_names_that_xml_cannot_hold_are_decoded(azure: Server) -> None:
    azure.answers = [
        listing(f'<Blob><Name Encoded="true">box/a%EF%BF%BE</Name><Properties>{MODIFIED}</Properties></Blob>')
    ]
    assert stored_keys(azure.open(), "") == ["box/a\ufffe"]


def test_part_is_asked_of_the_server_which_may_send_everything(server: Server) -> None:
    server.content = bytes(range(200))
    with server.open().open_range("box/a", 100, 103) as body:
        assert body.read() == b"def"
    headers = server.requests[-1].headers
    assert (headers.get("range") or headers.get("x-ms-range")) == "bytes=100-102"


def test_other_part_than_was_asked_for_is_no_answer(server: Server) -> None:
    given = server.given()
    ranges: list[dict[str, str]] = [{"content-range": "bytes 0-4/5"}, {}]
    server.answers = [Answer(206, {**given.headers, **one}, b"bytes") for one in ranges]
    for _ in ranges:
        with pytest.raises(StoreUnavailableError, match="not one of an object store"):
            server.open().open_range("box/a", 1, 5).__enter__()
