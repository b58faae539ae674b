"""Whole mails with their expected reading: `tests/corpus/*.eml`, written for this project, and `*.json`.

The mails are kept with bare line feeds and read with all kinds of line end. A leaf's content stands in the JSON as
size and SHA-256; short text stands there itself, with bare line feeds.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.mime import received_at
from ingest.mime.detect import DETECT_BYTES, detect_type
from ingest.mime.names import display_name
from tests.support.mime import Leaf, Read, read_alike

CORPUS = Path(__file__).parents[2] / "corpus"
MAILS = sorted(CORPUS.glob("*.eml"))
SHORT = 500


def described(found: Read) -> dict[str, Any]:
    headers = found.headers.model_dump(mode="json", by_alias=True)
    return {
        "status": found.status,
        "defects": list(found.defects),
        "headers": {name: value for name, value in headers.items() if value},
        "leaves": [leaf_described(leaf) for leaf in found.leaves.values()],
    }


def leaf_described(leaf: Leaf) -> dict[str, Any]:
    head = leaf.head
    detected = detect_type(leaf.content[:DETECT_BYTES], head.declared_type, head.filename)
    name = display_name(head.path, head.filename, detected)
    values = {
        "path": head.path,
        "parent": head.parent,
        "role": head.role,
        "declared_type": head.declared_type,
        "detected_type": detected,
        "charset": head.charset,
        "disposition": head.disposition,
        "content_id": head.content_id,
        "name": None if head.role in ("text", "html") else name.display,
        "original": name.original,
        "safe": name.safe if name.safe != name.display else None,
        "defects": [*leaf.defects, *name.defects],
        **content_described(leaf.content),
    }
    return {key: value for key, value in values.items() if value or key == "text"}


def content_described(content: bytes) -> dict[str, Any]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        content = text.encode()
        if len(content) <= SHORT:
            return {"text": text}
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_corpus_is_complete() -> None:
    assert len(MAILS) >= 22


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.stem)
def test_a_mail_reads_as_its_json_file_states(mail: Path, line_end: bytes) -> None:
    """With every kind of line end, and in pieces of every size."""
    raw = mail.read_bytes()
    assert b"\r" not in raw
    raw = raw.replace(b"\n", line_end)
    assert described(read_alike(raw)) == json.loads(mail.with_suffix(".json").read_text("utf-8"))
    date = received_at(raw)
    assert date is not None
    assert date.isoformat() == "2026-03-02T07:15:30+00:00"
