"""Group the attachments of a message into documents: what belongs together, what it is, and why.

Every attachment is in exactly one document, so nothing is dropped. The rules are facts that a person could check: who
contains whom, who refers to whom, names, types, bytes and pixels. docs/documents.md has them as a table.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.domain.content import REPEATED
from ingest.domain.manifest import Document, Reason
from ingest.mime import reports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingest.domain.manifest import Attachment, DocumentKind

# A picture up to this size that the text refers to is decoration: company logos in signatures are rarely higher than
# 200 pixels, and a screenshot of a table rarely lower.
_LOGO_HEIGHT, _LOGO_WIDTH = 200, 600
# Icons of social networks and tracking pixels, also if nothing refers to them.
_ICON_SIDE, _ICON_BYTES = 64, 4096
# A picture up to this size that a sender repeats is part of a letterhead; photos and screenshots are larger.
_REPEATED_BYTES = 32 * 1024
_REPORT_TYPES = reports.DELIVERY | reports.DISPOSITION | reports.FEEDBACK
_HEADER_TYPES = frozenset({"text/rfc822-headers", "message/global-headers"})
_CONTACTS = frozenset({"text/vcard", "text/x-vcard", "text/directory"})
_ARCHIVES = frozenset(
    {
        *("application/zip", "application/x-7z-compressed", "application/vnd.rar", "application/gzip"),
        *("application/x-tar", "application/x-bzip2", "application/x-xz", "application/zstd", "application/ms-tnef"),
        *("application/vnd.ms-cab-compressed",),
    }
)
_SIGNED = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_ENCRYPTED_ENDS = (".pgp", ".gpg")
_SIGNATURE_ENDS = (".p7s", ".asc", ".sig", ".sign", ".tsr", ".tsd")
# Numbers of so many different lengths are looked for in the names of PDFs, the most frequent ones.
_NUMBER_LENGTHS = 8
_SHORTEST_NAME = 3  # `1.pdf` beside `1.xml` proves little; so does an invoice number of two digits
_EXTENSION = re.compile(r"(?:\.[a-z][a-z0-9]{1,4}){1,3}\Z", re.IGNORECASE)
_NO_WORD = re.compile(r"[\W_]+")


def group_documents(attachments: Sequence[Attachment]) -> list[Document]:
    """Return the documents of a message, in the order of their first parts.

    Args:
        attachments: of its manifest, in the order of their paths.
    """
    if not attachments:
        return []
    groups = _Groups(attachments)
    if len(attachments) < 2:  # noqa: PLR2004 - nothing to join
        return [_document(members, groups) for members in groups.all()]
    for attachment in attachments:
        parent = groups.get(attachment.parent)
        if parent is not None and (code := _carried(parent, attachment)) is not None:
            groups.join(parent, attachment, code)
    _join_reports(groups)
    _join_by_name(groups)  # before signatures: a PDF that is part of something already has its invoice
    _join_signatures(groups)
    return [_document(members, groups) for members in groups.all()]


@dataclass(eq=False, slots=True)
class _Group:
    """Attachments that belong together; `has_pdf` is true if one of them is a PDF."""

    members: list[Attachment]
    has_pdf: bool


class _Groups:
    """Sets of attachments that grow together, with the reasons for it."""

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.attachments = attachments
        self.by_path = {attachment.part: attachment for attachment in attachments}
        self.parents = {attachment.parent for attachment in attachments}
        self.reasons: dict[str, list[Reason]] = {}
        self._group = {each.part: _Group([each], _is_pdf(each)) for each in attachments}

    def get(self, path: str | None) -> Attachment | None:
        """Return the attachment with this path."""
        return None if path is None else self.by_path.get(path)

    def of(self, attachment: Attachment) -> _Group:
        """Return the group of an attachment."""
        return self._group[attachment.part]

    def join(self, one: Attachment, other: Attachment, code: str, fact: str | None = None) -> None:
        """Join the groups of two attachments, with a reason that concerns the second."""
        to, added = self.of(one), self.of(other)
        if to is added:
            return
        # The smaller group moves, so that no attachment moves often.
        if len(to.members) < len(added.members):
            to, added = added, to
        to.members += added.members
        to.has_pdf |= added.has_pdf
        for each in added.members:
            self._group[each.part] = to
        self.reasons.setdefault(other.part, []).append(Reason(code=code, part=other.part, fact=fact))

    def outwards(self, attachment: Attachment) -> Iterator[Attachment]:
        """Yield an attachment, then its container, and so on while they are in the same group."""
        inner: Attachment | None = attachment
        while inner is not None and self.of(inner) is self.of(attachment):
            yield inner
            inner = self.get(inner.parent)

    def all(self) -> Iterator[list[Attachment]]:
        """Yield each group once."""
        yield from (group.members for group in dict.fromkeys(self.of(each) for each in self.attachments))


def _carried(parent: Attachment, child: Attachment) -> str | None:
    """Return why a file inside another one belongs to the same document; None if it is a document of its own."""
    if parent.detected_type == "application/pdf" and parent.unlocked:
        return "without_password"
    if parent.detected_type == "application/pdf" and (child.invoice is not None or _is_xml(child)):
        return "inside_pdf"
    if parent.detected_type in _SIGNED and parent.role != "encrypted" and child.role == "embedded":
        return "signed_content"
    return None


def _join_reports(groups: _Groups) -> None:
    """Join a report with the message, or the header, that it returns."""
    found = [each for each in groups.attachments if each.declared_type in _REPORT_TYPES and each.parent is None]
    if not found:
        return
    for each in groups.attachments:
        returned = each.role == "message" or each.declared_type in _HEADER_TYPES
        if each.parent is None and (returned or each.declared_type in _REPORT_TYPES):
            groups.join(found[0], each, "returned_message" if returned else "report")


def _join_signatures(groups: _Groups) -> None:
    """Join a detached signature with the file that has its name."""
    signatures = [each for each in groups.attachments if each.filename.lower().endswith(_SIGNATURE_ENDS)]
    if not signatures:
        return
    named: dict[tuple[str | None, str], list[Attachment]] = {}
    for attachment in groups.attachments:
        for name in _names(attachment):
            first = named.setdefault((attachment.parent, name), [])
            if len(first) < 2:  # noqa: PLR2004 - the signature itself may be one of them
                first.append(attachment)
    for signature in signatures:
        signed = signature.filename.lower().rpartition(".")[0]
        others = named.get((signature.parent, signed), [])
        other = next((each for each in others if each is not signature), None)
        if other is not None:
            groups.join(other, signature, "signature_of_name")


def _names(attachment: Attachment) -> set[str]:
    name = attachment.filename.lower()
    return {name, name.rpartition(".")[0]}


def _join_by_name(groups: _Groups) -> None:
    """Join a PDF with the structured invoice beside it that has its name, or whose number is in its name."""
    pdfs = [each for each in groups.attachments if _is_pdf(each) and not each.invoice]
    invoices = [each for each in groups.attachments if each.invoice is not None] if pdfs else []
    if not invoices:
        return
    by_name = _by_name(pdfs)
    by_number = _by_number(pdfs, [number for each in invoices if (number := _number(each)) is not None])
    for invoice in invoices:
        if groups.of(invoice).has_pdf:
            continue
        found: list[tuple[int, str]] = []
        chain = list(groups.outwards(invoice))
        for parent in dict.fromkeys(each.parent for each in chain):
            for code, queue in (
                ("same_name", by_name.get((parent, _bare(invoice.filename)))),
                ("invoice_number_in_name", by_number.get((parent, _number(invoice)))),
            ):
                while queue and len(groups.of(pdfs[queue[0]]).members) > 1:
                    queue.popleft()  # a group never shrinks
                if queue:
                    found.append((queue[0], code))
        if found:
            place, code = min(found, key=lambda each: each[0])
            groups.join(pdfs[place], chain[-1], code)


_Queues = dict[tuple["str | None", "str | None"], deque[int]]


def _by_name(pdfs: Sequence[Attachment]) -> _Queues:
    """Return the positions of PDFs by their container and bare name."""
    found: _Queues = {}
    for place, pdf in enumerate(pdfs):
        if len(name := _bare(pdf.filename)) >= _SHORTEST_NAME:
            found.setdefault((pdf.parent, name), deque()).append(place)
    return found


def _by_number(pdfs: Sequence[Attachment], numbers: Sequence[str]) -> _Queues:
    """Return the positions of PDFs by their container and by each of these numbers that their name contains.

    Every substring of a name that has the length of a number is looked up: linear in names, not in pairs.
    """
    lengths = [length for length, _ in Counter(map(len, numbers)).most_common(_NUMBER_LENGTHS)]
    wanted = frozenset(numbers)
    found: _Queues = {}
    for place, pdf in enumerate(pdfs):
        name = _NO_WORD.sub("", pdf.filename.lower())
        pieces = {name[at : at + length] for length in lengths for at in range(len(name) - length + 1)}
        for number in pieces & wanted:
            found.setdefault((pdf.parent, number), deque()).append(place)
    return found


def _bare(filename: str) -> str:
    """Return the letters and digits of a name, without its extensions."""
    return _NO_WORD.sub("", _EXTENSION.sub("", filename).lower())


def _number(invoice: Attachment) -> str | None:
    fields = invoice.invoice.fields if invoice.invoice is not None else None
    number = _NO_WORD.sub("", (fields.number or "").lower()) if fields is not None else ""
    return number if len(number) >= _SHORTEST_NAME else None


def _document(members: list[Attachment], groups: _Groups) -> Document:
    if len(members) == 1:
        (main,) = members
        kind, reasons = _kind(members, main, groups)
        return Document(kind=kind, main=main.part, parts=[main.part], reasons=reasons)
    members = sorted(members, key=lambda each: [int(number) for number in each.part.split(".")])
    main = min(members, key=_main_rank)
    kind, reasons = _kind(members, main, groups)
    joined = [reason for each in members for reason in groups.reasons.get(each.part, [])]
    parts = [main.part, *(each.part for each in members if each is not main)]
    return Document(kind=kind, main=main.part, parts=parts, reasons=[*reasons, *joined])


def _main_rank(attachment: Attachment) -> int:
    """Rank the parts of a document: what a person opens first, before data, signatures and wrappings."""
    if attachment.detected_type == "application/pdf" and attachment.unlocked:
        return 1  # behind its copy, which opens without a password
    if attachment.detected_type == "application/pdf" or attachment.declared_type in _REPORT_TYPES:
        return 0
    if attachment.role == "signature" or attachment.filename.lower().endswith(_SIGNATURE_ENDS):
        return 3
    return 2 if attachment.detected_type in _SIGNED else 1


def _kind(members: list[Attachment], main: Attachment, groups: _Groups) -> tuple[DocumentKind, list[Reason]]:
    """Return the kind of a document, and the facts that prove it."""
    invoice = next((each for each in members if each.invoice is not None and each.invoice.carrier is None), None)
    invoice = invoice or next((each for each in members if each.invoice is not None), None)
    if invoice is not None and invoice.invoice is not None:
        return "invoice", [Reason(code="invoice_format", part=invoice.part, fact=invoice.invoice.format)]
    for kind, reasons in (_by_role(main), _by_type(main)):
        if kind is not None:
            return kind, reasons
    if main.detected_type.startswith("image/"):
        return _picture(main)
    if main.detected_type in _SIGNED and main.part in groups.parents:
        # Around the whole mail, whose texts and files are parts of their own.
        return "signature", [_reason("type", main, main.detected_type)]
    return "document", [_reason("type", main, main.detected_type)]


def _by_role(main: Attachment) -> tuple[DocumentKind | None, list[Reason]]:
    if main.declared_type in _REPORT_TYPES:
        return "delivery_report", [_reason("type", main, main.declared_type)]
    if main.role == "message" or main.message is not None:
        return "message", [_reason("role", main, "message")]
    if main.role in ("signature", "encrypted"):
        return main.role, [_reason("role", main, main.role)]
    if (kind := _kind_by_name(main)) is not None:
        return kind, [_reason("name", main)]
    is_text = main.declared_type.startswith("text/") and main.detected_type not in _CONTACTS
    if main.role in ("inline", "alternative") and is_text and main.detected_type != "text/calendar":
        return "text", [_reason("role", main, main.role)]
    return None, []


def _kind_by_name(main: Attachment) -> DocumentKind | None:
    name = main.filename.lower()
    if name.endswith(_SIGNATURE_ENDS):
        return "signature"
    return "encrypted" if name.endswith(_ENCRYPTED_ENDS) else None


def _by_type(main: Attachment) -> tuple[DocumentKind | None, list[Reason]]:
    for kind, types in _BY_TYPE.items():
        for found in (main.detected_type, main.declared_type):
            if found in types:
                return kind, [_reason("type", main, found)]
    return None, []


_BY_TYPE: dict[DocumentKind, frozenset[str]] = {
    "calendar": frozenset({"text/calendar", "application/ics"}),
    "contact": _CONTACTS,
    "archive": _ARCHIVES,
    "document": frozenset({"image/tiff"}),  # scanners and faxes write their pages so
}


def _picture(main: Attachment) -> tuple[DocumentKind, list[Reason]]:
    """Classify a picture as decoration or content, by the references to it, its pixels and its bytes."""
    size = main.picture
    reasons = [_reason("type", main, main.detected_type), _reason("bytes", main, str(main.size))]
    if size is not None:
        reasons.append(_reason("pixels", main, f"{size.width}x{size.height}"))
    if main.role == "inline":
        reasons.append(_reason("referred_to_by_text", main))
        small = (
            main.size <= _ICON_BYTES if size is None else size.height <= _LOGO_HEIGHT and size.width <= _LOGO_WIDTH
        )
        return ("logo" if small else "image"), reasons
    icon = size is not None and max(size.width, size.height) <= _ICON_SIDE and main.size <= _ICON_BYTES
    return ("logo" if icon else "image"), reasons


def repeated_picture(document: Document, attachments: Sequence[Attachment], first: str) -> Document:
    """Return the document of a picture that was in an earlier mail of the same sender: a small one is a logo.

    Args:
        document: of kind `image` or `logo`.
        attachments: of its message.
        first: the key of the earlier message.
    """
    main = next(each for each in attachments if each.part == document.main)
    update: dict[str, object] = {"reasons": [*document.reasons, _reason(REPEATED, main, first)]}
    if main.size <= _REPEATED_BYTES:
        update |= {"kind": "logo", "duplicate_of": None}
    return document.model_copy(update=update)


def _reason(code: str, attachment: Attachment, fact: str | None = None) -> Reason:
    return Reason(code=code, part=attachment.part, fact=fact)


def _is_pdf(attachment: Attachment) -> bool:
    return attachment.detected_type == "application/pdf"


def _is_xml(attachment: Attachment) -> bool:
    return attachment.detected_type in ("application/xml", "text/xml")
