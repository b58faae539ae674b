"""What the receiving server says of a message's authenticity: Authentication-Results (RFC 8601), read once.

Anybody can write such a field into a message. It counts only when it names the server that is trusted
(`authserv-id`), and only where that server puts it: at the top, above the header that the sender wrote.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.domain.manifest import AuthenticationResult
from ingest.mime.fields import split_fields
from ingest.mime.limits import MimeLimits

if TYPE_CHECKING:
    from ingest.mime.fields import Fields

# A server writes one field for each of its checks, and relays behind it theirs.
_FIELDS = 8
_FIELD_BYTES = 16 * 1024
_RESULTS = 32
_LONGEST_WORD = 32
_LONGEST_VALUE = 253  # bytes of a domain name
# Whose value is told of, and whether it is told whole; of addresses only the domain is.
_PROPERTIES = {
    "header.d": True,
    "header.s": True,
    "header.i": False,
    "header.from": False,
    "smtp.mailfrom": False,
    "smtp.helo": True,
}
_END_OF_HEADER = re.compile(rb"\n\r*\n")
_PIECE = re.compile(r'\\.|[()";]|[^\\()";]++', re.DOTALL)
_VALUE = r'(?:"(?:[^"\\]++|\\.)*+"|[^\s"]++)++'
_SERVER = re.compile(rf"\s*+({_VALUE})(?:\s++(\d++))?\s*+", re.DOTALL)
_METHOD = re.compile(r"\s*+([\w-]++)\s*+(?:/\s*+(\d++)\s*+)?=\s*+([\w-]++)(?!\S)", re.ASCII)
_PAIR = re.compile(rf"\s*+([\w-]++(?:\s*+\.\s*+[\w-]++)?)\s*+=\s*+({_VALUE})", re.ASCII | re.DOTALL)


def authentication_results(head: bytes, authserv_id: str) -> list[AuthenticationResult] | None:
    """The results that the trusted server wrote, in its order; None where it wrote none.

    Read are the topmost field of that server and those of it that follow before the next Received field, since one
    server may write several. What a lower field says of a method that a higher one told of does not count. A sender's
    own field of that name stands below those of the server, which has to remove it (RFC 8601 section 5).

    Args:
        head: the beginning of the raw message; only what it holds of the header is read.
        authserv_id: as the trusted server names itself; letter case does not count.
    """
    found: list[AuthenticationResult] | None = None
    read = 0
    for name, value in _fields(head):
        if name == "received" and found is not None:
            break
        if name != "authentication-results" or len(value) > _FIELD_BYTES:
            continue
        server, *statements = _statements(value.decode("utf-8", "replace"))
        if _is_from(server, authserv_id):
            told = {result.method for result in found or ()}
            results = [each for each in map(_result, statements) if each is not None and each.method not in told]
            found = [*(found or ()), *results][:_RESULTS]
        read += 1
        if read == _FIELDS:
            break
    return found


def _fields(head: bytes) -> Fields:
    end = _END_OF_HEADER.search(head)
    return split_fields(head[: end.start() + 1] if end else head, MimeLimits(), set())


def _statements(value: str) -> list[str]:
    """Split at semicolons outside quotes and comments; a comment, nested or not, becomes a blank."""
    statements, pieces, depth, quoted = [], list[str](), 0, False
    for match in _PIECE.finditer(value):
        piece = match[0]
        if depth:
            depth += {"(": 1, ")": -1}.get(piece, 0)
        elif quoted or piece == '"':
            pieces.append(piece)
            quoted ^= piece == '"'
        elif piece == "(":
            pieces.append(" ")
            depth = 1
        elif piece == ";":
            statements.append("".join(pieces))
            pieces = []
        else:
            pieces.append(piece)
    return [*statements, "".join(pieces)]


def _is_from(server: str, authserv_id: str) -> bool:
    match = _SERVER.fullmatch(server)
    return match is not None and match[2] in (None, "1") and _plain(match[1]).casefold() == authserv_id.casefold()


def _result(statement: str) -> AuthenticationResult | None:
    """`method=result reason=... type.property=...`; None for `none` and for what is no result."""
    match = _METHOD.match(statement)
    if match is None or match[2] not in (None, "1") or max(len(match[1]), len(match[3])) > _LONGEST_WORD:
        return None
    properties: dict[str, str] = {}
    pair = _PAIR.match(statement, match.end())
    while pair is not None:
        name = re.sub(r"\s", "", pair[1]).lower()
        value = _told(name, _plain(pair[2]))
        if value:
            properties.setdefault(name, value)
        pair = _PAIR.match(statement, pair.end())
    return AuthenticationResult(method=match[1].lower(), result=match[3].lower(), properties=properties)


def _told(name: str, value: str) -> str | None:
    if name not in _PROPERTIES:
        return None
    told = value if _PROPERTIES[name] else value.rpartition("@")[2]
    return told.lower() if told.isprintable() and len(told) <= _LONGEST_VALUE else None


def _plain(value: str) -> str:
    """Without quotes; a backslash in them stands before a character that is meant as it is."""
    return re.sub(r'\\(.)|"', lambda match: match[1] or "", value, flags=re.DOTALL) if '"' in value else value
