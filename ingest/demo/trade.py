"""The content of the demonstration's mail: invented companies, goods and invoices.

Everything follows from a seed, so that whoever knows the seed can make the same invoice again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Seed:
    """A deterministic source of choices: a hash of its text and the question, equal in every Python version."""

    text: str

    def noise(self, question: str, size: int) -> bytes:
        """Return the given number of pseudo-random bytes."""
        return hashlib.shake_256(f"{self.text}\0{question}".encode()).digest(size)

    def hex(self, question: str, digits: int) -> str:
        """An even number of hex digits."""
        return self.noise(question, digits // 2).hex()

    def number(self, question: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int.from_bytes(self.noise(question, 8), "big") % (high - low + 1)

    def pick(self, question: str, choices: Sequence[_T]) -> _T:
        """One of the choices."""
        return choices[self.number(question, 0, len(choices) - 1)]


@dataclass(frozen=True, slots=True)
class Company:
    """A company that does not exist: its domain is reserved for examples (RFC 2606)."""

    name: str
    street: str
    city: str
    country: str
    vat_id: str
    domain: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice; prices in cents, without tax."""

    article: str
    text: str
    quantity: int
    unit_cents: int

    @property
    def cents(self) -> int:
        """The price of the whole line."""
        return self.quantity * self.unit_cents


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice in euro. Sums are in cents."""

    number: str
    order: str
    issued: date
    seller: Company
    buyer: Company
    lines: tuple[Line, ...]
    tax_percent: int = 19

    @property
    def due(self) -> date:
        """The due date."""
        return self.issued + timedelta(days=30)

    @property
    def net_cents(self) -> int:
        """The net total."""
        return sum(line.cents for line in self.lines)

    @property
    def tax_cents(self) -> int:
        """The tax, rounded half up."""
        return (self.net_cents * self.tax_percent + 50) // 100

    @property
    def gross_cents(self) -> int:
        """The total to pay."""
        return self.net_cents + self.tax_cents


def money(cents: int) -> str:
    """Format cents for XML and CSV: `1234.56`."""
    return f"{cents // 100}.{cents % 100:02d}"


SELLERS = (
    Company("Nordlicht Papier GmbH", "Hafenstraße 12", "24103 Kiel", "DE", "DE000000101", "nordlicht.example.com"),
    Company("Müller & Söhne Bürobedarf KG", "Grüner Weg 3", "50667 Köln", "DE", "DE000000202", "mueller.example.com"),
    Company("Officine Rossi S.r.l.", "Via Torino 41", "20123 Milano", "IT", "IT00000000303", "rossi.example.net"),
    Company("Atelier Lefèvre SARL", "8 rue des Lilas", "69003 Lyon", "FR", "FR00000000404", "lefevre.example.net"),
    Company("Harbour Logistics Ltd", "7 Quay Street", "Bristol BS1 4SB", "GB", "GB000000505", "harbour.example.com"),
    Company(
        "Kowalski Narzędzia Sp. z o.o.", "ul. Polna 5", "60-535 Poznań", "PL", "PL0000000606", "kowalski.example.net"
    ),
)
BUYER = Company("Beispiel Handel AG", "Marktplatz 1", "70173 Stuttgart", "DE", "DE000000999", "example.org")

_GOODS = (
    ("PA-1001", "Copy paper A4, 80 g, 500 sheets", 449),
    ("PA-1044", "Envelopes C5, window, 500 pieces", 1890),
    ("OF-2310", "Lever arch file, 75 mm, grey", 265),
    ("OF-2377", "Label rolls 62 mm, 12 pieces", 5340),
    ("TL-3001", "Hex key set, 9 pieces", 2275),
    ("TL-3420", "Cordless drill 18 V with 2 batteries", 15990),
    ("LG-4002", "Pallet freight, up to 300 kg", 8850),
    ("LG-4010", "Storage, pallet space per week", 415),
    ("SV-5000", "Maintenance, hour", 9600),
    ("SV-5012", "Travel, flat rate zone 2", 6900),
)


def make_invoice(seed: Seed, issued: date) -> Invoice:
    """Return an invoice, determined by a seed: 3 to 12 lines, any seller, the one buyer.

    Args:
        seed: one invoice each.
        issued: its date.
    """
    lines = []
    for row in range(seed.number("lines", 3, 12)):
        article, text, cents = seed.pick(f"good {row}", _GOODS)
        lines.append(Line(article, text, seed.number(f"quantity {row}", 1, 40), cents))
    return Invoice(
        number=f"{issued.year}-{seed.number('number', 1, 999_999):06d}",
        order=f"PO-{seed.number('order', 10_000, 99_999)}",
        issued=issued,
        seller=seed.pick("seller", SELLERS),
        buyer=BUYER,
        lines=tuple(lines),
    )
