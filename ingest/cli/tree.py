"""A message as a tree: header, authentication, parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ingest.cli.common import printable
from ingest.cli.screen import format_size
from ingest.domain.manifest import Attachment
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from ingest.domain.invoice import Invoice
    from ingest.domain.mail import Address, Automatic, Headers
    from ingest.domain.manifest import Authentication, Body, DerivedKind, Manifest

_DIM, _ODD = "bright_black", "yellow"
_ADDRESSES = 5
_INDENT = 4
_MEANINGS = {defect.value: defect.meaning for defect in Defect}
_COLOURS = {"complete": "green", "pass": "green", "fail": "bold red", "partial": "bold yellow", "none": _DIM}
_ROLES = {
    "attachment": "",
    "inline": "inline",
    "alternative": "another form of the body",
    "message": "message",
    "signature": "signature",
    "encrypted": "encrypted",
    "embedded": "found inside",
}

_INVOICES = {
    "ubl": "UBL",
    "cii": "CII (Factur-X, ZUGFeRD)",
    "zugferd1": "ZUGFeRD 1",
    "fatturapa": "FatturaPA",
    "edifact": "EDIFACT",
    "facturae": "Facturae",
    "ebinterface": "ebInterface",
    "isdoc": "ISDOC",
    "ksef": "KSeF",
    "nav": "NAV",
    "eslog": "eSLOG",
    "finvoice": "Finvoice",
    "svefaktura": "Svefaktura",
    "opentrans": "openTRANS",
    "yellowbill": "yellowbill",
    "xcbl": "xCBL",
    "cxml": "cXML",
    "gs1": "GS1 XML",
    "idoc": "SAP IDoc",
    "orderx": "Order-X",
    "cfdi": "CFDI",
    "nfe": "NF-e",
    "nfse": "NFS-e",
    "dte_cl": "DTE (Chile)",
    "sri_ec": "SRI (Ecuador)",
    "fe_cr": "Factura electrónica (Costa Rica)",
    "gst_in": "GST (India)",
    "x12": "X12",
    "tradacoms": "TRADACOMS",
}


_FORMS: dict[DerivedKind, str] = {"plain": "plain text", "safe_html": "HTML that is safe to show"}


def mail_tree(name: str, manifest: Manifest) -> RenderableType:
    """Return the tree of one message.

    Args:
        name: of the file.
        manifest: of the message.
    """
    tree = Tree(Group(_title(name, manifest), _header(manifest), ""), guide_style=_DIM)
    branches: dict[str | None, Tree] = {}
    parts: list[Body | Attachment] = [*manifest.bodies, *manifest.attachments]
    for part in sorted(parts, key=_order):
        if isinstance(part, Attachment):
            branches[part.part] = branches.get(part.parent, tree).add(_attachment(part))
        else:
            branches[part.part] = _above(part.part, branches, tree).add(_body(part))
    return tree


def _above(path: str, branches: dict[str | None, Tree], top: Tree) -> Tree:
    """Return the branch of a body: that of the signature around it, if any."""
    while path := path.rpartition(".")[0]:
        if path in branches:
            return branches[path]
    return top


def _order(part: Body | Attachment) -> list[int]:
    return [int(number) for number in part.part.split(".")]


def _title(name: str, manifest: Manifest) -> Text:
    size = format_size(manifest.raw.size) if manifest.raw else ""
    status = manifest.parse.status
    return Text.assemble((printable(name), "bold"), (f"  {size}  ", _DIM), (status, _COLOURS.get(status, "")))


def _header(manifest: Manifest) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style=_DIM, justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(manifest):
        table.add_row(name, value)
    return table


def _rows(manifest: Manifest) -> Iterator[tuple[str, Text]]:
    headers = manifest.headers
    for name, text in _fields(headers):
        if text:
            yield name, Text(printable(text))
    if manifest.received_at is not None and manifest.received_at != headers.date:
        yield "received", Text(str(manifest.received_at))
    yield "key", Text(manifest.message_key)
    if manifest.envelope is not None and manifest.envelope.recipients:
        yield "delivered to", Text(printable(", ".join(each.address for each in manifest.envelope.recipients)))
    if manifest.automatic is not None:
        yield "automatic", _automatic(manifest.automatic)
    if manifest.authentication is not None:
        yield from _authentication(manifest.authentication)
    if manifest.parse.defects:
        yield "odd", Text("\n").join(_defects(manifest.parse.defects))


def _fields(headers: Headers) -> Iterator[tuple[str, str | None]]:
    yield "subject", headers.subject
    yield "from", _addresses(headers.from_)
    yield "reply to", _addresses(headers.reply_to)
    yield "to", _addresses(headers.to)
    yield "cc", _addresses(headers.cc)
    yield "date", str(headers.date) if headers.date else None
    yield "id", headers.message_id
    yield "list", headers.list_id


def _automatic(found: Automatic) -> Text:
    about = [detail for detail in (found.recipient, found.status) if detail]
    text = Text(printable(" · ".join([found.kind, *about])))
    return text.append(f"  {', '.join(found.reasons)}", _DIM)


def _addresses(addresses: Sequence[Address]) -> str:
    shown = [f"{who.name} <{who.address}>" if who.name else who.address for who in addresses[:_ADDRESSES]]
    more = len(addresses) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def _authentication(found: Authentication) -> Iterator[tuple[str, Text]]:
    if found.authserv_id is not None:
        said = [
            Text.assemble(
                f"{result.method} ",
                (result.result, _COLOURS.get(result.result, _ODD)),
                (f" ({', '.join(result.properties.values())})" if result.properties else "", _DIM),
            )
            for result in found.results
        ]
        results = Text(" · ").join(said) if said else Text("no result", _DIM)
        yield "checked by", Text.assemble(printable(found.authserv_id), ": ", results)
    if found.dkim_verified is not None:
        verified = found.dkim_verified
        text = Text.assemble((verified.result.replace("_", " "), _COLOURS.get(verified.result, _ODD)))
        for signature in verified.signatures:
            text.append(f" · {signature.domain or '?'} {signature.result}")
            text.append(f" ({signature.reason.replace('_', ' ')})" if signature.reason else "", _DIM)
        yield "DKIM", text


def _body(body: Body) -> RenderableType:
    line = Text.assemble(
        (f"{body.part}  ", _DIM),
        (f"{body.kind} body", "green"),
        _details(body.charset, format_size(body.object.size)),
    )
    return _with_notes(line, [*_derived(body), *_defects(body.defects)])


def _derived(body: Body) -> Iterator[Text]:
    for form in body.derived:
        size = format_size(form.object.size)
        yield Text.assemble(f"also as {_FORMS[form.kind]}", (f"  {form.converter} · {size}", _DIM))


def _attachment(attachment: Attachment) -> RenderableType:
    line = Text.assemble(
        (f"{attachment.part}  ", _DIM),
        (printable(attachment.filename), "bold cyan"),
        _details(attachment.detected_type, format_size(attachment.size), _ROLES[attachment.role]),
    )
    return _with_notes(line, [*_kind(attachment), *_surprises(attachment), *_defects(attachment.defects)])


def _invoice_facts(invoice: Invoice) -> Iterator[Text]:
    fields = invoice.fields
    if fields is None:
        return
    amount = fields.payable or fields.gross
    facts = (fields.number, fields.issue_date, f"{amount} {fields.currency or ''}" if amount else None)
    if any(facts):
        yield Text(printable(" · ".join(fact.strip() for fact in facts if fact)))


def _kind(attachment: Attachment) -> Iterator[Text]:
    invoice = attachment.invoice
    if invoice is not None:
        kind = f"{_INVOICES[invoice.format]} invoice" + (f", {invoice.profile}" if invoice.profile else "")
        inside = " (in a file below)" if invoice.carrier else ""
        sure = "" if invoice.confidence == "certain" else ", likely"
        yield Text.assemble((printable(f"{kind}{sure}{inside}"), "bold green"))
        if invoice.count is not None and invoice.count > 1:
            yield Text(f"{invoice.count} invoices, of which the first is", _DIM)
        yield from _invoice_facts(invoice)
        if invoice.guideline:
            yield Text(printable(invoice.guideline), _DIM)
    if attachment.encrypted:
        yield Text("encrypted", _ODD)


def _surprises(attachment: Attachment) -> Iterator[Text]:
    # Containers rarely declare the types of their files.
    unsaid = attachment.role == "embedded" and attachment.declared_type == "application/octet-stream"
    if attachment.declared_type != attachment.detected_type and not unsaid:
        yield Text(f"declared as {printable(attachment.declared_type)}", _ODD)
    if attachment.filename_original is not None:
        yield Text(f"was called {printable(attachment.filename_original)}", _ODD)


def _details(*details: str) -> Text:
    return Text("  " + " · ".join(printable(detail) for detail in details if detail))


def _defects(codes: Iterable[str]) -> list[Text]:
    return [Text.assemble((code, _ODD), (f"  {_MEANINGS.get(code, '')}", _DIM)) for code in codes]


def _with_notes(line: Text, notes: Iterable[Text]) -> RenderableType:
    return Group(line, *(Padding(note, (0, 0, 0, _INDENT)) for note in notes))
