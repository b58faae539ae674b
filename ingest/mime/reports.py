"""Reports about a message that was sent: delivery status (RFC 3464), disposition (RFC 8098), feedback (RFC 5965)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ingest.domain.mail import ReportedRecipient
from ingest.mime.fields import split_fields
from ingest.mime.limits import MimeLimits
from ingest.mime.text import clean, decode_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.mime.fields import Fields

DELIVERY = frozenset({"message/delivery-status", "message/global-delivery-status"})
DISPOSITION = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
FEEDBACK = frozenset({"message/feedback-report"})
# The message that a report is about, or its header.
ORIGINAL = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})
# The beginning of such a part that is read; a report on a hundred recipients has about 30 KiB.
REPORT_BYTES = 65_536

_MOST_RECIPIENTS = 20
_LONGEST_TEXT = 500
_LONGEST_ADDRESS = 320
_BLANK_LINE = re.compile(rb"(?:\A|\n)[ \t]*\r?\n")
_ADDRESS = re.compile(r"<?([^\s<>;\"]+@[^\s<>;\"]+)>?")
_STATUS = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])")
_ID = re.compile(r"<[^<>\s]{1,990}>")
# The worst first: a report whose message reached one recipient and not another is a bounce.
_RANKS = ("failed", "delayed", "expanded", "relayed", "delivered")


class Report(NamedTuple):
    """What a part of a report says.

    Attributes:
        action: of a delivery status the worst one of all recipients; of a disposition its type: `displayed`,
            `deleted`. Lower case; empty if there is none.
        recipients: whom it is about, the worst first.
        original_id: Message-ID of the message it is about, if it says that itself.
    """

    action: str
    recipients: list[ReportedRecipient]
    original_id: str | None = None


def parse_delivery_status(data: bytes) -> Report:
    """Return what a message/delivery-status says. Never raises; what is missing is empty."""
    blocks = [split_fields(block, MimeLimits(), set()) for block in _blocks(data)]
    recipients = [found for block in blocks if (found := _recipient(block)) is not None]
    recipients.sort(key=lambda each: _RANKS.index(each.action) if each.action in _RANKS else len(_RANKS))
    action = recipients[0].action if recipients else None
    return Report(action or "", recipients[:_MOST_RECIPIENTS])


def parse_disposition(data: bytes) -> Report:
    """Return what a message/disposition-notification says. Never raises; what is missing is empty."""
    fields = split_fields(data, MimeLimits(), set())
    # `manual-action/MDN-sent-manually; displayed/error`
    action = _text(fields, b"disposition").partition(";")[2].partition("/")[0].strip().lower()
    address = _address(fields)
    original = _ID.search(_text(fields, b"original-message-id"))
    recipients = [ReportedRecipient(address=address, action=action[:_LONGEST_TEXT] or None)] if address else []
    return Report(action, recipients, original[0] if original else None)


def original_id(data: bytes) -> str | None:
    """Return the Message-ID of a message whose header this is, None if it has none."""
    end = _BLANK_LINE.search(data.lstrip(b"\r\n"))
    head = data.lstrip(b"\r\n")[: end.start() + 1] if end else data
    found = _ID.search(_text(split_fields(head, MimeLimits(), set()), b"message-id"))
    return found[0] if found else None


def status_code(text: str) -> str | None:
    """Return the first enhanced status code (RFC 3463) in a text, such as 5.1.1."""
    found = _STATUS.search(text)
    return found[0] if found else None


def _blocks(data: bytes) -> Iterator[bytes]:
    """Yield the groups of fields, which blank lines part."""
    yield from (block for block in _BLANK_LINE.split(data, maxsplit=200) if block.strip())


def _recipient(fields: Fields) -> ReportedRecipient | None:
    """Return the recipient of a group of fields, None for the one about the whole message."""
    action, status = _text(fields, b"action").lower().split(" ")[0], _text(fields, b"status")
    address = _address(fields)
    if not address and not action:
        return None
    # `smtp; 550 5.1.1 User unknown`
    diagnostic = _text(fields, b"diagnostic-code").partition(";")[2].strip()
    return ReportedRecipient(
        address=address,
        action=action[:_LONGEST_TEXT] or None,
        status=status_code(status) or status_code(diagnostic),
        diagnostic=diagnostic[:_LONGEST_TEXT] or None,
    )


def _address(fields: Fields) -> str:
    """Return the recipient as the sender wrote it if that is known, else the one at the end of all aliases."""
    for name in (b"original-recipient", b"final-recipient"):
        found = _ADDRESS.search(_text(fields, name).partition(";")[2])  # `rfc822; ada@example.org`
        if found:
            return found[1][:_LONGEST_ADDRESS]
    return ""


def _text(fields: Fields, name: bytes) -> str:
    value = fields.first(name)
    return "" if value is None else clean(decode_header(value, set()))
