"""What remains of what was erased on purpose, without content: of a message its tombstone, of raw mail a record."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from typing import Literal

from pydantic import ConfigDict, Field

from ingest.domain.record import Record

# No tombstone, and no record of erased raw mail, is larger, however long the mailbox's name; most manifests are.
MOST_BYTES = 1024


class Tombstone(Record):
    """The tombstone, stored under the manifest's key. It is never valid as a `Manifest`: it has no content."""

    schema_: Literal["mailhaul.purged/1"] = Field(default="mailhaul.purged/1", alias="schema")
    message_key: str
    mailbox: str = Field(description="Its id, or the name of its folder where it was not configured any more")
    purged: Literal[True] = True
    purged_at: datetime
    objects: int = Field(ge=0, description="How many there were")
    size: int = Field(ge=0, description="Of all of them")
    updates: int = Field(default=0, ge=0, description="How many updates its manifest had, each with an event")
    reason: Literal["request", "retention"] = Field(
        default="request", description="request: a person named the message or its mailbox"
    )
    rule: str | None = Field(default=None, description="The retention rule; null for a request")

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def to_json(self) -> bytes:
        """UTF-8 JSON, one line."""
        return self.model_dump_json(by_alias=True).encode()


class RawErased(Record):
    """The record, beside the manifest, that a rule erased the raw mail. An empty object replaces the mail."""

    schema_: Literal["mailhaul.raw-erased/1"] = Field(default="mailhaul.raw-erased/1", alias="schema")
    message_key: str
    mailbox: str = Field(description="Its id")
    raw_erased: Literal[True] = True
    erased_at: datetime
    rule: str = Field(description="The retention rule")
    stored_at: datetime = Field(description="When the store wrote the raw mail")
    size: int = Field(ge=0, description="Bytes of the raw mail")
    sha256: str = Field(description="Hex SHA-256 of the raw mail")
    complete: bool = Field(default=False, description="false: erasing was interrupted, and the next run continues")

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def to_json(self) -> bytes:
        """UTF-8 JSON, one line."""
        return self.model_dump_json(by_alias=True).encode()
