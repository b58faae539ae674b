"""What the manifest says about the mail as such: its header, its delivery, and whether a person wrote it."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from typing import Literal

from pydantic import ConfigDict, Field

from ingest.domain.record import Record

AutomaticKind = Literal[
    "bounce",  # a message could not be delivered
    "delay",  # it is late, and still tried
    "receipt",  # it was delivered, displayed or deleted
    "complaint",  # a recipient called it spam
    "vacation",  # its recipient is absent
    "reply",  # another automatic reply, of a ticket system for example
    "list",  # came by a mailing list
    "bulk",  # newsletters and advertisements
    "notification",  # any other mail that a program wrote
]
Importance = Literal["low", "normal", "high"]


class Address(Record):
    """One address of a header, decoded."""

    name: str = Field(default="", description="Empty where none was written")
    address: str = Field(default="", description="As it was written; empty where there is none")


class Resent(Record):
    """How a person sent a message on without changing it (RFC 5322 section 3.6.6); the last time counts."""

    from_: list[Address] = Field(default_factory=list, alias="from", description="Who sent it on")
    to: list[Address] = Field(default_factory=list, description="To whom")
    date: datetime | None = Field(default=None, description="When")
    message_id: str | None = Field(default=None, description="The id of the message that was sent on")

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Headers(Record):
    """The headers a consumer asks for most, decoded and capped; all the others are in the raw message."""

    message_id: str | None = Field(
        default=None, description="With its angle brackets; no identity, senders repeat it"
    )
    date: datetime | None = Field(default=None, description="As the sender's clock had it")
    subject: str | None = Field(default=None, description="null where there is none")
    from_: list[Address] = Field(default_factory=list, alias="from", description="Who wrote it")
    to: list[Address] = Field(default_factory=list, description="To whom")
    cc: list[Address] = Field(default_factory=list, description="Who got a copy")
    reply_to: list[Address] = Field(default_factory=list, description="Where answers go, if not to its author")
    in_reply_to: str | None = Field(default=None, description="The message it answers, by its message_id")
    references: list[str] = Field(default_factory=list, description="The messages before it, by their message_id")
    auto_submitted: str | None = Field(
        default=None, description="RFC 3834; auto-replied, auto-generated: no person wrote it"
    )
    list_id: str | None = Field(default=None, description="The mailing list it came by")
    sender: Address | None = Field(default=None, description="Who sent it for its author, such as a secretary")
    bcc: list[Address] = Field(default_factory=list, description="Who got a copy in secret; rarely left in a mail")
    resent: Resent | None = Field(default=None, description="null where nobody sent it on unchanged")
    importance: Importance | None = Field(
        default=None, description="From Importance, Priority or X-Priority; null where it is not marked"
    )
    precedence: str | None = Field(default=None, description="Such as bulk, list, junk, auto_reply; lower case")
    list_unsubscribe: list[str] = Field(
        default_factory=list, description="URLs that end the subscription (RFC 2369); following one is an action"
    )
    thread_index: str | None = Field(default=None, description="Outlook's id of the conversation, base64")
    extra: dict[str, list[str]] = Field(
        default_factory=dict, description="Fields chosen by `parse.headers`, by their name in lower case"
    )

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Recipient(Record):
    """One address that a message was delivered to."""

    address: str = Field(description="As the server wrote it")
    tag: str | None = Field(default=None, description="What is between the + and the @: billing+acme@example.org")
    fields: list[str] = Field(description="The trace fields that name it, lower case; received: its `for` clause")


class MailEnvelope(Record):
    """How a message was delivered, as the trusted servers wrote it; a sender can write To and From as he likes."""

    recipients: list[Recipient] = Field(
        default_factory=list, description="To whom, the address nearest to the sender first; at most 20"
    )
    return_path: str | None = Field(
        default=None, description="Where bounces go; empty for a bounce itself, null where no server wrote it"
    )
    trusted_by: Literal["authserv_id", "trusted_hops"] = Field(description="What tells which fields are believed")


class ReportedRecipient(Record):
    """One recipient of an earlier message, in a report about it."""

    address: str = Field(description="Empty where the report does not say")
    action: str | None = Field(default=None, description="failed, delayed, delivered, displayed, ...; lower case")
    status: str | None = Field(default=None, description="Enhanced status code (RFC 3463), such as 5.1.1")
    diagnostic: str | None = Field(default=None, description="What the other server answered, without its type")


class Automatic(Record):
    """Mail that no person wrote. The first recipient of a report is repeated here."""

    kind: AutomaticKind = Field(description="What it is")
    reasons: list[str] = Field(description="Codes of what it was recognised by; docs/mime.md lists them")
    recipient: str | None = Field(default=None, description="Whom the earlier message did not reach, or did")
    status: str | None = Field(default=None, description="Enhanced status code of that recipient")
    recipients: list[ReportedRecipient] = Field(
        default_factory=list, description="All of them, those that failed first; at most 20"
    )
    original_message_id: str | None = Field(default=None, description="Message-ID of the earlier message")
