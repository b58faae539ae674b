"""Mails made after public bug reports read as stated beside each of them; they stay in their own folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.processing import Processed, process

CASES = Path(__file__).parents[4] / "shared" / "cases" / "mime"
MAILS = sorted(CASES.glob("*.eml")) if CASES.is_dir() else []

pytestmark = pytest.mark.skipif(not MAILS, reason="the shared cases are not beside this checkout")


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.stem)
def test_a_case_reads_as_stated(mail: Path) -> None:
    expected = json.loads(mail.with_suffix(".expected.json").read_text("utf-8"))
    assert missing(process(mail.read_bytes()), expected) == []


def missing(found: Processed, expected: dict[str, Any]) -> list[str]:
    """Everything that is stated and was not found."""
    bodies = {kind: content.decode() for kind, content in found.bodies.items()}
    lacks = [f"{kind}: {expected[kind]}" for kind in ("text", "html") if not holds(bodies, kind, expected[kind])]
    if expected.get("html_not") and expected["html_not"].lower() in bodies.get("html", "").lower():
        lacks.append(f"html holds {expected['html_not']}")
    held = [(each.filename, each.sha256) for each in found.manifest.attachments]
    for attachment in expected["attachments"]:
        wanted = (attachment["filename"], attachment["sha256"])
        if wanted not in held and not (wanted[0] is None and wanted[1] in [sha256 for _, sha256 in held]):
            lacks.append(f"attachment: {attachment}")
    return lacks + [f"{name}: {value}" for name, value in expected["headers"].items() if not says(found, name, value)]


def holds(bodies: dict[str, str], kind: str, piece: str | None) -> bool:
    """A text may stand in the HTML body where that is the only one."""
    return piece is None or piece in bodies.get(kind if kind in bodies else "html", "")


def says(found: Processed, name: str, value: str | list[str]) -> bool:
    headers = found.manifest.headers.model_dump(mode="json", by_alias=True)
    if isinstance(value, list):
        return [each["address"] for each in headers[name]] == value
    return (headers[name] or "").startswith(value)
