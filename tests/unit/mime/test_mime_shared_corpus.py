"""Real and broken mail of other projects, read from beside the checkout; skipped if it is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ingest.mime.text import decode_bytes
from tests.support.mime import read

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"
STALWART = CORPUS / "stalwart-mail-parser"
SIZES = (1, 7, 4096)

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the shared corpus of real mail is not beside this checkout"
)


@pytest.mark.slow
def test_every_mail_reads_alike_in_any_pieces() -> None:
    files = sorted(CORPUS.rglob("*.eml"))
    assert len(files) > 150
    for file in files:
        raw = file.read_bytes()
        whole = read(raw)
        assert whole.headers.model_dump_json().encode(), file.name
        for size in SIZES:
            assert read(raw, size) == whole, (file.name, size)


class Part(NamedTuple):
    """A leaf as both sides describe it; the content of a nested message is not compared."""

    content: str | bytes


# Where the stalwart set expects another reading, and why ours differs.
EXPLAINED = {
    "HTML that is stored as UTF-8 declares no other charset": {
        *(f"legacy/{n}" for n in ("014", "019", "021", "028")),
        "thirdparty/019",
    },
    "x-uuencode is a transfer encoding, and is decoded": {"legacy/017", "legacy/026", "legacy/048"},
    "files in uuencode inside a text are taken out": {"legacy/049"},
    "bytes that are no ASCII are read as Windows-1252, not replaced": {"legacy/033", "legacy/052"},
    "parts without content are emitted": {"malformed/000"},
    "an outer delimiter ends all inner multiparts": {
        *(f"malformed/{n}" for n in ("009", "011", "012", "016")),
        "thirdparty/015",
    },
    "no boundary is guessed: where it never comes, all is text": {"malformed/001"},
    "a boundary counts from the end of the header that declares it": {"malformed/007"},
    "lines between a header and a delimiter are content": {"malformed/019"},
    "the first of two types counts": {"malformed/020", "malformed/021"},
    "what is declared as a message is one, however little is in it": {"malformed/022"},
    "what is declared as base64 is decoded, whatever is in it": {"rfc/000", "thirdparty/002"},
    "texts beside the body are files, and keep their bytes": {"thirdparty/005"},
}


def expected_parts(message: dict[str, Any], *, nested: bool = False) -> Iterator[Part]:
    for part in message["parts"]:
        ((kind, content),) = part["body"].items()
        if kind == "Multipart":
            continue
        if kind == "Message":
            yield Part("")
            yield from expected_parts(content, nested=True)
        elif isinstance(content, list):
            yield Part(bytes(content))
        elif not nested or is_attached(part):
            yield Part(plain(content))


def is_attached(part: dict[str, Any]) -> bool:
    """Texts of a nested message stay inside it, unless they are files."""
    values = {header["name"]: header["value"] for header in part["headers"] if isinstance(header["name"], str)}
    said = values.get("content_disposition", {}).get("ContentType") or {}
    kind = values.get("content_type", {}).get("ContentType") or {}
    names = [item["name"] for value in (said, kind) for item in value.get("attributes") or []]
    other = kind and (kind["c_type"], kind["c_subtype"]) not in (("text", "plain"), ("text", "html"))
    return said.get("c_type") == "attachment" or "name" in names or "filename" in names or bool(other)


def read_parts(raw: bytes) -> Iterator[Part]:
    leaves = read(raw).leaves
    for path in sorted(leaves, key=lambda path: [int(number) for number in path.split(".")]):
        leaf = leaves[path]
        yield Part("") if leaf.head.role == "message" else Part(leaf.content)


def alike(expected: Part, found: Part) -> bool:
    """The set has bare line feeds, also in unencoded content."""
    if isinstance(expected.content, str):
        text = found.content if isinstance(found.content, str) else decode_bytes(found.content, None, set())
        return plain(text) == expected.content
    return isinstance(found.content, bytes) and expected.content in (
        found.content,
        found.content.replace(b"\r\n", b"\n"),
    )


def plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


@pytest.mark.skipif(not STALWART.is_dir(), reason="the stalwart set is not beside this checkout")
def test_the_stalwart_set_reads_as_expected_except_where_explained() -> None:
    different = set()
    for file in sorted(STALWART.rglob("*.json")):
        expected = list(expected_parts(json.loads(file.read_text("utf-8"))))
        found = list(read_parts(file.with_suffix(".eml").read_bytes()))
        if len(expected) != len(found) or not all(map(alike, expected, found)):
            different.add(str(file.relative_to(STALWART).with_suffix("")))
    assert different == set().union(*EXPLAINED.values())
