"""The code page of file names for which none is declared, by the letters that they have in each of them.

Archivers write names in the code page of the machine that made the archive: Windows' own in that of DOS, many others
in that of Windows. A name has too few bytes for a detector of charsets, and every byte is a character in all of these
code pages; but only in the right one all of them are letters that occur together in a language.
"""

from __future__ import annotations

import re
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PUNCTUATION = frozenset("\u2013\u2014\u2018\u2019“”„«»…·¿¡")
_SIGNS = frozenset("€§°ºª©®")  # which no letter follows
_RUN = 4  # more letters in a row that are not ASCII occur in no language in Latin script
_WHOLE = 2  # letters of the longest word in Latin script that has no ASCII letter
_VOWELS = frozenset("аеёиоуыэюяіїєўАЕЁИОУЫЭЮЯІЇЄЎ")
_VOWEL_SHARE = 0.2  # of the letters of a name in Cyrillic; Greek and Hebrew, read as that, have fewer
# Strict codecs of the most frequent characters, and what they are read in.
_IDEOGRAPHS = (("gb2312", "gb18030"), ("shift_jis", "cp932"), ("big5", "cp950"))
_IDEOGRAPH = re.compile(
    r"(?!.*[a-z][\u3000-\u9fff]|.*[\u3000-\u9fff][a-z])[\x00-\x7f\u3000-\u30ff\u4e00-\u9fff\uff00-\uff5e]*", re.DOTALL
)
# What no name has: marks side by side, any but an apostrophe inside of a word, and sharp s behind a consonant.
_ODD = re.compile(
    r"[\u2013-\u2026]{2}|\w[\u2013\u2014\u2018\u201c-\u201e\u2026\xab\xbb\xb7\xbf\xa1]\w|[b-df-hj-np-tv-xz\u2013-\u2026]\xdf",
    re.IGNORECASE,
)


class _Language(NamedTuple):
    """Code pages of DOS and Windows, and the lower-case letters of languages beside a to z, each set by itself."""

    code_pages: tuple[str, ...]
    alphabets: tuple[str, ...]
    is_latin: bool = True


_HEBREW = "אבגדהוזחטיךכלםמןנסעףפץצקרשת"
_LANGUAGES: tuple[_Language, ...] = (
    _Language(
        ("cp850", "cp1252"),
        (
            "äöüßéèàçñ",  # German, with names of neighbours
            "àâæçéèêëîïôœùûüÿ",
            "áéíóúüñ",
            "àèéìîòù",
            "áâãàçéêíóôõúü",
            "åäöæøéèü",
            "éëïöüèê",
        ),
    ),
    _Language(
        ("cp852", "cp1250"),
        (
            "áčďéěíňóřšťúůýžäöü",
            "áäčďéíĺľňóôŕšťúýž",
            "ąćęłńóśźżäöü",
            "áéíóöőúüű",
            "ăâîşţ",
        ),
    ),
    _Language(("cp850", "cp1252"), ("àçèéíïòóúü",)),
    _Language(("cp857", "cp1254"), ("çğıöşüâîû",)),
    _Language(("cp852", "cp1250"), ("čćđšžäöü",)),
    _Language(("cp850", "cp1252"), ("áðéíóúýþæö",)),
    _Language(("cp775", "cp1257"), ("āčēģīķļņšūž", "ąčęėįšųūž", "äõöüšž")),
    _Language(("cp866", "cp1251"), ("абвгдежзийклмнопрстуфхцчшщъыьэюяёєіїґўјљњћђџѕ№",), is_latin=False),
    _Language(("cp1255",), (_HEBREW,), is_latin=False),
    _Language(("cp737", "cp1253"), ("αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ",), is_latin=False),
    _Language(("cp862",), (_HEBREW,), is_latin=False),
)


def code_page_of(names: bytes) -> str | None:
    """Return the Python codec in which names are words of one language, None if there is none.

    Args:
        names: one or more, with line ends between them; some bytes are above 127.
    """
    for language in _LANGUAGES:
        for alphabet in language.alphabets:
            for code_page in language.code_pages:
                if _fits(names, code_page, alphabet, is_latin=language.is_latin):
                    return code_page
    return None


def ideographic_code_page_of(names: bytes) -> str | None:
    """Return the codec in which names have frequent Chinese characters only, None if there is none."""
    for strict, codec in _IDEOGRAPHS:
        if _IDEOGRAPH.fullmatch(names.decode(strict, "replace")):
            return codec
    return None


def _fits(names: bytes, code_page: str, alphabet: str, *, is_latin: bool) -> bool:
    try:
        text = names.decode(code_page)
    except UnicodeDecodeError:
        return False
    letters = frozenset(alphabet + alphabet.upper() + "\u0130\u1e9e")
    if not {character for character in text if not character.isascii()} <= letters | _PUNCTUATION | _SIGNS:
        return False
    if _ODD.search(text) or any(sign in _SIGNS and after.isalpha() for sign, after in pairwise(text)):
        return False
    words = ["".join(word) for is_letter, word in groupby(text, str.isalpha) if is_letter]
    return all(_is_word(word, letters, is_latin=is_latin) for word in words) and _has_vowels(words)


def _has_vowels(words: list[str]) -> bool:
    """Return whether words in Cyrillic can be pronounced."""
    letters = [letter for word in words for letter in word if "\u0400" <= letter <= "\u04ff"]
    return sum(letter in _VOWELS for letter in letters) >= _VOWEL_SHARE * len(letters)


def _pairs(word: str) -> Iterator[tuple[int, str]]:
    return ((at, word[at : at + 2]) for at in range(len(word) - 1))


def _is_word(word: str, letters: frozenset[str], *, is_latin: bool) -> bool:
    """Return whether a person may have written a word.

    No scripts are mixed, and no capital that is not ASCII follows a small letter, or a capital before a small one.
    """
    own = [character in letters for character in word]
    if not any(own):
        return True
    if any(before.islower() and after.isupper() and not after.isascii() for before, after in pairwise(word)):
        return False
    if any(two.isupper() and not two[1].isascii() and word[at + 2 : at + 3].islower() for at, two in _pairs(word)):
        return False
    if not is_latin:
        return all(own)
    longest = max(len(list(run)) for is_own, run in groupby(own) if is_own)
    return longest <= _RUN and (longest < len(word) or longest <= _WHOLE)
