"""Count the mails whose leaves equal those of the standard library, and the reasons where they differ."""

from __future__ import annotations

from collections import Counter
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

from ingest.mime.charsets import known_charset
from tests.support.mime import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

    from tests.support.mime import Leaf, Read

AGREE = "agree"


def agreement(files: list[Path]) -> dict[str, int]:
    """Return how many mails agree, and how many differ for each reason, most frequent first."""
    found = Counter(_compared(file.read_bytes()) for file in files)
    return dict(found.most_common())


def _compared(raw: bytes) -> str:
    ours, theirs = read(raw), message_from_bytes(raw, policy=policy.compat32)
    leaves = [leaf for _, leaf in sorted(ours.leaves.items(), key=_place) if leaf.head.role != "message"]
    parts = list(_leaves(theirs, nested=False))
    if len(leaves) == len(parts) and all(map(_alike, leaves, parts)):
        return AGREE
    return _reason(ours, theirs)


def _place(item: tuple[str, Leaf]) -> list[int]:
    return [int(number) for number in item[0].split(".")]


def _leaves(message: Message, *, nested: bool) -> Iterator[Message]:
    """Descend into nested messages, without their texts: our parser leaves those in the nested message."""
    inside = message.get_payload()
    if isinstance(inside, list):
        nested = nested or message.get_content_maintype() == "message"
        for part in inside:
            assert not isinstance(part, str)
            yield from _leaves(part, nested=nested)
    elif not nested or _is_file(message):
        yield message


def _is_file(message: Message) -> bool:
    named = message.get_filename() is not None or message.get_content_disposition() == "attachment"
    return named or message.get_content_type() not in ("text/plain", "text/html")


def _alike(leaf: Leaf, part: Message) -> bool:
    """Return whether contents are equal. Our text is UTF-8, and line ends at the end of a part do not count."""
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    texts = [content]
    if leaf.head.role in ("text", "html"):
        charset = known_charset(leaf.head.charset or "") or "utf-8"
        texts += [content.decode(name, "replace").encode() for name in (charset, "cp1252")]
    return any(_bare(text) == _bare(leaf.content) for text in texts)


def _bare(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").strip()


def _reason(ours: Read, theirs: Message) -> str:
    """Return why they differ: by our defects, else by a property of the mail, else by the library's defects."""
    codes = {code for leaf in ours.leaves.values() for code in leaf.defects} | set(ours.defects)
    codes.discard("raw_bytes_in_header")  # says nothing of parts
    if codes:
        return f"broken, and repaired otherwise: {', '.join(sorted(codes))}"
    parts = list(theirs.walk())
    if any(
        part.get_content_maintype() == "message" and part.get_content_type() != "message/rfc822" for part in parts
    ):
        return "the library reads reports and references as messages"
    texts = {path for path, leaf in ours.leaves.items() if leaf.head.role == "text"}
    if any(leaf.head.parent in texts for leaf in ours.leaves.values()):
        return "files inside a text are taken out"
    noted = {type(defect).__name__ for part in parts for defect in part.defects}
    return f"the library: {', '.join(sorted(noted))}" if noted else "the library leaves a part as it was encoded"
