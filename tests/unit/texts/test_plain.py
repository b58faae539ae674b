"""HTML becomes readable plain text, whatever it is."""

from __future__ import annotations

import pytest

from ingest.texts.plain import to_plain


def plain(markup: str) -> str:
    return to_plain(markup.encode())[0].decode()


def test_tables_are_columns_and_lists_have_bullets() -> None:
    rows = "<tr><th>Item</th><th>Price</th></tr><tr><td>Screws M8</td><td>12,50&nbsp;€</td></tr>"
    assert plain(f"<p>Dear&#32;all,<br>yours:</p><table>{rows}</table><ul><li>one<li>two</ul>") == (
        "Dear all,\nyours:\n\nItem       Price\nScrews M8  12,50 €\n\n  * one\n  * two\n"
    )


@pytest.mark.parametrize(
    "unseen",
    [
        "<title>unseen</title>",
        "<style>unseen</style>",
        "<script>unseen</script>",
        "<!-- unseen -->",
        '<div style="display:none">unseen</div>',
    ],
)
def test_what_a_browser_does_not_show_is_left_out(unseen: str) -> None:
    assert plain(f"{unseen}<p>seen</p>") == "seen\n"


def test_pictures_are_named_by_their_alternative_text() -> None:
    assert plain('<img src="cid:x" alt="ACME Ltd"><img src="http://x.example/1x1.gif">') == "[ACME Ltd]\n"


@pytest.mark.parametrize(
    "nothing", ["", " ", "\0", "<p>&nbsp;</p>", "<!-- a -->", "<img src=x>", "<?xml version='1.0'?>"]
)
def test_html_without_text_gives_none(nothing: str) -> None:
    assert plain(nothing) == ""


def test_deep_nesting_is_reported() -> None:
    assert to_plain(b"<p>top</p>" + b"<div>" * 5000 + b"deep") == (b"top\n", False)


def test_charset_of_a_meta_element_is_ignored() -> None:
    assert plain('<meta charset="iso-8859-1"><?xml encoding="latin1"?><p>Grüße €') == "Grüße €\n"
