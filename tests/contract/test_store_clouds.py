"""What the stores on Google's and Azure's emulators promise beyond the contract of all stores."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import tempfile
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

from ingest.adapters.stores.rest.azure import API_VERSION
from ingest.errors import ConfigError, StoreRefusedError
from tests.support.clouds import ACCOUNT, ACCOUNT_KEY
from tests.support.stores import every_rest_call, put, read, stored_keys

if TYPE_CHECKING:
    from tests.support.clouds import Azurite, Emulator, FakeGcs

MIB = 2**20


@pytest.fixture(params=["fake_gcs", "azurite"])
def emulator(request: pytest.FixtureRequest) -> Emulator:
    made: Emulator = request.getfixturevalue(request.param)
    return made


def described(emulator: Emulator, bucket: str, key: str) -> dict[str, Any]:
    """Type, disposition and SHA-256 as another program sees them."""
    if bucket.startswith("gcs"):
        found = json.loads(emulator.ask("GET", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}").content)
        return {
            "type": found["contentType"],
            "disposition": found.get("contentDisposition"),
            "sha256": found["metadata"]["sha256"],
        }
    headers = emulator.ask("HEAD", f"/{bucket}/{quote(key)}", x_ms_version=API_VERSION).headers
    return {
        "type": headers["content-type"],
        "disposition": headers.get("content-disposition"),
        "sha256": headers["x-ms-meta-sha256"],
    }


def new_bucket(emulator: Emulator) -> str:
    kind = "azure" if ACCOUNT in emulator.endpoint else "gcs"
    return emulator.make_bucket(f"{kind}-{uuid.uuid4().hex}")


@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_type_disposition_and_checksum_go_with_the_object(emulator: Emulator, size: int) -> None:
    bucket, content = new_bucket(emulator), b"x" * size
    store = emulator.open(bucket)
    put(store, "box/a", content, content_type="application/pdf", filename="Rechnung Nr. 7/8 'ü'.pdf")
    put(store, "box/raw.eml", content, content_type="message/rfc822")
    put(store, "box/odd", content, content_type="text/plain\r\nx-evil: 1")
    digest = hashlib.sha256(content).hexdigest()
    disposition = "attachment; filename*=UTF-8''Rechnung%20Nr.%207%2F8%20%27%C3%BC%27.pdf"
    expected = {"type": "application/pdf", "disposition": disposition, "sha256": digest}
    assert described(emulator, bucket, "box/a") == expected
    assert described(emulator, bucket, "box/raw.eml")["type"] == "message/rfc822"
    assert not described(emulator, bucket, "box/raw.eml")["disposition"]
    assert described(emulator, bucket, "box/odd")["type"] == "application/octet-stream"


def test_more_keys_than_one_page_holds_are_all_listed(emulator: Emulator) -> None:
    store, keys = emulator.open(new_bucket(emulator)), [f"box/{number:04}" for number in range(1001)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: put(store, key, b""), keys))
    assert stored_keys(store, "box/") == keys


def test_missing_bucket_is_named_as_such(emulator: Emulator) -> None:
    """Also where the answer is the one for a missing object: else nothing is ever found, for no visible reason."""
    for call in every_rest_call(emulator.open("no-such-bucket")):
        with pytest.raises(StoreRefusedError, match="create it, or correct `store`"):
            call()


def test_object_of_another_program_is_read_for_its_checksum(emulator: Emulator) -> None:
    bucket = new_bucket(emulator)
    if bucket.startswith("gcs"):
        emulator.ask("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=box%2Fa", b"bytes")
    else:
        emulator.ask("PUT", f"/{bucket}/box/a", b"bytes", x_ms_version=API_VERSION, x_ms_blob_type="BlockBlob")
    ref = emulator.open(bucket).stat("box/a")
    assert ref is not None
    assert (ref.size, ref.sha256) == (5, hashlib.sha256(b"bytes").hexdigest())


def test_memory_does_not_grow_with_the_object(emulator: Emulator) -> None:
    size, store = 48 * MIB, emulator.open(new_bucket(emulator))
    with tempfile.TemporaryFile() as body:
        body.truncate(size)
        digest = hashlib.sha256(bytes(size)).hexdigest()
        tracemalloc.start()
        try:
            for only_if_absent in (False, True):
                key = f"box/{only_if_absent}"
                body.seek(0)
                store.put(key, body, size=size, sha256=digest, content_type="a/b", only_if_absent=only_if_absent)
            with store.open("box/True") as found:
                assert sum(map(len, iter(lambda: found.read(MIB), b""))) == size
            assert tracemalloc.get_traced_memory()[1] < 6 * MIB
        finally:
            tracemalloc.stop()


def test_nothing_can_be_restored_without_soft_delete(emulator: Emulator) -> None:
    store = emulator.open(new_bucket(emulator))
    put(store, "box/m/a", b"bytes")
    assert store.erase("box/m") == 1
    assert store.restorable_until("box/m") is None


def test_every_generation_goes(fake_gcs: FakeGcs) -> None:
    bucket = fake_gcs.make_bucket(f"gcs-{uuid.uuid4().hex}", versions=True)
    store = fake_gcs.open(bucket)
    for key in ("box/m/a", "box/m/a", "box/m/keep", "box/m/keep", "box/m/deleted", "box/other", "box/other"):
        put(store, key, key.encode())
    store.delete("box/m/deleted")
    assert store.erase("box/m", keep=["box/m/keep"]) == 4
    listed = json.loads(fake_gcs.ask("GET", f"/storage/v1/b/{bucket}/o?versions=true").content)["items"]
    assert sorted(item["name"] for item in listed) == ["box/m/keep", "box/other", "box/other"]
    assert read(store, "box/m/keep") == b"box/m/keep"
    assert store.erase_versions("box/other") == 1
    assert store.erase_versions("box/m/keep") == 0
    assert read(store, "box/other") == b"box/other"


def test_snapshots_go_with_their_blob_and_without_it(azurite: Azurite) -> None:
    bucket = new_bucket(azurite)
    store = azurite.open(bucket)
    for key in ("box/m/a", "box/m/keep", "box/other"):
        put(store, key, key.encode())
        azurite.ask("PUT", f"/{bucket}/{key}?comp=snapshot", b"", x_ms_version=API_VERSION)
    assert store.erase("box/m", keep=["box/m/keep"]) == 3
    query = "restype=container&comp=list&include=snapshots"
    listed = azurite.ask("GET", f"/{bucket}?{query}", x_ms_version=API_VERSION).content.decode()
    assert [listed.count(f"<Name>{key}</Name>") for key in ("box/m/a", "box/m/keep", "box/other")] == [0, 1, 2]
    assert read(store, "box/m/keep") == b"box/m/keep"
    store.delete("box/other")
    assert stored_keys(store, "") == ["box/m/keep"]


def test_wrong_account_key_names_the_remedy_and_no_secret(azurite: Azurite) -> None:
    wrong = base64.b64encode(b"another key").decode()
    for call in every_rest_call(azurite.open(account_key=lambda: wrong)):
        with pytest.raises(StoreRefusedError, match="permission denied") as caught:
            call()
        assert wrong not in str(caught.value)


def test_account_key_that_is_none_is_refused(azurite: Azurite) -> None:
    def missing() -> str:
        raise ConfigError(["account_key: there is no file"])

    for key, words in ((lambda: "no base64!", "is not base64"), (missing, "there is no file")):
        with pytest.raises(StoreRefusedError, match=words):
            azurite.open(account_key=key).stat("box/a")


def sas(permissions: str) -> str:
    """A SAS token for the account's blobs: https://learn.microsoft.com/rest/api/storageservices/create-account-sas."""
    ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = (ACCOUNT, permissions, "b", "co", "", ends, "", "", API_VERSION, "")
    text = "".join(f"{value}\n" for value in fields)
    signature = base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), "sha256")).decode()
    query = {"sv": API_VERSION, "ss": "b", "srt": "co", "sp": permissions, "se": ends, "sig": signature}
    return urlencode(query)


def test_sas_token_allows_what_it_allows(azurite: Azurite) -> None:
    bucket = new_bucket(azurite)
    store, reader = (azurite.open(bucket, sas_token=lambda p=p: sas(p)) for p in ("rwdlx", "rl"))
    put(store, "box/a", b"bytes", only_if_absent=True)
    assert (read(store, "box/a"), stored_keys(store, "")) == (b"bytes", ["box/a"])
    assert read(reader, "box/a") == b"bytes"
    with pytest.raises(StoreRefusedError, match="permission denied") as caught:
        put(reader, "box/b", b"bytes")
    assert "sig=" not in str(caught.value)
    assert store.erase("box") == 1
