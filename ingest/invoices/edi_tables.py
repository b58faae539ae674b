"""The positions of the fields in invoices of EDIFACT, X12 and TRADACOMS: one table for each syntax."""

from __future__ import annotations

from typing import NamedTuple


class Segment(NamedTuple):
    """A tag, and elements of components."""

    tag: str
    elements: list[list[str]]

    def at(self, element: int, component: int = 0) -> str:
        """Return a component (elements count from 1, components from 0); empty if there is none."""
        if element > len(self.elements):
            return ""
        components = self.elements[element - 1]
        return components[component] if component < len(components) else ""


class Rule(NamedTuple):
    """The position of a slot: tag, element and component, and the code that another element of the segment must have.

    `within` is the code of the party segment that precedes it, if that matters.
    """

    slot: str
    tag: str
    element: int
    component: int = 0
    code_at: tuple[int, int] = (0, 0)
    codes: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    decimals: int = 0
    rank: int = 0


# UN/EDIFACT D.96A to D.24A, INVOIC, https://service.unece.org/trade/untdid/d01b/trmd/invoic_c.htm
_SE, _SU, _II, _BY, _IV = ("SE",), ("SU",), ("II",), ("BY",), ("IV",)
EDIFACT: tuple[Rule, ...] = (
    Rule("kind", "BGM", 1),
    Rule("number", "BGM", 2),
    Rule("issue_date", "DTM", 1, 1, (1, 0), ("137",)),
    Rule("issue_date", "DTM", 1, 1, (1, 0), ("3",), rank=1),
    Rule("due_date", "DTM", 1, 1, (1, 0), ("13",)),
    Rule("due_date", "DTM", 1, 1, (1, 0), ("265", "140"), rank=1),
    Rule("currency", "CUX", 1, 1, (1, 0), ("2",)),
    Rule("net", "MOA", 1, 1, (1, 0), ("389",)),
    Rule("net", "MOA", 1, 1, (1, 0), ("125",), rank=1),
    Rule("net", "MOA", 1, 1, (1, 0), ("79",), rank=2),
    Rule("tax", "MOA", 1, 1, (1, 0), ("176",)),
    Rule("tax", "MOA", 1, 1, (1, 0), ("124", "150"), rank=1),
    Rule("gross", "MOA", 1, 1, (1, 0), ("388",)),
    Rule("gross", "MOA", 1, 1, (1, 0), ("77", "39"), rank=1),
    Rule("gross", "MOA", 1, 1, (1, 0), ("86", "128"), rank=2),
    Rule("payable", "MOA", 1, 1, (1, 0), ("9",)),
    Rule("payable", "MOA", 1, 1, (1, 0), ("77",), rank=1),
    Rule("order_reference", "RFF", 1, 1, (1, 0), ("ON",)),
    Rule("payment_reference", "RFF", 1, 1, (1, 0), ("PQ",)),
    *(
        Rule(f"{role}.{slot}", tag, element, component, code_at, codes, within, rank=rank)
        for role, ranked in (("seller", (_SE, _SU, _II)), ("buyer", (_IV, _BY)))
        for rank, within in enumerate(ranked)
        for slot, tag, element, component, code_at, codes in (
            ("name", "NAD", 4, 0, (0, 0), ()),
            ("country", "NAD", 9, 0, (0, 0), ()),
            ("vat_id", "RFF", 1, 1, (1, 0), ("VA",)),
        )
    ),
    *(
        Rule(f"{role}.name", "NAD", 3, 0, (0, 0), (), within, rank=3 + rank)
        for role, ranked in (("seller", (_SE, _SU)), ("buyer", (_IV, _BY)))
        for rank, within in enumerate(ranked)
    ),
    Rule("iban", "FII", 2, 0),
)

# ANSI ASC X12 810, 003040 to 008010; TDS01 and other amounts of type N2 have two decimals that are not written.
X12: tuple[Rule, ...] = (
    Rule("issue_date", "BIG", 1),
    Rule("number", "BIG", 2),
    Rule("order_reference", "BIG", 4),
    Rule("order_reference", "REF", 2, 0, (1, 0), ("PO",), rank=1),
    Rule("kind", "BIG", 7),
    Rule("currency", "CUR", 2, 0, (1, 0), ("SE", "BY", "PR", "VN", "SU", "II", "RI", "85")),
    Rule("due_date", "ITD", 6),
    Rule("due_date", "DTM", 2, 0, (1, 0), ("814", "446"), rank=1),
    Rule("gross", "TDS", 1, decimals=2),
    Rule("payable", "TDS", 1, decimals=2),
    Rule("net", "AMT", 2, 0, (1, 0), ("1",)),
    Rule("tax", "TXI", 2),
    *(
        Rule(f"{role}.{slot}", tag, element, 0, (0, 0), (), (within,), rank=rank)
        for role, ranked in (("seller", ("SE", "SU", "VN", "SF", "RI", "II")), ("buyer", ("BT", "BY", "SO")))
        for rank, within in enumerate(ranked)
        for slot, tag, element in (("name", "N1", 2), ("country", "N4", 4))
    ),
    *(
        Rule("seller.vat_id", "REF", 2, 0, (1, 0), ("VX", "TJ", "GT"), (within,), rank=rank)
        for rank, within in enumerate(("SE", "SU", "VN", "RI"))
    ),
)
X12_KINDS = {
    "DI": "invoice",
    "PR": "invoice",
    "DR": "debit_note",
    "CN": "credit_note",
    "CR": "credit_note",
    "CI": "invoice",
    "CG": "credit_note",
    "FD": "invoice",
    "DE": "debit_note",
    "PP": "prepayment_invoice",
    "FB": "invoice",
    "CO": "corrected_invoice",
}

# TRADACOMS INVFIL 9, GS1 UK; amounts in pence, without their decimal mark.
TRADACOMS: tuple[Rule, ...] = (
    Rule("seller.vat_id", "SDT", 4),
    Rule("seller.vat_id", "SDT", 4, 1, rank=1),
    Rule("seller.name", "SDT", 2),
    Rule("buyer.name", "CDT", 2),
    Rule("buyer.vat_id", "CDT", 4),
    Rule("buyer.vat_id", "CDT", 4, 1, rank=1),
    Rule("number", "IRF", 1),
    Rule("issue_date", "IRF", 2),
    Rule("due_date", "PYT", 2),
    Rule("order_reference", "ODD", 2),
    Rule("net", "TLR", 7, decimals=2),
    Rule("tax", "TLR", 10, decimals=2),
    Rule("gross", "TLR", 11, decimals=2),
    Rule("gross", "TLR", 12, decimals=2, rank=1),
    Rule("payable", "TLR", 12, decimals=2),
    Rule("net", "TLR", 9, decimals=2, rank=1),
    # Of a credit note, which has no surcharges.
    Rule("number", "CRF", 1),
    Rule("issue_date", "CRF", 2),
    Rule("net", "CTR", 5, decimals=2),
    Rule("net", "CTR", 7, decimals=2, rank=1),
    Rule("tax", "CTR", 8, decimals=2),
    Rule("gross", "CTR", 9, decimals=2),
    Rule("gross", "CTR", 10, decimals=2, rank=1),
    Rule("payable", "CTR", 10, decimals=2),
)
TRADACOMS_HEADERS = {"INVFIL": "invoice", "CREFIL": "credit_note", "CREHDR": "credit_note", "UTLHDR": "invoice"}
TRADACOMS_INVOICES = {"INVOIC": "invoice", "CREDIT": "credit_note", "UTLBIL": "invoice", "UCRBIL": "credit_note"}
