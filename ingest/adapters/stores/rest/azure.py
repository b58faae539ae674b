"""The REST API of Azure Blob Storage: https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode
from xml.etree.ElementTree import Element, ParseError, fromstring

from typing_extensions import override

from ingest.adapters.stores.rest.messages import Api, Description, Entry, Page, Request, not_a_store, unexplained
from ingest.errors import ObjectExistsError, ObjectMissingError, StoreError, StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.adapters.stores.rest.messages import NewObject, Reply, Selection

# Blobs of 5,000 MiB in one request, versions, and names that XML cannot hold.
API_VERSION = "2021-12-02"
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,100})</Code>")
_INCLUDE = {"versions": "versions,snapshots", "deleted": "deleted,versions,snapshots"}
_DAY = 86_400

_CREDENTIALS = (
    "the credentials are not valid: correct account, `account_key` or `sas_token`, renew what has expired, and set"
    " this machine's clock"
)
_PERMISSIONS = (
    "permission denied: grant the role Storage Blob Data Contributor on the container (Storage Blob Data Owner if it"
    " keeps versions and mail is to be purged), or a SAS token with the permissions rwdl (and x); check the account's"
    " network rules"
)
_KEPT = (
    "an immutability policy or a legal hold protects the object: it can be erased once that has ended or was lifted"
)
_NO_CONTAINER = "there is no such container: create it, or correct `store`"
_NAME = "this is no name for a container or an object: correct `store`"
_REMEDIES = {
    "ContainerNotFound": _NO_CONTAINER,
    "ContainerDisabled": "the container is disabled: enable it",
    "AuthenticationFailed": _CREDENTIALS,
    "InvalidAuthenticationInfo": _CREDENTIALS,
    "NoAuthenticationInformation": "no credentials were sent: configure `account_key` or `sas_token`, or an identity",
    "KeyBasedAuthenticationNotPermitted": "the account takes no keys: leave `account_key` out, and use an identity",
    "AuthorizationFailure": _PERMISSIONS,
    "AuthorizationPermissionMismatch": _PERMISSIONS,
    "AuthorizationProtocolMismatch": "the SAS token is for https:// only: correct the endpoint",
    "AuthorizationSourceIPMismatch": "the SAS token is for other addresses: issue another one",
    "AuthorizationResourceTypeMismatch": _PERMISSIONS,
    "AuthorizationServiceMismatch": _PERMISSIONS,
    "InsufficientAccountPermissions": _PERMISSIONS,
    "AccountIsDisabled": "the account is disabled: see its billing",
    "BlobImmutableDueToPolicy": _KEPT,
    "BlobArchived": "the object was moved to the archive tier: rehydrate it, and change that rule",
    "LeaseIdMissing": "another program holds a lease on the object: break it",
    "InvalidResourceName": _NAME,
    "InvalidUri": _NAME,
    "OutOfRangeInput": _NAME,
}
_MISSING = frozenset({"BlobNotFound", "ResourceNotFound"})
_PRESENT = frozenset({"BlobAlreadyExists", "ConditionNotMet", "UnauthorizedBlobOverwrite"})
_CHANGED = frozenset({"Md5Mismatch", "InvalidMd5"})
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
_SERVER_ERRORS = 500


class AzureApi(Api):
    """Requests for one container.

    Args:
        account: of the storage, a part of `bucket` so that it is unambiguous.
        container: its name.
    """

    def __init__(self, account: str, container: str) -> None:
        self.bucket = f"{account}/{container}"
        self._container = f"/{quote(container, safe='')}"

    @override
    def check(self, key: str) -> None:
        if "\\" in key or any(part.endswith(".") for part in key.split("/")):
            raise StoreRefusedError(
                "on Azure no segment of an object's key may hold a backslash or end with a dot: change the prefix"
            )

    @override
    def put(self, new: NewObject) -> Request:
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "content-type": new.content_type,
            "content-md5": new.md5,
            "x-ms-meta-sha256": new.sha256,
        }
        if new.disposition is not None:
            headers["x-ms-blob-content-disposition"] = new.disposition
        if new.only_if_absent:
            headers["if-none-match"] = "*"
        return _request("PUT", self._object(new.key), headers)

    @override
    def written(self, reply: Reply, new: NewObject) -> tuple[Description, str | None]:
        # The answer has no size, but the checksum is that of all bytes.
        return _description(reply.headers, new.size), reply.headers.get("content-md5")

    @override
    def get(self, key: str, part: str | None = None) -> Request:
        return _request("GET", self._object(key), {} if part is None else {"x-ms-range": part})

    @override
    def is_object(self, headers: Mapping[str, str]) -> bool:
        return "x-ms-request-id" in headers and "x-ms-blob-type" in headers

    @override
    def head(self, key: str) -> Request:
        return _request("HEAD", self._object(key))

    @override
    def described(self, reply: Reply) -> Description:
        length = reply.headers.get("content-length", "")
        if not length.isdecimal() or not self.is_object(reply.headers):
            raise not_a_store()
        return _description(reply.headers, int(length))

    @override
    def delete(self, key: str, entry: Entry | None = None) -> Request:
        if entry is not None and not entry.live and entry.version:
            return _request("DELETE", f"{self._object(key)}?{entry.version}")
        return _request("DELETE", self._object(key), {"x-ms-delete-snapshots": "include"})

    @override
    def list(self, prefix: str, marker: str | None, selection: Selection) -> Request:
        query = {"restype": "container", "comp": "list", "prefix": prefix, "maxresults": "1000"}
        if marker is not None:
            query["marker"] = marker
        if selection in _INCLUDE:
            query["include"] = _INCLUDE[selection]
        return _request("GET", f"{self._container}?{urlencode(query, quote_via=quote)}")

    @override
    def page(self, reply: Reply) -> Page:
        root = _xml(reply)
        blobs = root.find("Blobs")
        if root.tag != "EnumerationResults" or blobs is None:
            raise not_a_store()
        try:
            now = parsedate_to_datetime(reply.headers["date"]).timestamp()
            entries = [_entry(blob, now) for blob in blobs.iter("Blob")]
        except (KeyError, TypeError, ValueError):
            raise not_a_store() from None
        return Page(entries, root.findtext("NextMarker") or None)

    @override
    def is_coded(self, reply: Reply) -> bool:
        return bool(_code(reply))

    @override
    def is_vague(self, reply: Reply) -> bool:
        return False

    @override
    def no_bucket(self) -> StoreError:
        return StoreRefusedError(f"the object store refuses (ContainerNotFound): {_NO_CONTAINER}")

    @override
    def refusal(self, reply: Reply) -> StoreError:
        code = _code(reply)
        return _refusal(code, reply) if code else unexplained(reply.status)

    def _object(self, key: str) -> str:
        return f"{self._container}/{quote(key, safe='/~')}"


def _refusal(code: str, reply: Reply) -> StoreError:
    if code in _MISSING:
        return ObjectMissingError("there is no object under this key")
    if code in _PRESENT:
        return ObjectExistsError("there is an object under this key already")
    if code in _REMEDIES:
        return StoreRefusedError(f"the object store refuses ({code}): {_REMEDIES[code]}")
    if code in _CHANGED or (code == "InvalidOperation" and b"MD5" in reply.content):
        return StoreUnavailableError("the bytes arrived changed at the object store; nothing was stored")
    if reply.status in _TRANSIENT_STATUS or reply.status >= _SERVER_ERRORS:
        return StoreUnavailableError(f"the object store cannot serve the request now ({code}, HTTP {reply.status})")
    return StoreRefusedError(
        f"the object store refuses ({code}, HTTP {reply.status}): see its documentation for this code"
    )


def _request(method: str, target: str, headers: Mapping[str, str] | None = None) -> Request:
    return Request(method, target, {"x-ms-version": API_VERSION, **(headers or {})})


def _description(headers: Mapping[str, str], size: int) -> Description:
    etag = headers.get("etag", "").strip('"')
    if not etag or "x-ms-request-id" not in headers:
        raise not_a_store()
    return Description(size, headers.get("x-ms-meta-sha256"), etag, headers.get("x-ms-version-id"))


def _code(reply: Reply) -> str:
    """Return the code of a refusal; empty if it has none."""
    found = reply.headers.get("x-ms-error-code", "")
    if not found and (in_body := _CODE.search(reply.content)) is not None:
        found = in_body[1].decode()
    return found if found.isidentifier() else ""


def _xml(reply: Reply) -> Element:
    if b"<!" in reply.content:  # a listing has no entities of its own, nor a document type as pages have
        raise not_a_store()
    try:
        return fromstring(reply.content)  # noqa: S314 - see above
    except ParseError:
        raise not_a_store() from None


def _entry(blob: Element, now: float) -> Entry:
    name, properties = blob.find("Name"), blob.find("Properties")
    if name is None or properties is None:
        raise ValueError
    if properties.findtext("ResourceType") == "directory":
        raise StoreRefusedError(
            "the account has a hierarchical namespace, whose folders and order of keys do not fit: use an account"
            " without one"
        )
    key = name.text or ""
    version, snapshot = blob.findtext("VersionId"), blob.findtext("Snapshot")
    identity = {"snapshot": snapshot} if snapshot else {"versionid": version} if version else None
    deleted = blob.findtext("Deleted") == "true"
    return Entry(
        key=unquote(key) if name.get("Encoded") == "true" else key,
        modified=parsedate_to_datetime(properties.findtext("Last-Modified") or "").timestamp(),
        size=int(properties.findtext("Content-Length") or 0),
        live=not deleted and not snapshot and (not version or blob.findtext("IsCurrentVersion") == "true"),
        version=urlencode(identity) if identity else None,
        # Whole days remain, the rest of the last one too.
        gone_at=now + (int(properties.findtext("RemainingRetentionDays") or 0) + 1) * _DAY if deleted else None,
    )
