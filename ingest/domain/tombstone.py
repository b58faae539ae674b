"""The record that is left of a purged message, under its manifest's own key: that it was here, and no more."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from typing import Literal

from pydantic import ConfigDict, Field

from ingest.domain.manifest import Record

# No record is larger, whatever the mailbox is called; most manifests are.
MOST_BYTES = 1024


class Tombstone(Record):
    """No `Manifest`, and never taken for one: it has nothing of the message's content."""

    schema_: Literal["mailhaul.purged/1"] = Field(default="mailhaul.purged/1", alias="schema")
    message_key: str
    mailbox: str = Field(description="Its id, or the name of its folder where it was not configured any more")
    purged: Literal[True] = True
    purged_at: datetime
    objects: int = Field(ge=0, description="How many there were")
    size: int = Field(ge=0, description="Of all of them")

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def to_json(self) -> bytes:
        """UTF-8 JSON, one line."""
        return self.model_dump_json(by_alias=True).encode()
