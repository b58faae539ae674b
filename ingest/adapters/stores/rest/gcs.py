"""The JSON API of Google Cloud Storage: https://cloud.google.com/storage/docs/json_api/v1."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from typing_extensions import override

from ingest.adapters.stores.rest.messages import Api, Description, Entry, Page, Request, not_a_store, unexplained
from ingest.errors import ObjectExistsError, ObjectMissingError, StoreError, StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.adapters.stores.rest.messages import NewObject, Reply, Selection

ENDPOINT = "https://storage.googleapis.com"
_BOUNDARY = "mailhaul-object"
_DESCRIBED = "size,md5Hash,etag,generation,metadata"
_LISTED = "kind,nextPageToken,items(name,size,timeCreated,timeDeleted,hardDeleteTime,generation)"
_OBJECT = "storage#object"
_MISSING = "No such object"

_PERMISSIONS = (
    "permission denied: grant roles/storage.objectUser on the bucket (storage.objects.create, get, list and delete),"
    " and to the bucket's service agent use of the KMS key"
)
_KEPT = "a retention policy or a hold protects the object: it can be erased once that has ended or was released"
_REMEDIES = {
    "forbidden": _PERMISSIONS,
    "insufficientPermissions": _PERMISSIONS,
    "required": "the bucket is not public, and no credentials were sent: use https:// and configure `credentials`",
    "authError": "the credentials are not valid: renew them",
    "accountDisabled": "the project is disabled: see its billing",
    "billingNotEnabled": "the project has no billing: enable it",
    "userProjectMissing": "the bucket bills whoever asks, which is not supported: use another bucket",
    "quotaExceeded": "the quota is used up: raise it or free space",
    "retentionPolicyNotMet": _KEPT,
    "objectUnderActiveHold": _KEPT,
}
_TRANSIENT = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError", "conflict"})
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
_BAD_REQUEST, _UNAUTHORIZED, _NOT_FOUND, _PRECONDITION_FAILED, _SERVER_ERRORS = 400, 401, 404, 412, 500


class GcsApi(Api):
    """Requests for one bucket.

    The version of an object is its generation, which every bucket has; `ifGenerationMatch=0` creates only what is
    absent.

    Args:
        bucket: its name.
        kms_key: `projects/…/cryptoKeys/…` to encrypt with; else the bucket's default.
    """

    def __init__(self, bucket: str, kms_key: str | None = None) -> None:
        self.bucket = bucket
        self._kms_key = kms_key
        self._objects = f"/storage/v1/b/{quote(bucket, safe='')}/o"

    @override
    def check(self, key: str) -> None:
        if "\r" in key or "\n" in key:
            raise StoreRefusedError("on Google Cloud Storage an object's key may not hold a line break")

    @override
    def put(self, new: NewObject) -> Request:
        query = {"uploadType": "multipart", "fields": _DESCRIBED}
        if new.only_if_absent:
            query["ifGenerationMatch"] = "0"
        if self._kms_key is not None:
            query["kmsKeyName"] = self._kms_key
        about: dict[str, Any] = {
            "name": new.key,
            "contentType": new.content_type,
            "md5Hash": new.md5,
            "metadata": {"sha256": new.sha256},
        }
        if new.disposition is not None:
            about["contentDisposition"] = new.disposition
        # It follows from the bytes, so they cannot hold it.
        boundary = f"{_BOUNDARY}-{new.sha256}"
        before = (
            f"--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{json.dumps(about)}\r\n"
            f"--{boundary}\r\ncontent-type: {new.content_type}\r\n\r\n"
        )
        return Request(
            "POST",
            f"/upload{self._objects}?{urlencode(query)}",
            {"content-type": f"multipart/related; boundary={boundary}"},
            before.encode(),
            f"\r\n--{boundary}--\r\n".encode(),
        )

    @override
    def written(self, reply: Reply, new: NewObject) -> tuple[Description, str | None]:
        found = _json(reply)
        return _description(found), found.get("md5Hash")

    @override
    def get(self, key: str, part: str | None = None) -> Request:
        return Request("GET", f"{self._object(key)}?alt=media", {} if part is None else {"range": part})

    @override
    def is_object(self, headers: Mapping[str, str]) -> bool:
        return "x-goog-generation" in headers

    @override
    def head(self, key: str) -> Request:
        return Request("GET", f"{self._object(key)}?{urlencode({'fields': _DESCRIBED})}")

    @override
    def described(self, reply: Reply) -> Description:
        return _description(_json(reply))

    @override
    def delete(self, key: str, entry: Entry | None = None) -> Request:
        query = f"?{urlencode({'generation': entry.version})}" if entry is not None and entry.version else ""
        return Request("DELETE", self._object(key) + query)

    @override
    def list(self, prefix: str, marker: str | None, selection: Selection) -> Request:
        query = {"prefix": prefix, "fields": _LISTED}
        if marker is not None:
            query["pageToken"] = marker
        if selection == "versions":
            query["versions"] = "true"
        elif selection == "deleted":
            query["softDeleted"] = "true"
        return Request("GET", f"{self._objects}?{urlencode(query)}")

    @override
    def page(self, reply: Reply) -> Page:
        found = _json(reply)
        if found.get("kind") != "storage#objects":
            raise not_a_store()
        try:
            entries = [_entry(item) for item in found.get("items", ())]
        except (KeyError, TypeError, ValueError):
            raise not_a_store() from None
        return Page(entries, found.get("nextPageToken") or None)

    @override
    def is_coded(self, reply: Reply) -> bool:
        return bool(_error(reply)) or reply.content.startswith(_MISSING.encode())

    @override
    def is_vague(self, reply: Reply) -> bool:
        return reply.status == _NOT_FOUND and _MISSING.encode() not in reply.content

    @override
    def no_bucket(self) -> StoreError:
        return StoreRefusedError(
            "the object store refuses (notFound): there is no such bucket: create it, or correct `store`"
        )

    @override
    def refusal(self, reply: Reply) -> StoreError:
        status, error = reply.status, _error(reply)
        if not self.is_coded(reply):
            return unexplained(status)
        message, reason = str(error.get("message", "")).lower(), _reason(error)
        if status == _NOT_FOUND:
            return ObjectMissingError("there is no object under this key")
        if status == _PRECONDITION_FAILED:
            return ObjectExistsError("there is an object under this key already")
        if reason in _TRANSIENT or status in _TRANSIENT_STATUS or status >= _SERVER_ERRORS:
            return StoreUnavailableError(f"the object store cannot serve the request now ({reason}, HTTP {status})")
        if status == _BAD_REQUEST and "md5" in message:
            return StoreUnavailableError("the bytes arrived changed at the object store; nothing was stored")
        if status == _UNAUTHORIZED and reason not in _REMEDIES:
            reason = "authError"
        remedy = _REMEDIES.get(reason, "see its documentation for this code")
        if status == _BAD_REQUEST and "bucket name" in message:
            remedy = "this is no bucket name: correct `store`"
        return StoreRefusedError(f"the object store refuses ({reason}, HTTP {status}): {remedy}")

    def _object(self, key: str) -> str:
        return f"{self._objects}/{quote(key, safe='')}"


def _json(reply: Reply) -> dict[str, Any]:
    try:
        found = json.loads(reply.content)
    except ValueError:
        raise not_a_store() from None
    if not isinstance(found, dict):
        raise not_a_store()
    return found


def _error(reply: Reply) -> dict[str, Any]:
    """Return what the API reports of an error; empty if it reports nothing."""
    try:
        found = json.loads(reply.content)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _reason(error: Mapping[str, Any]) -> str:
    """Return the code of an error: a word, whatever the server sends."""
    try:
        found = str(error["errors"][0]["reason"])
    except (KeyError, IndexError, TypeError):
        found = str(error.get("status", "unknown"))
    return found if found.isidentifier() else "unknown"


def _description(found: Mapping[str, Any]) -> Description:
    try:
        size, version, etag = int(found["size"]), str(int(found["generation"])), str(found["etag"])
        sha256 = (found.get("metadata") or {}).get("sha256")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise not_a_store() from None
    return Description(size, sha256, etag, version)


def _entry(item: Mapping[str, Any]) -> Entry:
    gone = item.get("hardDeleteTime")
    return Entry(
        key=item["name"],
        modified=_seconds(item["timeCreated"]),
        size=int(item["size"]),
        live="timeDeleted" not in item,
        version=str(int(item["generation"])),
        gone_at=None if gone is None else _seconds(gone),
    )


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
