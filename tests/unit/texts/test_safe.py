"""HTML that is safe to show neither runs nor loads anything, and still looks like the mail."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.texts.safe import Image, content_id, to_safe, with_images
from tests.unit.texts.attacks import ATTACKS

FORBIDDEN = {
    *("script", "style", "svg", "math", "iframe", "object", "embed", "form", "input", "link", "base", "meta")
}
FORBIDDEN_ATTRIBUTES = {"srcset", "background", "formaction", "action", "ping", "id", "class"}
GIF = Image("image/gif", b"GIF89a")


def safe(markup: str) -> str:
    return to_safe(markup.encode())[0].decode()


def shown(markup: str, images: dict[str, Image] | None = None, limit: int = 2**20) -> str:
    return b"".join(with_images(to_safe(markup.encode())[0], images or {}, limit)).decode()


class _Checker(HTMLParser):
    """Collects what a browser might run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[object] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        forbidden = {
            "script",
            "style",
            "svg",
            "math",
            "iframe",
            "object",
            "embed",
            "form",
            "input",
            "link",
            "base",
            "meta",
        }
        if tag in forbidden:
            self.bad.append(tag)
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name.startswith("on") or name in (
                "srcset",
                "background",
                "formaction",
                "action",
                "ping",
                "id",
                "class",
            ):
                self.bad.append((tag, name))
            if name == "src" and not re.match(r"(?:cid:|data:image/(?:png|jpeg|gif|webp|bmp);base64,)", text):
                self.bad.append((name, text))
            if name == "href" and not re.match(r"(?:https?://|mailto:|tel:)", text):
                self.bad.append((name, text))
            if name == "style" and re.search(r"[\\@<]|/\*|url|expression|image|position|behavior|import", text):
                self.bad.append((name, text))


def unsafe_in(markup: str) -> list[object]:
    checker = _Checker()
    checker.feed(markup)
    checker.close()
    return checker.bad


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_harmless(attack: str) -> None:
    assert unsafe_in(safe(attack)) == []
    assert unsafe_in(safe(f"<table><tr><td>{attack}</table>")) == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*ATTACKS, "<p>", "</p>", "<table>", "<td>", "'", '"', ">", "<", "--", "x"]), max_size=6)
)
def test_mixed_attacks_are_harmless(pieces: list[str]) -> None:
    once = safe("".join(pieces))
    assert unsafe_in(once) == []
    assert safe(once) == once


def test_layout_and_links_stay() -> None:
    kept = (
        '<table width="600" style="border: 1px solid #ccc"><tbody><tr><td style="color: rgb(1, 2, 3)">'
        '<a href="https://example.com/?a=1&amp;b=2" rel="noopener noreferrer nofollow">portal</a>'
        "</td></tr></tbody></table>"
    )
    assert safe(kept) == kept


def test_styles_are_filtered_one_by_one() -> None:
    kept = "color: red; margin-top: 1.5em; font-family: 'A B',serif"
    style = f"position:fixed;background:url(http://x.example);margin:-9px;{kept.replace('color', 'COLOR')}"
    assert safe(f'<p style="{style}">x') == f'<p style="{kept}">x</p>'


def test_images_of_the_mail_are_inside() -> None:
    images = {content_id("<Logo@X>"): GIF}
    assert '<img alt="a" src="data:image/gif;base64,R0lGODlh">' in shown('<img alt=a src="CID:%3Clogo@x%3E">', images)
    assert '<img src="data:image/gif;base64,R0lGODlh">' in shown('<img src="cid:a&amp;b">', {"a&b": GIF})


def test_images_from_elsewhere_and_unknown_ones_are_taken_out() -> None:
    body = shown('<img src="https://x.example/p.gif" alt="p"><img src="cid:other"><img src="//x.example/a">')
    assert '<body>\n<img alt="p"><img><img>\n</body>' in body


def test_image_that_exceeds_the_limit_is_left_out() -> None:
    large = Image("image/png", bytes(3000))
    body = shown('<img src="cid:a"><img src="cid:a"><img src="cid:b">', {"a": large, "b": GIF}, limit=6000)
    assert len(body) <= 6000
    assert body.count("base64") == 2
    assert body.endswith('<img><img src="data:image/gif;base64,R0lGODlh">\n</body></html>\n')


def test_text_that_looks_like_an_image_stays_text() -> None:
    assert "base64" not in shown('<p>&lt;img src="cid:a"&gt;</p><img alt=\'<img src="cid:a">\'>', {"a": GIF})


def test_document_forbids_what_a_filter_might_miss() -> None:
    head = shown("<p>x").partition("<body>")[0]
    assert "default-src 'none'; img-src data:" in head
    assert '<meta name="referrer" content="no-referrer">' in head
