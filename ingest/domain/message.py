"""Messages that are not done: open ones, which are still to be processed, and failed ones."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from typing import Literal

from pydantic import Field

from ingest.domain.record import ObjectRef, Record


class OpenMessage(Record):
    """A message whose raw mail is stored and whose event is not yet published, as the ledger keeps it."""

    key: str
    mailbox: str
    unique_id: str
    folder: str
    kind: Literal["whole", "oversize"] = "whole"
    # raw.eml of a whole message, top.eml (the header as TOP gave it) of an oversize one
    source: ObjectRef
    listed_size: int | None = None
    # the server ended it far short of its listed size, or sent something that is no answer behind it
    may_be_cut: bool = False
    first_seen: datetime
    received_at: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    # W3C Trace Context of the fetch, if that was traced
    traceparent: str | None = None
    # hexadecimal, of the store that holds the source; None if an older version opened it
    store_id: str | None = None
    # False: no event is published of it, as an import may ask for
    publish: bool = True
    # the number of the update that reading it again makes, None for a message that is read for the first time
    update: int | None = None


class FailedMessage(Record):
    """A message that failed: it is kept until a person retries or drops it."""

    message: OpenMessage
    reason: str
    tries: int
    failed_at: datetime
