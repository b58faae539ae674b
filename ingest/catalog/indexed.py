"""The fields of a manifest that the catalog keeps.

Reading them alone takes a fifth of the time that a whole `Manifest` takes, and a manifest of a newer version is read
as well.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic resolves it at run time

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, from_attributes=True)


class IndexedMailbox(_Part):
    """The mailbox that a message came from."""

    id: str
    labels: dict[str, str] = Field(default_factory=dict)


class IndexedAddress(_Part):
    """An address."""

    name: str = ""
    address: str = ""


class IndexedHeaders(_Part):
    """Subject and senders."""

    subject: str | None = None
    from_: list[IndexedAddress] = Field(default_factory=list, alias="from")


class IndexedObject(_Part):
    """The size of an object."""

    size: int


class IndexedParty(_Part):
    """A party to an invoice."""

    name: str | None = None


class IndexedFields(_Part):
    """What an e-invoice says."""

    number: str | None = None
    issue_date: str | None = None
    currency: str | None = None
    gross: str | None = None
    payable: str | None = None
    seller: IndexedParty = IndexedParty()
    buyer: IndexedParty = IndexedParty()


class IndexedInvoice(_Part):
    """An e-invoice."""

    format: str
    carrier: str | None = None
    fields: IndexedFields | None = None


class IndexedAttachment(_Part):
    """An attached file."""

    part: str
    filename: str
    detected_type: str
    size: int
    invoice: IndexedInvoice | None = None


class IndexedDocument(_Part):
    """A document."""

    kind: str
    main: str


class IndexedKind(_Part):
    """What wrote a message that no person wrote."""

    kind: str


class IndexedParse(_Part):
    """How reading a message went."""

    status: str


class IndexedUpdate(_Part):
    """Which update of the manifest it is."""

    number: int


class IndexedQuarantine(_Part):
    """That a rule holds a message back."""


class IndexedManifest(_Part):
    """The fields of a manifest, named as there, that the catalog keeps."""

    message_key: str = Field(pattern="^[0-9a-f]{32}$")
    mailbox: IndexedMailbox
    received_at: datetime | None = None
    raw: IndexedObject | None
    listed_size: int | None = None
    headers: IndexedHeaders
    automatic: IndexedKind | None = None
    attachments: list[IndexedAttachment] = Field(default_factory=list)
    attachments_total: int = 0
    documents: list[IndexedDocument] = Field(default_factory=list)
    labels: list[str] = Field(default_factory=list)
    quarantine: IndexedQuarantine | None = None
    parse: IndexedParse
    update: IndexedUpdate | None = None
    manifest: str | None = None


class _Carried(_Part):
    """What an event says about where to read."""

    message_key: str = Field(pattern="^[0-9a-f]{32}$")
    manifest: str | None = None


class CarriedEvent(_Part):
    """An event, of which only that much is read."""

    data: _Carried


class FailedEvent(_Part):
    """The event of a message that failed: it has no manifest, and the event is all that there is."""

    data: IndexedManifest
