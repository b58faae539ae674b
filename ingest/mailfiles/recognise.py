"""Recognise mail by its first bytes."""

from __future__ import annotations

from ingest.mime.fields import split_fields
from ingest.mime.limits import MimeLimits

# What is read of a file to find out what it is.
HEAD_BYTES = 256 * 1024
# A file without any of these fields holds no mail.
_USUAL_FIELDS = frozenset(
    (
        *(b"bcc", b"cc", b"content-type", b"date", b"delivered-to", b"dkim-signature", b"from", b"message-id"),
        *(b"mime-version", b"received", b"reply-to", b"return-path", b"sender", b"subject", b"to"),
    )
)


def is_mail(head: bytes) -> bool:
    """Whether a text that begins with these bytes begins with a header as mail has one."""
    header = head.partition(b"\r\n\r\n")[0].partition(b"\n\n")[0]
    return split_fields(header, MimeLimits(), set()).has_any(_USUAL_FIELDS)
