"""Whole mails with containers beside what is stored of them: `tests/corpus/containers/*.eml` and `*.json`.

They are processed as the service does it, with every kind of line end. Their signatures were made by OpenSSL. Short
texts stand in the JSON as they are, bodies with bare line feeds; other bytes as their size and SHA-256.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingest.domain.manifest import Body
from tests.support.cms import in_segments, signed_ber
from tests.support.containers import mail_with
from tests.support.processing import Processed, process

if TYPE_CHECKING:
    from ingest.domain.manifest import Attachment

CORPUS = Path(__file__).parents[3] / "corpus" / "containers"
SHARED = Path(__file__).parents[5] / "shared" / "corpus" / "einvoices"
MAILS = sorted(CORPUS.glob("*.eml"))
SHORT = 500
# Reported elsewhere, or always the same.
LEFT_OUT = {"object", "size", "sha256", "scan"}


def described(found: Processed) -> dict[str, Any]:
    manifest = found.manifest
    return {
        "status": manifest.parse.status,
        "defects": manifest.parse.defects,
        "bodies": [part_described(found, body) for body in manifest.bodies],
        "attachments": [part_described(found, attachment) for attachment in manifest.attachments],
    }


def part_described(found: Processed, part: Body | Attachment) -> dict[str, Any]:
    said = part.model_dump(mode="json", exclude=LEFT_OUT)
    if said.get("invoice"):
        said["invoice"] = without_nulls(said["invoice"])
    content = found.store.objects[part.object.key].content
    if isinstance(part, Body):
        said["parts"] = said["parts"][1:]  # the first is `part`
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return {key: value for key, value in said.items() if value} | content_described(content, part)


def without_nulls(said: dict[str, Any]) -> dict[str, Any]:
    nested = {key: without_nulls(value) if isinstance(value, dict) else value for key, value in said.items()}
    return {key: value for key, value in nested.items() if value not in (None, {})}


def content_described(content: bytes, part: Body | Attachment) -> dict[str, Any]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or len(content) > SHORT:
        return {"size": part.object.size, "sha256": part.object.sha256}
    return {"text": text}


def test_corpus_is_complete() -> None:
    assert len(MAILS) >= 7


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.stem)
def test_a_mail_is_stored_as_its_json_says(mail: Path, line_end: bytes) -> None:
    raw = mail.read_bytes()
    assert b"\r" not in raw
    assert described(process(raw.replace(b"\n", line_end))) == json.loads(
        mail.with_suffix(".json").read_text("utf-8")
    )


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared corpus is not here")
def test_every_invoice_of_the_shared_corpus_is_found_in_its_carrier() -> None:
    signed = [
        (f"{path.name}.p7m", "application/pkcs7-mime", signed_ber(in_segments([path.read_bytes()])))
        for path in sorted(SHARED.glob("fatturaPA/**/*.xml"))
    ]
    hybrid = [(path.name, "application/pdf", path.read_bytes()) for path in sorted(SHARED.glob("**/*.pdf"))]
    found = process(mail_with(*signed, *hybrid))
    carriers = [each for each in found.manifest.attachments if each.parent is None]
    assert len(carriers) == len(signed) + len(hybrid) > 10
    for carrier in carriers:
        assert carrier.invoice is not None, carrier.filename
        assert carrier.invoice.confidence == "certain"
        assert carrier.invoice.carrier in ("pdf", "p7m")
        (inside,) = [each for each in found.manifest.attachments if each.parent == carrier.part and each.invoice]
        assert inside.invoice == carrier.invoice.model_copy(update={"carrier": None})
