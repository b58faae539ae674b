"""Documents that another one holds in base64, perhaps compressed: Hungary's tax office sends invoices so."""

from __future__ import annotations

import binascii
import codecs
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.invoices.xml import XmlReader

MAX_BYTES = 32 * 2**20  # of all documents in one file, as of a file
_GZIP = b"\x1f\x8b"
_OTHER = re.compile(r"[^A-Za-z0-9+/=]+")


class Base64Reader:
    """Hands a document that is fed in base64 to a reader of XML.

    Attributes:
        left: bytes that may still be read, of this document and those that follow.
    """

    def __init__(self, reader: XmlReader, left: int) -> None:
        self.reader = reader
        self.left = left
        self._held = ""
        self._begun = False
        self._unpack: zlib._Decompress | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, text: str) -> None:
        """Read the next piece of base64. Never raises."""
        if self.reader.ended:
            return
        text = self._held + _OTHER.sub("", text)
        whole = len(text) - len(text) % 4
        self._held = text[whole:]
        try:
            self._take(binascii.a2b_base64(text[:whole]))
        except (binascii.Error, zlib.error):
            self.reader.close()

    def close(self) -> None:
        """The text ended."""
        self.reader.close()

    def _take(self, data: bytes) -> None:
        if not self._begun and data:
            self._begun = True
            self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if data.startswith(_GZIP) else None
        if self._unpack is not None:
            data = self._unpack.decompress(data, self.left + 1)
        self.reader.feed(self._decoder.decode(data[: self.left]))
        self.left -= len(data)
        if self.left < 0:
            self.left = 0
            self.reader.stop()
