"""Signatures are those that botocore makes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from ingest.adapters.stores.sigv4 import Credentials, Request, Signer, encode_path

MOMENT = datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)
BODY = b"bytes"


@pytest.mark.parametrize("value", ["a/b", " a", "a ", "a  b", "a\tb", "", "ä\x85b", "a\x1fb"])
def test_blanks_of_a_value_are_signed_as_botocore_signs_them(value: str) -> None:
    headers = {"host": "bucket.s3.example", "content-type": value}
    request: Any = AWSRequest("PUT", "https://bucket.s3.example/k", {"content-type": value}, BODY)
    request.context["payload_signing_enabled"] = True
    with patch("botocore.auth.get_current_datetime", return_value=MOMENT):
        S3SigV4Auth(BotocoreCredentials("key", "secret"), "s3", "eu-central-1").add_auth(request)
    ours = Signer("eu-central-1").sign(
        Request("PUT", "/k", headers, hashlib.sha256(BODY).hexdigest()),
        Credentials("key", "secret"),
        MOMENT.timestamp(),
    )
    assert ours["authorization"] == request.headers["Authorization"]


@pytest.mark.parametrize("token", [None, "session/token+="])
@pytest.mark.parametrize("key", ["a", "a b/c+d", "ü/%41~", "'!()*;:@$,[]", "\N{PILE OF POO}"])
def test_signature_is_that_of_botocore(token: str | None, key: str) -> None:
    host, path = "bucket.s3.example", encode_path(f"/{key}")
    headers = {"content-type": " a/b;  c=d ", "x-amz-meta-sha256": "00", "if-none-match": "*"}
    request: Any = AWSRequest("PUT", f"https://{host}{path}", headers, BODY)
    request.context["payload_signing_enabled"] = True
    with patch("botocore.auth.get_current_datetime", return_value=MOMENT):
        S3SigV4Auth(BotocoreCredentials("key", "secret", token), "s3", "eu-central-1").add_auth(request)
    ours = Signer("eu-central-1").sign(
        Request("PUT", path, {"host": host, **headers}, hashlib.sha256(BODY).hexdigest()),
        Credentials("key", "secret", token),
        MOMENT.timestamp(),
    )
    assert ours["authorization"] == request.headers["Authorization"]


def test_key_is_derived_anew_for_another_day_and_another_secret() -> None:
    signer, request = Signer("r"), Request("GET", "/a", {"host": "h"})
    signatures = {
        signer.sign(request, Credentials("key", secret), seconds)["authorization"]
        for secret in ("one", "two")
        for seconds in (0.0, 86_400.0)
    }
    assert len(signatures) == 4
    again = Signer("r").sign(request, Credentials("key", "one"), 0.0)["authorization"]
    assert again in signatures
