"""`format=flowed` is unfolded as RFC 3676 says."""

from __future__ import annotations

import io

import pytest

from ingest.mime import parse
from ingest.mime.events import PartBegun
from ingest.mime.flowed import unfold


def unfolded(text: str, *, delsp: bool = False) -> str:
    return b"".join(unfold(io.BytesIO(text.encode()), delsp=delsp)).decode()


# RFC 3676 section 4.2, and the same text with quotation marks as in section 4.5.
PARTY = "`Take some more tea,' the March Hare said to Alice, \nvery earnestly.\n"
QUOTED = (
    ">>>Take some more tea.\n"
    ">>I've had nothing yet, so I can't take more.\n"
    ">You mean you can't take LESS, it's very easy to take \n"
    ">MORE than nothing.\n"
)
UNQUOTED = (
    ">>> Take some more tea.\n"
    ">> I've had nothing yet, so I can't take more.\n"
    "> You mean you can't take LESS, it's very easy to take MORE than nothing.\n"
)


@pytest.mark.parametrize(
    ("folded", "whole"),
    [
        (PARTY, "`Take some more tea,' the March Hare said to Alice, very earnestly.\n"),
        (PARTY.replace("\n", "\r\n"), "`Take some more tea,' the March Hare said to Alice, very earnestly.\r\n"),
        (QUOTED, UNQUOTED),
        (" From here\n >no quotation\n  two\n", "From here\n>no quotation\n two\n"),
        ("one \ntwo\n\nthree\n", "one two\n\nthree\n"),
        ("no end ", "no end "),
        ("no end \nat all", "no end at all"),
        ("", ""),
    ],
    ids=["paragraph", "crlf", "quotation", "space-stuffing", "blank line", "flowed at the end", "unended", "empty"],
)
def test_flowed_text_is_unfolded(folded: str, whole: str) -> None:
    assert unfolded(folded) == whole


def test_signature_line_neither_flows_nor_is_flowed_into() -> None:
    assert unfolded("a paragraph \n-- \nJane \nDoe\n") == "a paragraph \n-- \nJane Doe\n"
    assert unfolded("> quoted \n> -- \n> Jane\n") == "> quoted \n> -- \n> Jane\n"
    assert unfolded("-- \nJane\n", delsp=True) == "-- \nJane\n"


def test_paragraph_ends_where_the_quotation_depth_changes() -> None:
    assert unfolded("> one \n>> two \nthree\n") == "> one \n>> two \nthree\n"


def test_delsp_removes_the_last_blank() -> None:
    assert unfolded("日本 \n語\n> 引 \n> 用\n", delsp=True) == "日本語\n> 引用\n"


def test_lines_longer_than_what_is_read_at_once_stay_whole() -> None:
    line = "x" * 200_000
    assert unfolded(f"> {line} \n> {line}\n") == f"> {line} {line}\n"
    assert unfolded(f"{line}\n>{line}") == f"{line}\n> {line}"


@pytest.mark.parametrize(
    ("declared", "flow"),
    [
        (b"text/plain; format=flowed", "flowed"),
        (b'text/plain; charset=utf-8; Format="Flowed"; DelSp=YES', "delsp"),
        (b"text/plain; delsp=yes", None),
        (b"text/plain; format=fixed", None),
        (b"text/html; format=flowed", None),
    ],
)
def test_part_tells_how_its_lines_are_folded(declared: bytes, flow: str | None) -> None:
    events = parse([b"Content-Type: " + declared + b"\r\n\r\nHello\r\n"])
    (begun,) = [event for event in events if isinstance(event, PartBegun)]
    assert begun.flow == flow
