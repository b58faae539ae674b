"""Requests to the API of an object store and its answers, without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from ingest.errors import StoreRefusedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingest.errors import StoreError

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_SERVER_ERRORS = 500

Selection = Literal["live", "versions", "deleted"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the API.

    Attributes:
        method: in capitals.
        target: path and query, URL-encoded; it is appended to the address of the server.
        headers: names in lower case.
        before: sent before the object's bytes.
        after: sent after them.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    before: bytes = b""
    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose body was read; `headers` has names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class NewObject:
    """An object to be written.

    Attributes:
        size: bytes.
        sha256: hex digest, recorded with the object.
        md5: base64, as the APIs have it; the server compares it.
        content_type: printable ASCII.
        disposition: value of Content-Disposition, if it has one.
        only_if_absent: whether an existing object must stay.
    """

    key: str
    size: int
    sha256: str
    md5: str
    content_type: str
    disposition: str | None
    only_if_absent: bool


@dataclass(frozen=True, slots=True)
class Description:
    """What the API reports of an object; `sha256` is None for an object of another program."""

    size: int
    sha256: str | None
    etag: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing.

    Attributes:
        modified: seconds since 1970.
        live: whether readers of the key get it: neither an earlier version nor deleted.
        version: identifies it among those of the key; None if the container keeps none.
        gone_at: when a deleted one can no longer be restored, in seconds since 1970; None if it is not deleted.
    """

    key: str
    modified: float
    size: int
    live: bool = True
    version: str | None = None
    gone_at: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing; `marker` is for the next one, None on the last."""

    entries: Sequence[Entry]
    marker: str | None


class Api(Protocol):
    """One API: what is requested, and what its answers mean.

    Methods that read an answer raise `StoreUnavailableError` if it is not one of this API.

    Attributes:
        bucket: the value of `ObjectRef.bucket`.
    """

    bucket: str

    def is_coded(self, reply: Reply) -> bool:
        """Whether a refusal is one of this API, with its code."""
        ...

    def is_vague(self, reply: Reply) -> bool:
        """Whether a refusal may mean a missing object or a missing bucket."""
        ...

    def no_bucket(self) -> StoreError:
        """Return the error for a missing bucket."""
        ...

    def check(self, key: str) -> None:
        """Raise `StoreRefusedError` if the store could not hold this key unchanged."""
        ...

    def put(self, new: NewObject) -> Request:
        """Return the request that writes an object."""
        ...

    def written(self, reply: Reply, new: NewObject) -> tuple[Description, str | None]:
        """Return what the server reports of the object written, and its MD5 in base64 if it names one."""
        ...

    def get(self, key: str, part: str | None = None) -> Request:
        """Return the request that reads an object, or the part of it that `part`, a value of Range, names."""
        ...

    def is_object(self, headers: Mapping[str, str]) -> bool:
        """Whether the header of an answer to `get` is one of this API."""
        ...

    def head(self, key: str) -> Request:
        """Return the request for the description of an object."""
        ...

    def described(self, reply: Reply) -> Description:
        """Return the description."""
        ...

    def delete(self, key: str, entry: Entry | None = None) -> Request:
        """Return the request that deletes an object, or what an entry of a listing of versions stands for."""
        ...

    def list(self, prefix: str, marker: str | None, selection: Selection) -> Request:
        """Return the request for a page of a listing.

        Args:
            prefix: of the keys.
            marker: of the page, None for the first.
            selection: live objects, these and earlier versions, or (at least) what was deleted and can be restored.
        """
        ...

    def page(self, reply: Reply) -> Page:
        """Return a page."""
        ...

    def refusal(self, reply: Reply) -> StoreError:
        """Return the error for an answer other than a success."""
        ...


def not_a_store() -> StoreUnavailableError:
    """Return the error for a success that this API would not answer like this."""
    return StoreUnavailableError(
        "the answer is not one of an object store: a proxy, a captive portal or a maintenance page may have given it;"
        " check the endpoint and what is between here and the store"
    )


def unexplained(status: int) -> StoreError:
    """Return the error for a refusal without a code of the API."""
    if status in TRANSIENT_STATUS or status >= _SERVER_ERRORS:
        return StoreUnavailableError(f"the object store cannot serve the request now (HTTP {status})")
    return StoreRefusedError(
        f"the answer (HTTP {status}) is not one of an object store: a proxy, a firewall or a web server may have"
        " given it; check the endpoint, and that nothing between here and the store refuses the request"
    )
