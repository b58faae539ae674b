"""Mail that broke other parsers is read to its end in linear time and bounded memory.

Work is counted, not timed (`tests.support.work`), with the limits lifted, except for those that bound the work
(levels, nested messages). The same mails are also read in full size under the default limits.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ingest.mime
from ingest.mime import MimeLimits, parse
from ingest.mime.events import MessageEnded
from tests.support.mime import read
from tests.support.work import counting_work

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = str(Path(ingest.mime.__file__).parent)
MODULES = [importlib.import_module(f"ingest.mime.{info.name}") for info in pkgutil.iter_modules(ingest.mime.__path__)]
LIFTED = MimeLimits(
    parts=10**9, header_bytes=10**9, header_fields=10**9, text=10**9, addresses=10**9, references=10**9
)
CHUNK = 256
PATTERN = re.compile(b"x")
MIXED = b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n'


@dataclass(frozen=True)
class Hostile:
    """A mail of `n` repetitions: `few` to count the work, `many` as in the attack on other parsers."""

    name: str
    make: Callable[[int], bytes]
    few: int
    many: int


def multiparts(n: int) -> bytes:
    level = b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n'
    return b"".join(level % (number, number) for number in range(n)) + b"\r\nx"


def closed_multiparts(n: int) -> bytes:
    inner = b'--a\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n'
    return MIXED + inner * n + b"--a--\r\n"


def wrapped(around: str, item: bytes, end: str = "\r\n\r\nx") -> Callable[[int], bytes]:
    return lambda n: around.encode() + item * n + end.encode()


def numbered(around: str, item: str) -> Callable[[int], bytes]:
    return lambda n: (around + "".join(item % number for number in range(n)) + "\r\n\r\nx").encode()


UUENCODED = b"begin 644 x\r\n#86)C\r\n`\r\nend\r\n"
QUOTED = "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
BASE64 = "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
JAPANESE = "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n"
HOSTILE = [
    Hostile("nested multiparts", multiparts, 200, 15_000),
    Hostile("multiparts one after another", closed_multiparts, 100, 15_000),
    Hostile("nested messages", wrapped("", b"Content-Type: message/rfc822\r\n\r\n"), 100, 10_000),
    Hostile("addresses", wrapped("To: ", b"a@b.example, "), 500, 100_000),
    Hostile("addresses with words", wrapped("To: ", b'"=?utf-8?q?x?=" <a@b.example>, '), 300, 50_000),
    Hostile("angle brackets", wrapped("To: ", b"<"), 4000, 1_000_000),
    Hostile("comments in addresses", wrapped("To: ", b"(a\\"), 2000, 500_000),
    Hostile("encoded-words", wrapped("Subject: ", b"=?utf-8?q?x?= "), 500, 50_000),
    Hostile("words that never end", wrapped("Subject: ", b"=?utf-8?q?"), 1000, 100_000),
    Hostile("words in a name", wrapped('Content-Type: x/y; name="', b"=?utf-8?q?x?= ", '"\r\n\r\nx'), 500, 70_000),
    Hostile("RFC 2231 segments", numbered("Content-Type: x/y; ", "n*%d*=%%41; "), 500, 50_000),
    Hostile("parameters", numbered("Content-Type: x/y; ", "n%d=v; "), 500, 50_000),
    Hostile("open comments", wrapped("Content-Type: ", b"("), 4000, 1_000_000),
    Hostile("open quotes", wrapped("Content-Type: x/y; ", b'a="; '), 1000, 200_000),
    Hostile("folds", wrapped("Subject: x", b"\r\n y"), 1000, 1_000_000),
    Hostile("blank folds", wrapped("Subject: x", b"\r\n "), 1000, 400_000),
    Hostile("one header line", wrapped("Subject: ", b"x"), 20_000, 10_000_000),
    Hostile("header lines", numbered("", "X-%d: y\r\n"), 500, 200_000),
    Hostile("lines that are no fields", wrapped("", b"no field\r\n"), 1000, 200_000),
    Hostile("ids", wrapped("References: ", b"<a@b> "), 1000, 200_000),
    Hostile("broken ids", wrapped("References: ", b"<a@b"), 1000, 200_000),
    Hostile("types", wrapped("", b"Content-Type: x/y; boundary=z\r\n"), 300, 30_000),
    Hostile("boundaries of one multipart", wrapped("Content-Type: multipart/mixed", b"; boundary=z"), 500, 80_000),
    Hostile("empty parts", wrapped(MIXED.decode(), b"--a\r\n\r\n"), 300, 100_000),
    Hostile("fake boundaries", wrapped(MIXED.decode(), b"--b\r\n"), 1000, 1_000_000),
    Hostile("fake boundaries in a header", wrapped(MIXED.decode() + "--a\r\n", b"--b\r\n"), 1000, 150_000),
    Hostile("fake fields in a preamble", wrapped(MIXED.decode(), b"Content-Typo: x\r\n"), 1000, 200_000),
    Hostile("hyphens", wrapped(MIXED.decode(), b"-"), 20_000, 5_000_000),
    Hostile("carriage returns", wrapped("", b"\r"), 20_000, 5_000_000),
    Hostile("line ends of bare CR", wrapped("Subject: s\r\r", b"x\r"), 5000, 1_000_000),
    Hostile("padding alone", wrapped(BASE64, b"=" * 76 + b"\r\n"), 500, 60_000),
    Hostile("parts without a blank line", wrapped(MIXED.decode(), b"--a\r\nX: y\r\nwords\r\n"), 300, 50_000),
    Hostile("blank lines of bare CR", wrapped("X: y\r\n", b"X: y\r\rZ"), 1000, 200_000),
    Hostile("dashed lines after bare CR", wrapped(MIXED.decode(), b"x\r--b"), 1000, 150_000),
    Hostile("padding behind each letter", wrapped(BASE64, b"A=" * 38 + b"\r\n"), 500, 60_000),
    Hostile("padding", wrapped(BASE64, b"QQ==\r\n"), 2000, 500_000),
    Hostile("noise in base64", wrapped(BASE64, b"!\r\n"), 2000, 1_000_000),
    Hostile("equals signs", wrapped(QUOTED, b"="), 10_000, 2_000_000),
    Hostile("open escapes", wrapped(QUOTED, b"=" + b" " * 240), 200, 20_000),
    Hostile("uuencoded files", wrapped("\r\n", UUENCODED), 200, 50_000),
    Hostile("uuencoded files that never begin", wrapped("\r\n", b"begin 644 x\r\n"), 500, 200_000),
    Hostile("uuencoded files that never end", wrapped("\r\n", UUENCODED[:-5]), 200, 50_000),
    Hostile("yEnc escapes", wrapped("\r\n=ybegin line=1 size=1 name=x\r\n", b"="), 40_000, 1_000_000),
    Hostile("escapes of ISO-2022", wrapped(JAPANESE, b"\x1b("), 5000, 500_000),
]


def work_of(raw: bytes) -> int:
    with counting_work(FOLDER, MODULES) as work:
        for _ in parse((raw[at : at + CHUNK] for at in range(0, len(raw), CHUNK)), LIFTED):
            pass
    return work.done


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_work_grows_linearly_with_the_mail(hostile: Hostile) -> None:
    once, twice = work_of(hostile.make(hostile.few)), work_of(hostile.make(2 * hostile.few))
    assert twice <= 2.05 * once + 2000


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_memory_is_bounded_at_full_size(hostile: Hostile) -> None:
    """Read 256 KiB at a time, as from a store."""
    raw = hostile.make(hostile.many)
    ended = None
    tracemalloc.start()
    try:
        for event in parse(raw[at : at + 262_144] for at in range(0, len(raw), 262_144)):
            ended = event
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(ended, MessageEnded)
    assert peak < 32 * 2**20


def shrinking(data: bytes) -> None:
    while data:
        data = data[1:]


def searching(data: bytes) -> None:
    for _ in data:
        data.find(b"x")


def matching(data: bytes) -> None:
    for _ in data:
        PATTERN.search(data)


@pytest.mark.parametrize("wasteful", [shrinking, searching, matching])
def test_the_count_detects_quadratic_work(wasteful: Callable[[bytes], None]) -> None:
    counts = []
    for size in (200, 400):
        with counting_work(__file__, [sys.modules[__name__]]) as work:
            wasteful(b"y" * size)
        counts.append(work.done)
    assert counts[1] > 3 * counts[0]


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\0" * 1000, b"no header at all", b"\xff" * 1000])
def test_any_bytes_read_as_a_complete_mail(data: bytes) -> None:
    assert read(data).status == "complete"
