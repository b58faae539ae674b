"""Access tokens for the stores of Google and Azure, from servers that stand for the providers'."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ingest.adapters.stores.rest.messages import Request
from ingest.adapters.stores.rest.opening import open_azure, open_gcs
from ingest.adapters.stores.rest.signers import BearerSigner, SharedKeySigner, Token, string_to_sign
from ingest.adapters.stores.rest.tokens import azure_tokens, google_tokens
from ingest.errors import ConfigError, StoreRefusedError, StoreUnavailableError
from tests.support.http import Answer, Receiver
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ISSUED = {"access_token": "issued", "expires_in": 3600, "token_type": "Bearer"}


@pytest.fixture
def server() -> Iterator[Receiver]:
    with Receiver() as receiver:
        receiver.answer = lambda _: answer(ISSUED)
        yield receiver


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither variables, nor files of command lines, nor a metadata server."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def answer(found: object, status: int = 200) -> Answer:
    return Answer(
        status, {"content-type": "application/json", "Metadata-Flavor": "Google"}, json.dumps(found).encode()
    )


def service_account(token_url: str) -> str:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    about = {"type": "service_account", "client_email": "mailhaul@tests.example", "private_key": key.decode()}
    return json.dumps({**about, "token_uri": token_url})


# --- Google ---


def test_key_of_a_service_account_gets_a_token(server: Receiver) -> None:
    key = service_account(server.url)
    token = google_tokens(lambda: key)()
    assert token.value == "issued"
    assert 3500 < token.expires - time.time() <= 3600
    assert b"jwt-bearer" in server.requests[0].body


def test_metadata_server_gives_a_token(server: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on GKE with workload identity."""
    monkeypatch.delenv("NO_GCE_CHECK")
    host = server.address.removeprefix("http://")
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"):
        monkeypatch.setenv(name, host)
    account = {"email": "mailhaul@tests.example", "scopes": [], "aliases": []}
    server.answer = lambda one: answer(ISSUED if "/token" in one.path else account)
    assert google_tokens(None)().value == "issued"
    assert all(one.headers["metadata-flavor"] == "Google" for one in server.requests)


def test_no_credentials_are_reported_with_a_remedy() -> None:
    with pytest.raises(StoreRefusedError, match="configure `credentials`"):
        google_tokens(None)()


def test_federated_identity_gets_a_token(server: Receiver, tmp_path: Path) -> None:
    """As of a pod elsewhere, whose own token is in a file."""
    (tmp_path / "token").write_text("of the pod")
    about = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": server.url,
        "credential_source": {"file": str(tmp_path / "token")},
    }
    server.answer = lambda _: answer({**ISSUED, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
    assert google_tokens(lambda: json.dumps(about))().value == "issued"
    assert b"of+the+pod" in server.requests[0].body


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"type": "service_account"}', '{"type": "odd"}'])
def test_credentials_that_are_none_are_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(StoreRefusedError) as caught:
        google_tokens(lambda: text)()
    assert text not in str(caught.value)


def test_credentials_that_cannot_be_read_are_refused() -> None:
    def missing() -> str:
        raise ConfigError(["credentials: there is no file"])

    with pytest.raises(StoreRefusedError, match="there is no file"):
        google_tokens(missing)()


def test_refusal_of_a_token_is_a_refusal(server: Receiver) -> None:
    key = service_account(server.url)
    server.answer = lambda _: answer({"error": "invalid_grant", "error_description": "no such account"}, 400)
    with pytest.raises(StoreRefusedError, match="Google issues no access token"):
        google_tokens(lambda: key)()


def test_unreachable_token_server_is_unavailable() -> None:
    key = service_account(f"http://127.0.0.1:{free_port()}/token")
    with pytest.raises(StoreUnavailableError):
        google_tokens(lambda: key)()


# --- Azure ---


def test_managed_identity_gets_a_token(server: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on App Service; other places differ in the address only."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", server.url)
    monkeypatch.setenv("IDENTITY_HEADER", "secret-of-the-place")
    ends = int(time.time()) + 3600
    server.answer = lambda _: answer({**ISSUED, "expires_on": str(ends), "resource": "r"})
    assert azure_tokens()() == Token("issued", float(ends))
    assert "storage.azure.com" in server.requests[0].path


def test_no_identity_is_reported_with_a_remedy(server: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", server.url)
    monkeypatch.setenv("IDENTITY_HEADER", "secret-of-the-place")
    server.answer = lambda _: answer({"error": "unknown identity"}, 400)
    with pytest.raises(StoreRefusedError, match="configure `account_key`"):
        azure_tokens()()


# --- signers ---


def test_token_is_fetched_once_and_again_before_it_expires() -> None:
    now, fetched = [1000.0], [0]

    def fetch() -> Token:
        fetched[0] += 1
        return Token(f"token {fetched[0]}", now[0] + 3600)

    signer = BearerSigner(fetch, lambda: now[0])

    def sent() -> Any:
        return signer.sign(Request("GET", "/"), None)[1]["authorization"]

    assert (sent(), sent()) == ("Bearer token 1", "Bearer token 1")
    now[0] += 3300
    assert sent() == "Bearer token 1"
    now[0] += 100
    assert sent() == "Bearer token 2"


def test_shared_key_covers_what_the_specification_says() -> None:
    """https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key, for the newer versions."""
    headers = {"x-ms-version": "2021-12-02", "x-ms-date": "D", "content-type": "T", "content-md5": "M"}
    target = "/account/box/a%20b?restype=container&comp=list&prefix=a%2Fb"
    expected = ["PUT", "", "", "5", "M", "T", "", "", "", "", "", "", "x-ms-date:D", "x-ms-version:2021-12-02"]
    resource = ["/account/account/box/a%20b", "comp:list", "prefix:a/b", "restype:container"]
    assert string_to_sign("PUT", "account", target, headers, 5) == "\n".join([*expected, *resource])
    assert string_to_sign("GET", "account", "/", {}, 0) == "\n".join(["GET", *[""] * 11, "/account/"])


def test_shared_key_is_read_for_each_request() -> None:
    keys = ["a2V5", "b3RoZXI="]
    signer = SharedKeySigner("account", "", lambda: keys[0], lambda: 0.0)
    request = Request("GET", "/box/a")
    first = signer.sign(request, None)[1]["authorization"]
    keys.pop(0)
    assert signer.sign(replace(request), None)[1]["authorization"] != first


def test_tokens_are_not_sent_unencrypted() -> None:
    with pytest.raises(ConfigError, match="not sent over http://"):
        open_azure("account", "container", endpoint="http://127.0.0.1:1")
    with Receiver() as server:
        server.answer = lambda _: Answer(403)
        store = open_gcs("bucket", endpoint=server.address, credentials=lambda: service_account(server.url))
        with pytest.raises(StoreRefusedError):
            store.stat("box/a")
        assert [one for one in server.requests if "authorization" in one.headers or "/hooks" in one.path] == []
