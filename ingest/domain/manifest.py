"""The manifest (`message.json`): everything that is known about a message, and the proof that it is done.

The same models make up the `data` of events. Field names are a published contract: minor versions only add fields.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field

from ingest.domain import keys
from ingest.domain.invoice import Invoice  # noqa: TC001 - as above
from ingest.domain.mail import Automatic, Headers, MailEnvelope  # noqa: TC001 - as above
from ingest.domain.marks import AppliedRule, Change, Duplicate, Quarantine  # noqa: TC001 - as above
from ingest.domain.record import ObjectRef, Record

if TYPE_CHECKING:
    from ingest.domain.message import OpenMessage

# The minor version grows with a release that adds fields.
SCHEMA = "mailhaul.message/1.2"
DEFECTS = "Codes of what was odd about it and how it was read nevertheless; docs/defects.md lists them"

BodyKind = Literal["text", "html"]
DerivedKind = Literal["plain", "safe_html"]
Role = Literal[
    "attachment",  # a file the sender attached
    "inline",  # shown inside a body, by Content-ID or disposition
    "alternative",  # another form of the body: calendar, AMP
    "message",  # a nested message/rfc822, stored as .eml
    "signature",  # a detached signature; its bytes are untouched
    "encrypted",  # content that only the recipient can open
    "embedded",  # found inside another attachment
]
DocumentKind = Literal[
    "invoice",  # holds a structured e-invoice
    "document",  # any other file
    "image",  # a picture that is content
    "logo",  # a picture that is decoration
    "calendar",
    "contact",
    "message",  # a nested message
    "text",  # a text of the message besides its bodies
    "delivery_report",  # with the message it is about
    "archive",  # its files are documents of their own
    "signature",  # of the message, or of a file that is not there
    "encrypted",
]
Status = Literal["complete", "partial", "oversize", "failed"]


class MailboxRef(Record):
    """The mailbox a message came from."""

    id: str = Field(description="Its id in the configuration")
    labels: dict[str, str] = Field(default_factory=dict, description="As configured")
    unique_id: str = Field(description="What UIDL answered, bytes above 126 as \\xNN; not an identity")


class DerivedBody(Record):
    """Another form of a body, made by Mailhaul; the body itself stays as it was sent."""

    kind: DerivedKind = Field(
        description="plain: HTML as plain text, or text with its paragraphs unfolded (RFC 3676); safe_html: without "
        "what runs or is loaded, with its images inside"
    )
    converter: str = Field(description="What made it, and its version: another one may write other bytes")
    object: ObjectRef = Field(description="Where it is stored, as UTF-8")


class Body(Record):
    """A body of the message itself, stored as UTF-8."""

    part: str = Field(description="Path of the part, as in 1.2")
    parts: list[str] = Field(
        default_factory=list, description="Paths of all parts it is joined from, in order; the first is `part`"
    )
    kind: BodyKind = Field(description="Which form of the text it is")
    charset: str = Field(description="The charset it was declared in, or the one it was read as")
    object: ObjectRef = Field(description="Where it is stored, as UTF-8")
    defects: list[str] = Field(default_factory=list, description=DEFECTS)
    derived: list[DerivedBody] = Field(default_factory=list, description="Its other forms, made by Mailhaul")


class AuthenticationResult(Record):
    """What the trusted server found by one method."""

    method: str = Field(description="Such as spf, dkim, dmarc, arc; lower case")
    result: str = Field(description="Such as pass, fail, softfail, none; lower case")
    properties: dict[str, str] = Field(
        default_factory=dict,
        description="header.d, .s, .i, .from, smtp.mailfrom, .helo; of addresses the domain only",
    )


class DkimSignature(Record):
    """One DKIM signature, verified by Mailhaul."""

    domain: str = Field(description="Who signed (d=)")
    selector: str = Field(description="Which of its keys (s=)")
    result: Literal["pass", "fail", "error"] = Field(description="error: could not be verified")
    reason: str | None = Field(default=None, description="A code, where it is not pass")


class DkimVerification(Record):
    """What verifying a message's DKIM signatures came to."""

    result: Literal["pass", "fail", "none", "error", "too_large"] = Field(
        description="pass: one signature at least holds; none: there is none; too_large: not tried"
    )
    signatures: list[DkimSignature] = Field(default_factory=list, description="Every one that was looked at")


