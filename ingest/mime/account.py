"""The account of a message: every raw byte belongs to exactly one category."""

from __future__ import annotations


class Account:
    """Byte counts of what one scanner has read; `total` equals the bytes it was fed once it is closed.

    Attributes:
        fields: header fields.
        skipped_lines: header lines that belong to no field.
        delimiters: boundary lines with their line ends, and the blank lines around headers.
        preambles: text before the first part of a multipart.
        epilogues: text after the last part of a multipart.
        leaves: content of leaf parts, before the transfer encoding is decoded.
        unread: everything after the limit of parts was reached.
    """

    __slots__ = ("delimiters", "epilogues", "fields", "leaves", "preambles", "skipped_lines", "unread")

    def __init__(self) -> None:
        self.fields = self.skipped_lines = self.delimiters = 0
        self.preambles = self.epilogues = self.leaves = self.unread = 0

    @property
    def total(self) -> int:
        """All bytes that have been accounted for."""
        outside = self.preambles + self.epilogues
        return self.fields + self.skipped_lines + self.delimiters + outside + self.leaves + self.unread
