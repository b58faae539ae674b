"""Randomly damaged mail: the parser never raises, always ends, and the chunk size makes no difference.

`MAILHAUL_FUZZ_EXAMPLES` is the number of mails to try; the default takes some seconds.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.mime import MimeLimits
from ingest.mime.defects import Defect
from tests.support.mime import Read, read, read_pieces

CORPUS = Path(__file__).parents[2] / "corpus"
EXAMPLES = int(os.environ.get("MAILHAUL_FUZZ_EXAMPLES", "150"))
CODES = {defect.value for defect in Defect}
LIMITS = MimeLimits(depth=6, parts=40, messages=3, header_bytes=2000, header_fields=30)

mails = st.sampled_from(sorted(CORPUS.glob("*.eml"))).map(Path.read_bytes)
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
tokens = st.sampled_from(
    [
        *(
            b"\r",
            b"\n",
            b"\r\n",
            b"\r\n\r\n",
            b"--",
            b"\r\n--",
            b"\0",
            b"=",
            b'"',
            b";",
            b"(",
            b"\\",
            b"*0*=",
            b"\xff",
        ),
        *(b"=?utf-8?b?", b"?=", b"=?utf-8?q?=00?=", b"charset=utf-16", b"charset=iso-2022-jp", b"charset=utf-7"),
        *(b"base64", b"quoted-printable", b"x-uuencode", b"x-yencode", b"multipart/digest", b"boundary="),
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
        b"Content-Type: multipart/mixed; boundary=x; boundary=y\r\n",
        b"Content-Type: application/pdf\r\n",
        b"\nbegin 644 x\n#86)C\n`\nend\n",
        b"\n=ybegin line=128 size=3 name=x\n\x8b\x8c\x8d\n=yend size=3\n",
    ]
)
junk = st.one_of(st.binary(max_size=4), tokens)
# At a place: the number of bytes to remove, the bytes to insert, and how many of the preceding bytes to repeat.
damage = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), junk, st.integers(0, 60)), min_size=1, max_size=10)
cuts = st.lists(st.floats(0, 1), max_size=30)


def damaged(raw: bytes, done: list[tuple[float, int, bytes, int]]) -> bytes:
    for place, gone, put, again in done:
        at = int(place * len(raw))
        raw = raw[:at] + put + raw[max(0, at - again) : at] + raw[at + gone :]
    return raw


def read_cut(raw: bytes, places: list[float]) -> Read:
    """Read a mail whole and in chunks that end at these places; both must give the same."""
    ends = sorted({int(place * len(raw)) for place in places} | {0, len(raw)})
    whole = read(raw, limits=LIMITS)
    assert read_pieces((raw[begin:end] for begin, end in pairwise(ends)), LIMITS) == whole
    return whole


@given(mails, line_ends, damage, cuts)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_mail_reads_alike_in_any_chunks(
    raw: bytes, end: bytes, done: list[tuple[float, int, bytes, int]], places: list[float]
) -> None:
    raw = damaged(raw.replace(b"\n", end), done)
    found = read_cut(raw, places)
    assert found.headers.model_dump_json().encode()
    assert found.status in ("complete", "partial")
    assert {*found.defects, *(code for leaf in found.leaves.values() for code in leaf.defects)} <= CODES
    for path, leaf in found.leaves.items():
        assert re.fullmatch(r"[1-9]\d*(\.[1-9]\d*)*", path)
        assert leaf.head.parent is None or path.startswith(f"{leaf.head.parent}.")
        assert leaf.head.declared_type.isprintable()
    # Each byte is emitted once for each message around it, again for a file inside a text, and takes up to three
    # bytes as UTF-8.
    assert sum(len(leaf.content) for leaf in found.leaves.values()) <= 3 * (LIMITS.messages + 2) * len(raw)


@given(st.binary(max_size=3000), cuts)
@settings(max_examples=EXAMPLES)
def test_any_bytes_read_alike_in_any_chunks(raw: bytes, places: list[float]) -> None:
    for mail in (raw, b"Content-Type: multipart/mixed; boundary=\xff\n\n" + raw):
        assert read_cut(mail, places).status in ("complete", "partial")