class Authentication(Record):
    """Who vouches for a message."""

    authserv_id: str | None = Field(
        default=None, description="The trusted server; null where none is configured, or it wrote nothing"
    )
    results: list[AuthenticationResult] = Field(
        default_factory=list, description="From its Authentication-Results fields only"
    )
    dkim_verified: DkimVerification | None = Field(default=None, description="null where that is switched off")


class Scan(Record):
    """What the virus scanner said of one file."""

    status: Literal["clean", "infected", "unscanned"] = Field(
        description="unscanned: the scanner did not answer, or the file is too large for it"
    )
    signature: str | None = Field(default=None, description="What was found")


class ScanSummary(Record):
    """What the virus scanner said of all files of a message."""

    status: Literal["clean", "infected", "unscanned"] = Field(description="The worst of them")
    infected: int = Field(default=0, description="How many files are")
    unscanned: int = Field(default=0, description="How many files are")


class Calendar(Record):
    """What an iCalendar file wants."""

    method: str | None = Field(default=None, description="request, reply, cancel, ...; lower case (RFC 5546)")
    uid: str | None = Field(default=None, description="Of its first event; an update or cancellation has the same")


class NestedMessage(Record):
    """A message inside this one: its sender, subject and text are only here, as with Italian certified mail."""

    headers: Headers = Field(description="What stands in its header")
    bodies: list[Body] = Field(default_factory=list, description="Its texts, stored like those of the message")
    parts: list[str] = Field(default_factory=list, description="Paths of its own attachments")


class Picture(Record):
    """The size of a picture, as its first bytes have it."""

    width: int = Field(ge=1, description="Pixels")
    height: int = Field(ge=1, description="Pixels")


class Attachment(Record):
    """One attached file, exactly as its sender encoded it."""

    part: str = Field(description="Path of the part, as in 2.1")
    parent: str | None = Field(default=None, description="Path of the attachment that contains this one")
    filename: str = Field(description="Decoded and made safe for display")
    filename_original: str | None = Field(default=None, description="As it was sent, where that differs")
    role: Role = Field(description="What it is to the message; embedded: found inside of another attachment")
    disposition: str | None = Field(default=None, description="attachment, inline, or what else was sent; lower case")
    content_id: str | None = Field(default=None, description="Without angle brackets; HTML bodies refer to it")
    location: str | None = Field(default=None, description="Its Content-Location as sent, or its path in an archive")
    description: str | None = Field(default=None, description="Its Content-Description, decoded")
    declared_type: str = Field(description="The media type it was sent as; lower case")
    charset: str | None = Field(default=None, description="Of a text, as declared; its bytes are not converted")
    detected_type: str = Field(description="The media type that its content has")
    size: int = Field(ge=0, description="Bytes")
    sha256: str = Field(description="Hex SHA-256 of the bytes")
    object: ObjectRef = Field(description="Where it is stored, byte for byte as its sender encoded it")
    defects: list[str] = Field(default_factory=list, description=DEFECTS)
    scan: Scan | None = Field(default=None, description="null where no virus scanner is configured")
    invoice: Invoice | None = Field(default=None, description="null where it is no e-invoice that is known")
    encrypted: bool = Field(default=False, description="Whether it is an encrypted PDF, or an archive of such files")
    unlocked: bool = Field(
        default=False,
        description="Whether a password of `parse.passwords` opened it: its files, or the PDF without encryption, "
        "are attachments of their own",
    )
    calendar: Calendar | None = Field(default=None, description="null where it is no calendar")
    message: NestedMessage | None = Field(default=None, description="null where it is no nested message")
    picture: Picture | None = Field(default=None, description="null where it is no picture whose size is known")


class Reason(Record):
    """One fact for which a document is what it is, or for which its parts belong together."""

    code: str = Field(description="Which rule; docs/documents.md lists them")
    part: str = Field(description="Path of the part that it is about")
    fact: str | None = Field(
        default=None, description="What was found: a type, bytes, width x height in pixels, a message key"
    )


class Document(Record):
    """One or more attachments that are one document. Each attachment is in exactly one."""

    kind: DocumentKind = Field(description="What it is")
    main: str = Field(description="Path of the part that a person opens")
    parts: list[str] = Field(description="Paths of all its parts, the main one first")
    reasons: list[Reason] = Field(description="Why it is of this kind, then why its parts belong together")
    duplicate_of: Duplicate | None = Field(
        default=None, description="null where neither the file nor the invoice is known to have come before"
    )


