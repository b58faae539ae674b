"""Every format is recognised, and its fields are read, in whatever encoding and behind whatever prolog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingest.invoices.recognise import recognise
from tests.unit.invoices.samples import BASE, SAMPLES, Sample
from tests.unit.invoices.samples_more import OTHER_SAMPLES, XML_SAMPLES

if TYPE_CHECKING:
    from ingest.domain.manifest import Invoice


XML = (*SAMPLES, *XML_SAMPLES)
ALL = (*XML, *OTHER_SAMPLES)


def read(content: bytes, size: int = 65_536, filename: str = "") -> Invoice:
    found = recognise([content[at : at + size] for at in range(0, len(content), size)], filename)
    assert found.invoice is not None
    assert found.defect is None
    return found.invoice


def expected_fields(sample: Sample) -> dict[str, Any]:
    nothing = {"name": None, "vat_id": None, "country": None}
    wanted = BASE | dict(sample.differs)
    return wanted | {role: wanted[role] or nothing for role in ("seller", "buyer")}


@pytest.mark.parametrize("sample", ALL, ids=lambda sample: sample.name)
def test_each_format_is_certain_and_has_its_fields(sample: Sample) -> None:
    invoice = read(sample.content.encode())
    assert (invoice.format, invoice.profile) == (sample.format, sample.profile)
    assert (invoice.confidence, invoice.count) == ("certain", sample.invoices)
    assert invoice.fields is not None
    assert invoice.fields.model_dump() == expected_fields(sample)
