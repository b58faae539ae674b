"""Parse Authentication-Results (RFC 8601), the verdicts of the receiving server on a message.

Anybody can write such a field into a message. It counts only if it names the trusted server (`authserv-id`), and only
at the place where that server writes it: at the top, above the header that the sender wrote.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.domain.manifest import AuthenticationResult
from ingest.mime.fields import split_fields
from ingest.mime.limits import MimeLimits

if TYPE_CHECKING:
    from ingest.mime.fields import Fields

# A server may write one field per check, and internal relays add their own.
_FIELDS = 8
_FIELD_BYTES = 16 * 1024
_RESULTS = 32
_LONGEST_WORD = 32
_LONGEST_VALUE = 253  # bytes of a domain name
# Properties that are reported, and whether their whole value is; for addresses only the domain is.
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
    """Return the results of the trusted server, in its order; None if it wrote none.

    Reads the topmost field of that server and its further fields before the next Received field, since a server may
    write several. A method that a higher field reported is ignored in lower ones. A forged field stands below those
    of the server, which must remove it (RFC 8601 section 5).

    Args:
        head: the beginning of the raw message; only its header is read.
        authserv_id: the name of the trusted server, in any letter case.
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
            seen = {result.method for result in found or ()}
            results = [each for each in map(_result, statements) if each is not None and each.method not in seen]
            found = [*(found or ()), *results][:_RESULTS]
        read += 1
        if read == _FIELDS:
            break
    return found


def is_of_server(value: bytes, authserv_id: str) -> bool:
    """Return whether an Authentication-Results field names a server as its author."""
    return len(value) <= _FIELD_BYTES and _is_from(_statements(value.decode("utf-8", "replace"))[0], authserv_id)


def _fields(head: bytes) -> Fields:
    end = _END_OF_HEADER.search(head)
    return split_fields(head[: end.start() + 1] if end else head, MimeLimits(), set())


def _statements(value: str) -> list[str]:
    """Split at semicolons outside quotes and comments; comments, also nested, become a blank."""
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
    """Parse `method=result reason=... type.property=...`; None for `none` and for anything else."""
    match = _METHOD.match(statement)
    if match is None or match[2] not in (None, "1") or max(len(match[1]), len(match[3])) > _LONGEST_WORD:
        return None
    properties: dict[str, str] = {}
    pair = _PAIR.match(statement, match.end())
    while pair is not None:
        name = re.sub(r"\s", "", pair[1]).lower()
        value = _reported(name, _plain(pair[2]))
        if value:
            properties.setdefault(name, value)
        pair = _PAIR.match(statement, pair.end())
    return AuthenticationResult(method=match[1].lower(), result=match[3].lower(), properties=properties)


def _reported(name: str, value: str) -> str | None:
    if name not in _PROPERTIES:
        return None
    value = value if _PROPERTIES[name] else value.rpartition("@")[2]
    return value.lower() if value.isprintable() and len(value) <= _LONGEST_VALUE else None


def _plain(value: str) -> str:
    """Remove quotes and backslash escapes."""
    return re.sub(r'\\(.)|"', lambda match: match[1] or "", value, flags=re.DOTALL) if '"' in value else value
