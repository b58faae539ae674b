"""Small requests to a bucket (PUT from memory, GET, HEAD) at a quarter of the CPU time that boto3 takes for them.

boto3 makes the first request. What it sends shows where the bucket is and how requests are signed: endpoint,
addressing, region, credentials and redirections are its business. Once a request of boto3's has succeeded, later ones
are sent from here. An answer that is not the expected one is left to boto3, which makes the request again with its
retries: so there is one place that knows what refusals mean, apart from two: an object is there already,
or missing. After a failure boto3 has the bucket to itself for a while.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.utils import get_environ_proxies

from ingest.adapters.deadline import limited, running_deadline
from ingest.adapters.stores.s3_connections import Route
from ingest.adapters.stores.sigv4 import ALGORITHM, EMPTY_SHA256, Credentials, Request, Signer, encode_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.credentials import ReadOnlyCredentials
    from types_boto3_s3 import S3Client

    from ingest.adapters.stores.s3_connections import Network
    from ingest.adapters.stores.s3_exchange import Exchange

# boto3's arguments for a put, as headers.
_HEADERS = {
    "ContentType": "content-type",
    "ContentDisposition": "content-disposition",
    "ContentMD5": "content-md5",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "IfNoneMatch": "if-none-match",
    "ObjectLockMode": "x-amz-object-lock-mode",
    "ObjectLockRetainUntilDate": "x-amz-object-lock-retain-until-date",
    "Tagging": "x-amz-tagging",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
}
_METADATA = "x-amz-meta-"
# Credential=<access key>/<day>/<region>/s3/aws4_request; other services and algorithms are left to boto3.
_SCOPE = re.compile(rf"{ALGORITHM} Credential=[^/,]+/\d{{8}}/([^/,]+)/s3/aws4_request,")
_OK, _PARTIAL = 200, 206
_NOT_FOUND, _CONFLICT, _PRECONDITION_FAILED, _OUT_OF_RANGE = 404, 409, 412, 416
_PRESENT = b"<Code>PreconditionFailed</Code>"
_MISSING = b"<Code>NoSuchKey</Code>"
# Seconds that boto3 makes every request after one of ours failed.
PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the objects of the bucket are: `path` goes before the key."""

    path: str
    signer: Signer
    route: Route


