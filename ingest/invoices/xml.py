"""Read XML as a stream, and recognise the invoices in it.

The parser is expat. Its dangerous features are off or stop it: a document that declares an entity is not read,
nothing external is ever loaded, and depth, distinct names and the length of a tag are limited, so that memory is too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from xml.parsers import expat

from ingest.domain.invoice import Invoice
from ingest.invoices import embedded
from ingest.invoices.embedded import Base64Reader
from ingest.invoices.formats import BY_ROOT, EMBEDDING, EMBEDDING_BASE64, WRAPPERS, root_of
from ingest.invoices.paths import Collector
from ingest.invoices.rules import GUIDELINE, LINES, PROFILE, PROOF
from ingest.invoices.text import Prolog
from ingest.invoices.values import fields_of, text_of
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.invoices.paths import Store
    from ingest.invoices.rules import XmlFormat

_DEPTH = 100  # UBL in an SBDH in SOAP is twenty levels deep
_WRAPPED_DEPTH = 12  # where an invoice may begin; GS1 XML 2 has six levels around it
_TAG_BYTES = 2**20  # expat keeps a tag or comment in memory until it ends
_NAMES = 20_000  # distinct names of elements and attributes, which expat keeps for good
_ELEMENTS = 2_000_000  # thirty for each of 60,000 lines, and a second or two
_DOCUMENTS = 1000  # in one file, one after the other: Finvoice behind its SOAP envelope
_NEXT_DOCUMENT = (
    expat.errors.codes[expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT],
    expat.errors.codes[expat.errors.XML_ERROR_MISPLACED_XML_PI],
)
# Ids are printable; anything else that a sender wrote there must not reach an event.
_ID = re.compile(r"[!-~]{1,200}")
_VERSION = re.compile(r"[!-~]{1,40}")


class Found(NamedTuple):
    """A document in a file: its format and where it showed, and its values."""

    format: XmlFormat
    root: str
    namespace: str
    collector: Collector


class _StopReading(Exception):  # noqa: N818 - raised in a handler to leave the parser
    """Raised to stop reading the file; `defect` is the reason, if it is to be reported."""

    def __init__(self, defect: Defect | None = None) -> None:
        super().__init__()
        self.defect = defect


class XmlReader:
    """Reads one file; fed with its text in pieces of any size.

    Attributes:
        found: the first document that is of a known format.
        count: invoices in all documents of that format.
        ended: whether the rest of the file is not needed.
        complete: whether it was read to the end of its last document.
        defect: the reason if it was not.
    """

    def __init__(self, *, nested: bool = False) -> None:
        self.found: Found | None = None
        self.count = 0
        self.ended = False
        self.complete = False
        self.defect: Defect | None = None
        self._nested = nested
        self._documents = 0
        self._elements = 0
        self._embedded_bytes = embedded.MAX_BYTES
        self._begin()

    def _begin(self) -> None:
        self._prolog = Prolog()
        self._fed = 0
        self._unparsed = b""
        self._depth = 0
        self._started = False
        self._scopes: list[dict[str, str]] = [{}]
        self._candidates: list[Found] = []
        self._only: Collector | None = None  # of the only candidate
        self._embedding: frozenset[str] = frozenset()
        self._embedding_base64: frozenset[str] = frozenset()
        self._inner: XmlReader | Base64Reader | None = None
        self._inner_depth = 0
        parser = self._parser = expat.ParserCreate("utf-8", intern={})
        # Since 2.6, expat defers the parsing of incomplete tags, and may notice the end of a document too late. The
        # length of a tag is limited here, so that this protection is not needed.
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.specified_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.EntityDeclHandler = self._entity
        self._listens = False
        self._skipped = 0  # depth below the last element that a candidate wants something of

    def feed(self, text: str) -> None:
        """Read the next piece of text. Never raises."""
        data = b"" if self.ended else self._prolog.feed(text).encode("utf-8", "replace")
        while data and not self.ended:
            data = self._parse(data, final=False)

    def close(self) -> None:
        """The text ended."""
        if not self.ended and self._started:
            rest = self._parse(b"", final=True)
            while rest and not self.ended:
                rest = self._parse(rest, final=True)
        self.ended = True
        self._take_candidates()
        self._release()

    def stop(self) -> None:
        """Read no more, because of a limit."""
        self._stop(Defect.INVOICE_LIMIT)

    def _release(self) -> None:
        # The handlers refer to this object, which refers to the parser.
        self._parser.StartElementHandler = self._parser.EndElementHandler = None
        self._parser.EntityDeclHandler = self._parser.CharacterDataHandler = None

    def _parse(self, data: bytes, *, final: bool) -> bytes:
        """Parse a piece; return the text behind the end of a document in it."""
        # What follows the end of a document may begin in an earlier piece than the one at which expat notices it.
        before = self._fed - len(self._unparsed)
        self._fed += len(data)
        recent = self._unparsed + data
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            return self._broken(error.code, recent[max(0, self._parser.ErrorByteIndex - before) :])
        except _StopReading as stopped:
            self._stop(stopped.defect)
        else:
            if self._fed - max(0, self._parser.CurrentByteIndex) > _TAG_BYTES or len(self._parser.intern) > _NAMES:
                self._stop(Defect.INVOICE_LIMIT)
            self._unparsed = recent[max(0, self._parser.CurrentByteIndex - before) :]
        return b""

    def _broken(self, code: int, rest: bytes) -> bytes:
        if code in _NEXT_DOCUMENT and not self._depth and self._documents < _DOCUMENTS and not self._nested:
            self._documents += 1
            self._release()
            self._begin()
            return self._prolog.feed(rest.decode("utf-8", "replace")).encode()
        self._stop(None if self.complete and not self._depth else Defect.INVOICE_BROKEN)
        return b""

    def _stop(self, defect: Defect | None) -> None:
        self.ended = True
        if defect is not None:
            self.complete = False
            self.defect = self.defect or defect
        if defect is Defect.DOCTYPE:
            self._candidates.clear()
            self._only = None
        self._take_candidates()

    def _entity(self, *_: object) -> None:
        raise _StopReading(Defect.DOCTYPE)

    def _start(self, name: str, attributes: Sequence[str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > _DEPTH or self._elements > _ELEMENTS:
            raise _StopReading(Defect.INVOICE_LIMIT)
        if self._skipped:
            self._skipped += 1
            return
        local = name.rpartition(":")[2]
        if self._only is not None:
            self._skipped = 0 if self._only.start(local, attributes) else 1
            self._listen(self._only.listens)
        elif self._candidates:
            skips = True
            for candidate in self._candidates:
                skips &= not candidate.collector.start(local, attributes)
            # Most elements are in lines of the invoice, or of no interest: nobody is asked about what they contain.
            self._skipped = int(skips)
            self._set_listening()
        elif self._inner is None:
            self._search(name, local, attributes)

    def _search(self, name: str, local: str, attributes: Sequence[str]) -> None:
        """Determine what begins here: a document, or an element that may contain one."""
        scope = self._scopes[-1]
        declared = {
            key[6:]: value
            for key, value in zip(attributes[::2], attributes[1::2], strict=True)
            if key == "xmlns" or key.startswith("xmlns:")
        }
        scope = {**scope, **declared} if declared else scope
        self._scopes.append(scope)
        if len(self._scopes) > _WRAPPED_DEPTH:
            raise _StopReading
        prefix = name[: -len(local) - 1] if name != local else ""
        namespace = scope.get(prefix, "")
        root = root_of(local)
        for known in BY_ROOT.get(root, ()):
            if known.pattern.fullmatch(namespace):
                collector = Collector(known.compiled[root])
                collector.start(local, attributes)
                self._candidates.append(Found(known, root, namespace, collector))
                if not known.is_tentative:
                    break
        if self._candidates:
            self._started = True
            self._only = self._candidates[0].collector if len(self._candidates) == 1 else None
            self._set_listening()
        elif local in self._embedding or (local in self._embedding_base64 and _is_base64(local, attributes)):
            inner = XmlReader(nested=True)
            self._inner = inner if local in self._embedding else Base64Reader(inner, self._embedded_bytes)
            self._inner_depth = self._depth
            self._parser.CharacterDataHandler = self._inner.feed
        else:
            self._wrap(local)

    def _wrap(self, local: str) -> None:
        """Enter an element that is no invoice; outside of all others, it must be known to contain one."""
        self._embedding |= EMBEDDING.get(local, frozenset())
        self._embedding_base64 |= EMBEDDING_BASE64.get(local, frozenset())
        if not self._started:
            if local not in WRAPPERS and not self._embedding and not self._embedding_base64:
                raise _StopReading
            self._started = True

    def _end(self, _name: str) -> None:
        self._depth -= 1
        if self._skipped > 1:
            self._skipped -= 1
            return
        if self._candidates:
            self._skipped = 0
            ended = False
            for candidate in self._candidates:
                ended = candidate.collector.end()
            if ended:
                self._take_candidates()
                self._scopes.pop()
            if self._only is not None:
                self._listen(self._only.listens)
            else:
                self._set_listening()
        elif self._inner is not None:
            if self._depth < self._inner_depth:
                self._adopt(self._inner)
        else:
            self._scopes.pop()
        if not self._depth:
            self.complete = self.found is not None and self.defect is None

    def _set_listening(self) -> None:
        self._listen(any(candidate.collector.listens for candidate in self._candidates))

    def _listen(self, listens: bool) -> None:  # noqa: FBT001 - called for every tag
        if listens != self._listens:
            self._listens = listens
            self._parser.CharacterDataHandler = self._text if listens else None

    def _text(self, text: str) -> None:
        for candidate in self._candidates:
            if candidate.collector.listens:
                candidate.collector.text(text)

    def _adopt(self, inner: XmlReader | Base64Reader) -> None:
        """Use the document that was found inside a text, or count it if one was found before."""
        inner.close()
        if isinstance(inner, Base64Reader):
            self._embedded_bytes = inner.left
            inner = inner.reader
        self._inner = None
        self._parser.CharacterDataHandler = None
        self._scopes.pop()
        if inner.found is not None and self.found is None:
            self.found = inner.found
        if inner.found is not None and self.found is not None and inner.found.format.name == self.found.format.name:
            self.defect = self.defect or inner.defect
            self.count += inner.count

    def _take_candidates(self) -> None:
        """Decide which of the possible formats the document is of."""
        taken = next((candidate for candidate in self._candidates if _is_proven(candidate)), None)
        self._candidates.clear()
        self._only = None
        if taken is None:
            return
        if self.found is None:
            self.found = taken
        if self.found.format.name == taken.format.name:
            self.count += taken.collector.count


def _is_base64(local: str, attributes: Sequence[str]) -> bool:
    """Return whether the content of an element is base64: that of a signature's object only if it says so."""
    return local != "Object" or any(value.endswith("#base64") for value in attributes[1::2])


