"""Charset labels of real mail, mapped to Python codecs.

Labels are those of the WHATWG Encoding Standard, which browsers use, then those of Python, then the spellings that
mail programs make up (`cp-850`, `dos-862`, `win-1251`). Many senders label a vendor's superset with the name of the
standard charset, so a label stands for the superset: gb2312 is GB18030, euc-kr is CP949, shift_jis is CP932,
iso-8859-1 is Windows-1252. Python has no codec for Microsoft's variants of EUC-JP and ISO-2022-JP, nor for CP950 with
Hong Kong's extensions; for those, the error handler `FALLBACK` decodes the characters that the standard codec lacks.
"""

from __future__ import annotations

import codecs
import re
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache

from webencodings.labels import LABELS

# Name of an error handler for `bytes.decode`: a character that a vendor's variant has is decoded as that; any other
# becomes one U+FFFD.
FALLBACK = "mailhaul.fallback"

_LONGEST_LABEL = 64
_FIRST_LATIN = 0xA0
_DETECTED_BYTES = 8192  # of a text; the detector takes less than a millisecond for each KiB
_HIGH, _SPACES = bytes(range(0x80, 0x100)), b" \t\r\n"
_LEAST = 4  # bytes above 127; fewer say nothing
_ENOUGH = 12  # bytes above 127 from which a language in Latin script can be recognised by its accents
_OLD_SYSTEM = re.compile(r"mac|hp|cp(?!125|874|9)")
_NOT_LATIN = 0.5  # the share of such bytes in other scripts
_ESCAPE_JAPANESE = (b"\x1b$B", b"\x1b$@")

# Python's codecs of the WHATWG encodings. One that is not listed has the same name in Python.
_WHATWG = {
    "big5": "cp950",
    "euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "gbk": "gb18030",
    "ibm866": "cp866",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-8-i": "iso8859-8",
    "macintosh": "mac-roman",
    "shift_jis": "cp932",
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac-cyrillic",
}
# The encodings that WHATWG refuses to decode, and labels that it maps to something else than mail means.
_NOT_WHATWG = frozenset({"replacement", "x-user-defined"})
_OWN = {
    "ascii": "ascii",
    "us-ascii": "ascii",
    "ansi_x3.4-1968": "ascii",
    "iso646-us": "ascii",
    "utf-16": "utf-16",
    "utf16": "utf-16",
    "ucs-2": "utf-16",
    "unicode": "utf-16",
    "csunicode": "utf-16",
    "iso-10646-ucs-2": "utf-16",
    "utf8mb4": "utf-8",
    "big5-eten": "cp950",
    "big5-hkscs": "big5hkscs",
    "hkscs": "big5hkscs",
    "hz-gb-2312": "hz",
    "iso-2022-kr": "iso2022_kr",
    "eucjp-ms": "euc_jp",
    "eucjpms": "euc_jp",
    "iso-2022-jp-ms": "iso2022_jp_ext",
    "sjis-win": "cp932",
    "cp943": "cp932",
    "cp943c": "cp932",
    "tis620": "cp874",
    "uhc": "cp949",
    "gb-18030": "gb18030",
    "cn-gb": "gb18030",
    "euc-cn": "gb18030",
    "cn-big5": "cp950",
    "ansi": "cp1252",
    "utf8-mb4": "utf-8",
    "ucs-2le": "utf-16-le",
    "ucs-2be": "utf-16-be",
    "ucs-4": "utf-32",
    "iso-10646-ucs-4": "utf-32",
    "unicode-2-0-utf-7": "utf-7",
    "x-unicode-2-0-utf-7": "utf-7",
    "gb18030-2000": "gb18030",
}
# Microsoft's numbers that are not the number of a Python codec `cp...`.
_CODE_PAGES = {
    "367": "ascii",
    "819": "cp1252",
    "878": "koi8_r",
    "912": "iso8859-2",
    "915": "iso8859-5",
    "920": "cp1254",
    "923": "iso8859-15",
    "936": "gb18030",
    "943": "cp932",
    "1168": "koi8_u",
    "1200": "utf-16-le",
    "1201": "utf-16-be",
    "10000": "mac-roman",
    "10007": "mac-cyrillic",
    "20127": "ascii",
    "20866": "koi8_r",
    "20932": "euc_jp",
    "20936": "gb18030",
    "20949": "cp949",
    "21866": "koi8_u",
    "50220": "iso2022_jp_ext",
    "50221": "iso2022_jp_ext",
    "50222": "iso2022_jp_ext",
    "50225": "iso2022_kr",
    "51932": "euc_jp",
    "51936": "gb18030",
    "51949": "cp949",
    "51950": "cp950",
    "52936": "hz",
    "54936": "gb18030",
    "65000": "utf-7",
    "65001": "utf-8",
}
# Python's codecs of standard charsets, by the vendors' supersets that are meant.
_SUPERSETS = {
    "big5": "cp950",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "tis-620": "cp874",
    **dict.fromkeys(("iso2022_jp", "iso2022_jp_1"), "iso2022_jp_ext"),
}
_MAC = {
    **dict.fromkeys(("ce", "centraleurroman"), "mac-latin2"),
    "greek": "mac-greek",
    "icelandic": "mac-iceland",
    "turkish": "mac-turkish",
}
_LABEL = re.compile(r"[\"'\s]*(?:charset\s*=\s*)?[\"'\s]*(_?[a-z0-9][\w.:+-]*(?: \d[\d-]*)?)", re.ASCII)
_HYPHENS = re.compile(r"[-_. ]")
_SQUEEZED = {_HYPHENS.sub("", label): label for label in (*LABELS, *_OWN)}
_CODE_PAGE = re.compile(
    r"(?:x-)?(?:microsoft-)?(?:cp|ibm|dos|win(?:dows)?|ms|msdos|codepage|oem|ansi)[-_]?0*(\d{3,5})"
)
_ISO_8859 = re.compile(r"(?:x-)?(?:iso)?[-_]?8859[-_.]?(\d{1,2})(?:[-_:].*)?")


