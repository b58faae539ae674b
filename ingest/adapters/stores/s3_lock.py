"""Object Lock and tags: what new objects get, and what is locked already.

What a bucket locks is looked up before anything is erased: a refusal in the middle would leave half of a message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ingest.adapters.stores.s3_erase import versions_of, which
from ingest.adapters.stores.s3_errors import is_denied, is_missing, is_unlocked
from ingest.domain.keys import kind as object_kind
from ingest.errors import StoreRefusedError
from ingest.ports.store import Protected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_s3 import S3Client

    from ingest.domain.retention import Lock

_LOCKED_KINDS = frozenset({"raw", "document", "statement"})


@dataclass(slots=True)
class BucketLocks:
    """The locks and tags of a bucket. Methods that take a client raise boto3's errors untranslated.

    Attributes:
        lock: what raw mail, documents and statements get; None: nothing.
        tags: whether new objects are tagged with what they are.
        now: the wall clock.
    """

    bucket: str
    lock: Lock | None
    tags: bool
    now: Callable[[], datetime]
    _enabled: bool | None = field(default=None, init=False)

    def marks(self, key: str, size: int) -> dict[str, Any]:
        """Return boto3's arguments for the lock and the tags of a new object.

        An empty object, such as `purge` leaves, is not locked.
        """
        if self.lock is None and not self.tags:
            return {}
        kind = object_kind(key)
        marks: dict[str, Any] = {"Tagging": f"mailhaul-kind={kind}"} if self.tags else {}
        if self.lock is not None and size and kind in _LOCKED_KINDS:
            until = self.lock.retain.after(self.now()).replace(microsecond=0) + timedelta(seconds=1)
            marks |= {"ObjectLockMode": self.lock.mode.upper(), "ObjectLockRetainUntilDate": until}
        return marks

    def protected(self, client: S3Client, prefix: str) -> list[Protected]:
        """Return the versions below a prefix that retention or a legal hold protects now.

        They are asked for by requests of their own: the answer to a HEAD leaves out what the caller may not see.
        """
        if not self._is_enabled(client):
            return []
        found: list[Protected] = []
        for version in versions_of(client, self.bucket, prefix):
            if version.marker:
                continue
            named = which(self.bucket, version)
            if _ask(client.get_object_legal_hold, named).get("LegalHold", {}).get("Status") == "ON":
                found.append(Protected(version.key, None))
                continue
            answer = _ask(client.get_object_retention, named)
            until = answer.get("Retention", {}).get("RetainUntilDate")
            if until is not None and until > _server_time(answer):
                found.append(Protected(version.key, until.timestamp()))
        return found

    def hold(self, client: S3Client, prefix: str, *, on: bool) -> int:
        """Put a legal hold on every version below a prefix, or remove it; return on how many."""
        held = 0
        for version in versions_of(client, self.bucket, prefix) if self.lock is not None else ():
            if not version.marker:
                status: Any = {"Status": "ON" if on else "OFF"}
                client.put_object_legal_hold(**which(self.bucket, version), LegalHold=status)
                held += 1
        return held

    def describe(self, client: S3Client) -> str:
        """Return how objects are locked, for a person; empty if they are not.

        Raises:
            StoreRefusedError: a lock is configured that the bucket does not have.
        """
        try:
            found = self._configuration(client)
        except ClientError as error:
            if self.lock is None and is_denied(error):
                return ""
            raise
        if self.lock is None:
            return "" if found is None else f"the bucket has Object Lock, {_default(found)}"
        if found is None or client.get_bucket_versioning(Bucket=self.bucket).get("Status") != "Enabled":
            raise StoreRefusedError(
                "store.lock is configured, and the bucket has no Object Lock with versioning: make a bucket with"
                " Object Lock, or leave store.lock out"
            )
        return f"Object Lock in mode {self.lock.mode} for raw mail and documents, {_default(found)}"

    def _is_enabled(self, client: S3Client) -> bool:
        """Return whether objects may be locked; the bucket is asked once."""
        if self._enabled is None:
            try:
                self._enabled = self._configuration(client) is not None
            except ClientError as error:
                if self.lock is not None or not is_denied(error):
                    raise
                self._enabled = False  # what is locked nevertheless is refused when it is erased
        return self._enabled

    def _configuration(self, client: S3Client) -> Mapping[str, Any] | None:
        try:
            answer = client.get_object_lock_configuration(Bucket=self.bucket)
        except ClientError as error:
            if is_unlocked(error):
                return None
            raise
        found = answer.get("ObjectLockConfiguration", {})
        return found if found.get("ObjectLockEnabled") == "Enabled" else None


def _ask(request: Callable[..., Any], named: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an answer about the lock of a version; empty if it has none, or is gone."""
    try:
        answer: Mapping[str, Any] = request(**named)
    except ClientError as error:
        if is_unlocked(error) or is_missing(error):
            return {}
        raise
    return answer


def _server_time(answer: Mapping[str, Any]) -> datetime:
    """Return the time on the server's clock, by which locks end: from its answer, to the second; else on ours."""
    try:
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _default(configuration: Mapping[str, Any]) -> str:
    """Return what a bucket locks by itself, in words."""
    rule = configuration.get("Rule", {}).get("DefaultRetention") or {}
    for unit in ("Days", "Years"):
        if rule.get(unit):
            return f"the bucket's own default: {str(rule.get('Mode', '')).lower()} for {rule[unit]} {unit.lower()}"
    return "no default of the bucket's own"