class DirectClient:
    """Makes requests itself where it can, else through boto3; arguments, answers and errors are boto3's.

    Threads may share it; a forked process must not use it.

    Attributes:
        boto: the client for everything else.
    """

    def __init__(
        self,
        boto: S3Client,
        bucket: str,
        credentials: Callable[[], Credentials | ReadOnlyCredentials | None],
        network: Network,
        *,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.boto = boto
        self._bucket = bucket
        self._credentials = credentials
        self._network = network
        self._clock = clock
        self._timer = timer
        self._place: _Place | None = None
        self._not_before = 0.0
        self._sent = threading.local()
        boto.meta.events.register("before-send.s3", self._observe)

    def put_object(self, key: str, body: bytes, sha256: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put an object from memory.

        Args:
            key: of the object.
            body: its bytes.
            sha256: their hex digest.
            arguments: boto3's, for the other headers.
        """
        headers = _headers(arguments)
        exchange = None if headers is None else self._ask("PUT", key, headers, body, sha256)
        if exchange is not None:
            content, fields = exchange.read_all(), exchange.fields
            if exchange.status == _OK:
                return _answer(fields)
            if exchange.status == _PRECONDITION_FAILED and _PRESENT in content:
                raise _refused("PreconditionFailed", exchange.status, "PutObject")
            self._leave_to_boto(exchange)
        with limited(self._network.piece_timeout):
            answer = self.boto.put_object(Bucket=self._bucket, Key=key, Body=body, **arguments)
        self._learn(key)
        return answer

    def get_object(self, key: str, part: str | None = None) -> Mapping[str, Any]:
        """Begin to read an object; the answer's `Body` has to be closed.

        Args:
            key: of the object.
            part: value of Range; None for the whole object.
        """
        exchange = self._ask("GET", key, {} if part is None else {"range": part})
        if exchange is not None:
            if exchange.status == _OK or (part is not None and exchange.status == _PARTIAL):
                fields = exchange.fields
                return {**_answer(fields), "Body": exchange, "ContentRange": fields.get("content-range")}
            content = exchange.read_all()
            if exchange.status == _NOT_FOUND and _MISSING in content:
                raise _refused("NoSuchKey", exchange.status, "GetObject")
            self._leave_to_boto(exchange)
        wanted: Any = {} if part is None else {"Range": part}
        with limited(self._network.piece_timeout):
            answer = self.boto.get_object(Bucket=self._bucket, Key=key, **wanted)
        self._learn(key)
        return answer

    def head_object(self, key: str) -> Mapping[str, Any]:
        """Ask for the metadata of an object; only that which `S3Store` reads is in the answer."""
        exchange = self._ask("HEAD", key, {})
        if exchange is not None:
            exchange.read_all()
            fields = exchange.fields
            if exchange.status == _OK and "content-length" in fields:
                metadata = {
                    name.removeprefix(_METADATA): fields[name] for name in fields if name.startswith(_METADATA)
                }
                return {**_answer(fields), "ContentLength": int(fields["content-length"]), "Metadata": metadata}
            if exchange.status == _NOT_FOUND:  # which says as little to boto3: there is no document behind it
                raise _refused("404", exchange.status, "HeadObject")
            self._leave_to_boto(exchange)
        with limited(self._network.piece_timeout):
            answer = self.boto.head_object(Bucket=self._bucket, Key=key)
        self._learn(key)
        return answer

    def _ask(
        self, method: str, key: str, wanted: dict[str, str], body: bytes = b"", sha256: str = EMPTY_SHA256
    ) -> Exchange | None:
        """Make a request; None if boto3 has to make it."""
        place, credentials = self._place, self._credentials() if self._place else None
        if place is None or credentials is None:
            return None
        path = place.path + encode_path(key)
        wanted["host"] = place.route.base.netloc
        headers = place.signer.sign(Request(method, path, wanted, sha256), credentials, self._clock())
        if method == "PUT":
            headers["content-length"] = str(len(body))
        if (deadline := running_deadline()) is not None:
            deadline.restart()
        try:
            return place.route.exchange(method, path, headers, body)
        except (OSError, HTTPException) as error:
            self._pause()
            if isinstance(error, ReadTimeoutError):  # the time for the request is used up, so boto3 has none left
                raise
            return None

    def _leave_to_boto(self, exchange: Exchange) -> None:
        # Missing objects and requests at the same time as others say nothing against this path.
        if exchange.status not in (_NOT_FOUND, _CONFLICT, _OUT_OF_RANGE):
            self._pause()

    def _pause(self) -> None:
        self._place, self._not_before = None, self._timer() + PAUSE

    def _observe(self, request: AWSPreparedRequest, **_: Any) -> None:
        """Note what boto3 sends; called for each request, of retries and redirections too."""
        self._sent.url = request.url
        self._sent.authorization = request.headers.get("Authorization", "")

    def _learn(self, key: str) -> None:
        """Take the route of a request of boto3's that succeeded, if it can be taken from here."""
        if self._place is not None or self._timer() < self._not_before:
            return
        url, authorization = str(getattr(self._sent, "url", "")), getattr(self._sent, "authorization", "")
        scope = _SCOPE.match(authorization.decode() if isinstance(authorization, bytes) else str(authorization))
        base = url.removesuffix(encode_path(key))
        if scope and base.endswith("/") and base != url and not get_environ_proxies(url):
            split = urlsplit(base)
            if not split.query:
                self._place = _Place(split.path, Signer(scope[1]), Route(split, self._network))


def _headers(arguments: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the headers for boto3's arguments of a put, None if one has no equivalent here."""
    headers: dict[str, str] = {}
    for name, value in arguments.items():
        if name == "Metadata":
            for key, text in value.items():
                headers[_METADATA + key] = text
        elif name in _HEADERS:
            headers[_HEADERS[name]] = f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value
        else:
            return None
    return headers


def _refused(code: str, status: int, operation: str) -> ClientError:
    """Return the error that boto3 would raise."""
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


def _answer(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of an answer under boto3's names."""
    return {
        "ETag": fields.get("etag"),
        "VersionId": fields.get("x-amz-version-id"),
        "ChecksumSHA256": fields.get("x-amz-checksum-sha256"),
        "ResponseMetadata": {"HTTPHeaders": fields},
    }