def known_charset(label: str) -> str | None:
    """Return Python's codec for a charset label, or None if the label is unknown."""
    return _known(label[:_LONGEST_LABEL])


@lru_cache(maxsize=128)  # mail uses a handful of labels; invented ones evict one another
def _known(label: str) -> str | None:
    match = _LABEL.match(label.lower())
    if match is None:
        return None
    name = match[1].replace(" ", "-").rstrip(".:+-_")
    return _listed(name) or _listed(name.replace("_", "-")) or _spelled(name) or _squeezed(name) or _of_python(name)


def _squeezed(name: str) -> str | None:
    """Resolve labels that have other hyphens than the listed ones."""
    return _listed(_SQUEEZED.get(_HYPHENS.sub("", name), ""))


def _listed(name: str) -> str | None:
    own = _OWN.get(name)
    if own is not None:
        return own
    encoding = LABELS.get(name)
    return None if encoding is None or encoding in _NOT_WHATWG else _WHATWG.get(encoding, encoding)


def _spelled(name: str) -> str | None:
    """Resolve labels that are a known one with something around it."""
    if match := _CODE_PAGE.fullmatch(name):
        return _code_page(match[1])
    if match := _ISO_8859.fullmatch(name):
        return _listed(f"iso-8859-{int(match[1])}")
    for prefix, start in (("latin-", "latin"), ("x-", ""), ("cs", "")):
        if name.startswith(prefix) and (found := _listed(start + name.removeprefix(prefix))):
            return found
    if name.startswith(("x-mac-", "mac-")):
        kind = name.rpartition("mac-")[2]
        return _MAC.get(kind) or _of_python(f"mac_{kind}")
    return "utf-8" if name.startswith("utf-8") else _of_python(name.removeprefix("x-").removeprefix("cs"))


def _code_page(number: str) -> str | None:
    if number.startswith("2859"):  # Microsoft's numbers of ISO 8859: 28591 to 28605
        return _listed(f"iso-8859-{int(number) - 28590}")
    return _CODE_PAGES.get(number) or _listed(f"cp{number}") or _of_python(f"cp{number}")


