"""What is known of a message before it is parsed."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from typing import Literal

from pydantic import Field

from ingest.domain.manifest import ObjectRef, Record


class OpenMessage(Record):
    """A message whose raw is stored and whose event is not yet published, as the ledger keeps it."""

    key: str
    mailbox: str
    unique_id: str
    folder: str
    kind: Literal["whole", "oversize"] = "whole"
    # raw.eml of a whole message, top.eml (the header as TOP gave it) of an oversize one
    source: ObjectRef
    listed_size: int | None = None
    first_seen: datetime
    received_at: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    # W3C Trace Context of the fetch, where that was traced
    traceparent: str | None = None


class FailedMessage(Record):
    """A message that was given up, until a person retries or drops it."""

    message: OpenMessage
    reason: str
    tries: int
    failed_at: datetime