def _is_proven(found: Found) -> bool:
    store = found.collector.found
    if found.format.proof and PROOF not in store:
        return False
    return not found.format.needs_profile or found.format.profile_of(_id(store), None, "") is not None


def _id(store: Store) -> str | None:
    texts = (value.text.strip() for value in store.get(GUIDELINE, []))
    return next((text for text in texts if _ID.fullmatch(text)), None)


def invoice_of(reader: XmlReader, *, fields: bool) -> Invoice | None:
    """Return what the manifest says about the document that was found."""
    if reader.found is None:
        return None
    known, root, namespace, collector = reader.found
    guideline = _id(collector.found)
    ranked = sorted(collector.found.get(PROFILE, []), key=lambda value: value.rank)
    written = next((text for value in ranked if (text := _version(value.text)) is not None), None)
    is_version = not known.versions or (written is not None and re.fullmatch(known.versions, written) is not None)
    if not is_version:
        written = guideline = None
    profile = known.profile_of(guideline, written, namespace)
    if profile in known.nets_by_lines:
        _use_lines(collector.found)
    if GUIDELINE not in known.paths and _ID.fullmatch(namespace):
        guideline = namespace
    return Invoice(
        format=known.name,
        profile=profile,
        guideline=guideline,
        confidence="certain" if is_version and not known.likely else "likely",
        count=reader.count if reader.complete else None,
        fields=fields_of(collector.found, known.kinds, known.kind.get(root), known.compiled[root].single, known.order)
        if fields
        else None,
    )


def _use_lines(store: Store) -> None:
    """Use the sum of the lines as the net total if what is written there is the tax."""
    net, tax = ({value.text.strip() for value in store.get(slot, [])} for slot in ("net", "tax"))
    if net and net <= tax:
        store["net"] = store.get(LINES, [])


def _version(written: str) -> str | None:
    text = "".join((text_of(written) or "").removeprefix("UBL").split())
    return text if _VERSION.fullmatch(text) else None
