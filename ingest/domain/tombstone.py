"""The tombstone of a purged message, stored under the manifest's key: that the message was here, and no content."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from typing import Literal

from pydantic import ConfigDict, Field

from ingest.domain.mail import Record

# No tombstone is larger, however long the mailbox's name; most manifests are.
MOST_BYTES = 1024


class Tombstone(Record):
    """The tombstone. It is never valid as a `Manifest`, since it has none of the message's content."""

    schema_: Literal["mailhaul.purged/1"] = Field(default="mailhaul.purged/1", alias="schema")
    message_key: str
    mailbox: str = Field(description="Its id, or the name of its folder where it was not configured any more")
    purged: Literal[True] = True
    purged_at: datetime
    objects: int = Field(ge=0, description="How many there were")
    size: int = Field(ge=0, description="Of all of them")
    updates: int = Field(default=0, ge=0, description="How many updates its manifest had, each with an event")

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def to_json(self) -> bytes:
        """UTF-8 JSON, one line."""
        return self.model_dump_json(by_alias=True).encode()