class Parse(Record):
    """How reading the message went."""

    status: Status = Field(description="partial: a limit was reached, or what looks like content was not read")
    defects: list[str] = Field(default_factory=list, description=DEFECTS)
    skipped: dict[str, int] = Field(
        default_factory=dict, description="Bytes that are in no field, body or attachment, by the code of the defect"
    )
    reason: str | None = Field(default=None, description="Code of the last error of a failed message")
    parser: str | None = Field(
        default=None, description="Which version read it, as in mailhaul 0.1.0; null for a failed message"
    )


class Update(Record):
    """That the message was read again, by another version or with other options, and came to something else."""

    number: int = Field(ge=1, description="How many updates there were; part of the event's id")
    at: datetime = Field(description="When")
    changes: list[Change] = Field(
        default_factory=list, description="What is different; 500 at most, and 32 in an event"
    )
    changes_total: int = Field(default=0, description="How many there are, also where some are left out")
    superseded: list[ObjectRef] = Field(
        default_factory=list,
        description="Objects that are not named any more, with all former manifests; they stay until the message is "
        "erased. In the manifest only",
    )


class Manifest(Record):
    """All of one message, in the order a reader asks for it."""

    schema_: str = Field(
        default=SCHEMA, alias="schema", description="Which kind of document this is, and its version"
    )
    message_key: str = Field(
        description="Identity of the message: first 16 bytes of SHA-256 over mailbox id, NUL and raw bytes, in hex"
    )
    mailbox: MailboxRef = Field(description="Where it came from")
    received_at: datetime | None = Field(
        default=None, description="The topmost Received header's date, else Date's (UTC)"
    )
    raw: ObjectRef | None = Field(description="The message as the server sent it; null when it was oversize")
    listed_size: int | None = Field(default=None, description="Bytes as the server listed them")
    headers: Headers = Field(description="What stands in its header")
    envelope: MailEnvelope | None = Field(
        default=None, description="null where no trusted server wrote how it was delivered"
    )
    authentication: Authentication | None = Field(
        default=None, description="null where neither a trusted server nor DKIM verification is configured"
    )
    automatic: Automatic | None = Field(default=None, description="null where a person may have written it")
    bodies: list[Body] = Field(default_factory=list, description="Its texts; an event may leave them out")
    attachments: list[Attachment] = Field(
        default_factory=list, description="Its files, and those inside of them; an event carries 32 at most"
    )
    attachments_total: int = Field(default=0, description="How many there are, also where an event leaves some out")
    attachments_truncated: bool = Field(default=False, description="True in an event that leaves some out")
    documents: list[Document] = Field(
        default_factory=list, description="What the attachments are, those that belong together as one"
    )
    content_sha256: str | None = Field(
        default=None,
        description="Hex SHA-256 that copies share, whichever servers they came through: over what authors write in "
        "the header, bodies and files; null where the message was not read as a whole",
    )
    duplicate_of: Duplicate | None = Field(default=None, description="null where it is not known to have come before")
    scan: ScanSummary | None = Field(default=None, description="null where no virus scanner is configured")
    labels: list[str] = Field(default_factory=list, description="Given by `rules` of the configuration")
    rules: list[AppliedRule] = Field(
        default_factory=list, description="The rules that the message fulfils, in their order; an event may omit them"
    )
    quarantine: Quarantine | None = Field(default=None, description="null where no rule quarantines the message")
    parse: Parse = Field(description="How reading it went")
    update: Update | None = Field(default=None, description="The last one; null where there was none")
    manifest: str | None = Field(default=None, description="Key of this manifest; null when the message failed")

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def to_json(self) -> bytes:
        """UTF-8 JSON, one line, field names as published."""
        return self.model_dump_json(by_alias=True).encode()


def manifest_of(message: OpenMessage, headers: Headers, parse: Parse, **found: Any) -> Manifest:
    """Return the manifest of a message; `found` are fields with what else parsing has found."""
    return Manifest(
        message_key=message.key,
        mailbox=MailboxRef(id=message.mailbox, labels=message.labels, unique_id=message.unique_id),
        received_at=message.received_at,
        raw=message.source if message.kind == "whole" else None,
        listed_size=message.listed_size,
        headers=headers,
        parse=parse,
        manifest=f"{message.folder}/{keys.MANIFEST}",
        **found,
    )