def _of_python(name: str) -> str | None:
    """Look a name up in Python's own list.

    Only names from that list: `codecs.lookup` imports a module for whatever name it is given, and remembers each
    name that it did not find, forever.
    """
    key = normalize_encoding(name).lower()
    known = aliases.get(key) or aliases.get(key.replace(".", "_"))
    if known is None and key not in aliases.values() and not key.startswith(("koi8", "mac_", "cp874")):
        return None
    try:
        info = codecs.lookup(known or key)
    except LookupError:  # one of another system, such as mbcs
        return None
    # The same list has codecs such as base64, which are no charsets.
    return _SUPERSETS.get(info.name, info.name) if getattr(info, "_is_text_encoding", False) else None


def utf16_by_content(data: bytes) -> str:
    """Return the byte order of UTF-16 without a byte order mark; big-endian if in doubt (RFC 2781 section 4.3).

    The high bytes of a text are few different ones, whatever its script.
    """
    data = data[:_DETECTED_BYTES]
    first, second = data[::2], data[1::2]
    zeros = first.count(0) - second.count(0)
    if zeros:
        return "utf-16-be" if zeros > 0 else "utf-16-le"
    return "utf-16-be" if len(set(first)) <= len(set(second)) else "utf-16-le"


def is_utf8(data: bytes) -> bool:
    """Return whether bytes are valid UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def detect_charset(data: bytes) -> str | None:
    """Return Python's codec for 8-bit text in an undeclared charset, or None if it cannot be determined.

    Text with few bytes above 127 says too little; it is most likely in a western language.

    Args:
        data: a sample of the text; a few KiB of lines with bytes above 127 are best.
    """
    if any(escape in data for escape in _ESCAPE_JAPANESE):
        return "iso2022_jp_ext"
    high = len(data) - len(data.translate(None, _HIGH))
    if high < _LEAST or (high < _ENOUGH and high < _NOT_LATIN * len(data.translate(None, _SPACES))):
        return None
    from chardet import detect  # noqa: PLC0415 - few mails need it, and it takes memory

    found = detect(data[:_DETECTED_BYTES])["encoding"]
    codec = known_charset(found) if found else None
    # Few bytes are no evidence for the charset of an old system.
    return None if codec is not None and high < _ENOUGH and _OLD_SYSTEM.match(codec) else codec


def _fallback(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # nothing is encoded with this handler
    pair, codec = error.object[error.start : error.start + 2], error.encoding.replace("-", "_")
    if codec == "cp950":
        found = _decoded(pair, "big5hkscs")
    elif codec == "euc_jp":
        found = _from_jis(pair, 0xA0)
    elif codec.startswith("iso2022_jp"):
        found = _from_jis(pair, 0x20)
    elif codec == "charmap" and pair[0] < _FIRST_LATIN:
        # As browsers do: where Windows-125x has no character, it has the control character of Latin-1.
        return chr(pair[0]), error.start + 1
    else:
        found = ""
    return (found, error.start + 2) if found else ("\ufffd", max(error.end, error.start + 1))


def _from_jis(pair: bytes, offset: int) -> str:
    """Decode a row and a cell of JIS as Microsoft fills it: through Shift_JIS, whose codec CP932 has them all."""
    if len(pair) < 2 or not all(0 < byte - offset <= 94 for byte in pair):  # noqa: PLR2004 - the size of the table
        return ""
    row, cell = pair[0] - offset, pair[1] - offset
    lead = (row - 1) // 2 + (0x81 if row <= 62 else 0xC1)  # noqa: PLR2004 - Shift_JIS leaves A0 to DF to katakana
    trail = cell + (0x9E if row % 2 == 0 else 0x3F if cell <= 63 else 0x40)  # noqa: PLR2004 - it leaves out 7F
    return _decoded(bytes((lead, trail)), "cp932")


def _decoded(data: bytes, codec: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return ""


codecs.register_error(FALLBACK, _fallback)
