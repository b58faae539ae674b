"""How a message is marked: by what came before, by rules of the configuration, and by what an update changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ingest.domain.record import Record


class Duplicate(Record):
    """What came before: in this mailbox or another, as far back as the ledger remembers."""

    message_key: str = Field(
        description="The first message that had the same; a tombstone is in its place if it was purged"
    )
    by: Literal["content", "file", "invoice"] = Field(
        description="content: the message without what servers add; file: the same bytes; invoice: seller and number"
    )


class AppliedRule(Record):
    """A rule of the configuration whose condition the message fulfils."""

    name: str = Field(description="Its name in the configuration")
    labels: list[str] = Field(default_factory=list, description="Which labels it gives")
    quarantine: bool = Field(default=False, description="Whether it quarantines the message")
    failed: bool = Field(
        default=False, description="Whether its condition could not be evaluated, and therefore counts as fulfilled"
    )


class Quarantine(Record):
    """A message that is held back from sinks which do not ask for such messages."""

    rule: str = Field(description="The first rule that quarantines it; `rules` has all")


class Change(Record):
    """One value that differs between the manifest before an update and the one after it."""

    path: str = Field(
        description="Where it is, as in attachments[2.1].detected_type: an item by its part, else by its number"
    )
    kind: Literal["added", "removed", "changed"] = Field(
        description="added, removed: an item of a list, whose values are not repeated here"
    )
    before: str | bool | int | list[str] | None = Field(
        default=None, description="The former value, texts up to 200 characters; null where there was none"
    )
    after: str | bool | int | list[str] | None = Field(default=None, description="The new value, likewise")
