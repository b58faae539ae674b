"""Signatures of requests to S3 (AWS Signature Version 4), without I/O.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from operator import itemgetter
from time import gmtime, strftime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.credentials import ReadOnlyCredentials

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256().hexdigest()
_TERMINATOR = "aws4_request"
# What a value never holds that is signed as it is sent: two spaces, one at an end, or other blanks.
_UNUSUAL = ("  ", ": ", " \n", "\t", "\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x1f")

_NAME = itemgetter(0)
_PLAIN_PATH = re.compile(r"[\w.~/-]*", re.ASCII).fullmatch


class Credentials(NamedTuple):
    """The credentials to sign with; `token` is that of a session."""

    access_key: str
    secret_key: str
    token: str | None = None


class Request(NamedTuple):
    """What is signed of a request.

    Attributes:
        method: in capitals.
        path: as sent, encoded by `encode_path`; without a query.
        headers: names in lower case, `host` among them; all are signed.
        payload_sha256: the hex digest of the body.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    payload_sha256: str = EMPTY_SHA256


@dataclass(slots=True)
class Signer:
    """Signs requests for one region. A day's key is derived once, as four hashes of the secret key."""

    region: str
    service: str = "s3"
    _derived: tuple[tuple[str, str], bytes] = field(default=(("", ""), b""))
    _last_moment: tuple[int, str] = field(default=(-1, ""))

    def sign(
        self, request: Request, credentials: Credentials | ReadOnlyCredentials, seconds: float
    ) -> dict[str, str]:
        """Return the headers of a request, with those of the signature; `seconds` is the time since 1970."""
        second = int(seconds)
        stamp = self._last_moment  # read once, as is `derived`: another thread may replace it
        if stamp[0] != second:
            stamp = self._last_moment = second, strftime("%Y%m%dT%H%M%SZ", gmtime(second))
        moment = stamp[1]
        day = moment[:8]
        secret, derived = str(credentials.secret_key), self._derived
        if derived[0] != (secret, day):
            derived = self._derived = (secret, day), self._derive(secret, day)
        signed = {**request.headers, "x-amz-content-sha256": request.payload_sha256, "x-amz-date": moment}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        fields = sorted(signed.items())
        listed = ";".join(map(_NAME, fields))
        lines = "\n".join(map(":".join, fields)) + "\n"
        # A pattern takes ten times as long to tell.
        if not lines.isascii() or any(map(lines.__contains__, _UNUSUAL)):
            # Runs of spaces count as one, and those at the ends not at all.
            lines = "".join([f"{name}:{' '.join(value.split())}\n" for name, value in fields])
        canonical = f"{request.method}\n{request.path}\n\n{lines}\n{listed}\n{request.payload_sha256}"
        scope = f"{day}/{self.region}/{self.service}/{_TERMINATOR}"
        text = f"{ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(derived[1], text.encode(), "sha256").hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={listed}, Signature={signature}"
        )
        return signed

    def _derive(self, secret: str, day: str) -> bytes:
        key = f"AWS4{secret}".encode()
        for part in (day, self.region, self.service, _TERMINATOR):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


def encode_path(path: str) -> str:
    """Return a path as S3 wants it encoded, both sent and signed."""
    return path if _PLAIN_PATH(path) else quote(path, safe="/~")
