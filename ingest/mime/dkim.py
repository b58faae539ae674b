"""Read the DKIM signatures (RFC 6376, 8301, 8463) of a message as a stream; keys are checked elsewhere.

Not dkimpy: its regular expressions take quadratic time on long runs of blanks (80 KB take six seconds), it holds the
body in memory several times, and it accepts SHA-1.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING, Literal, NamedTuple

from ingest.mime.canonical import BodyHash, raw_fields
from ingest.ports.dkim import Claim

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.mime.canonical import Form, RawField

# Why a signature is invalid whatever its key is. `partial`: it covers only the beginning of the body, so anybody may
# have appended to it (RFC 6376 section 8.2); `from`: it does not cover every From field.
Reason = Literal["malformed", "algorithm", "expired", "from", "partial", "body"]

_SIGNATURES = 5  # author, provider, two mailing lists and a spare; each costs a DNS lookup
_FIELD_BYTES = 16 * 1024
_HEAD_BYTES = 256 * 1024
_END_OF_HEADER = re.compile(rb"(?:\A|\n)\r?\n")
_FOLDS = re.compile(rb"[ \t\n]+")
_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)
_FORMS: dict[bytes, tuple[Form, Form]] = {
    b"simple": ("simple", "simple"),
    b"relaxed": ("relaxed", "simple"),
    b"simple/simple": ("simple", "simple"),
    b"simple/relaxed": ("simple", "relaxed"),
    b"relaxed/simple": ("relaxed", "simple"),
    b"relaxed/relaxed": ("relaxed", "relaxed"),
}
_ALGORITHMS: dict[bytes, Literal["rsa", "ed25519"]] = {b"rsa-sha256": "rsa", b"ed25519-sha256": "ed25519"}


class Signature(NamedTuple):
    """One signature of a message. `claim` is None if it is invalid for `reason`."""

    domain: str
    selector: str
    claim: Claim | None
    reason: Reason | None


class _Pending(NamedTuple):
    """A signature whose header was read, and what it says about the body; `form` is set if it has a claim."""

    signature: Signature
    form: Form | None = None
    body_hash: bytes = b""
    length: int | None = None


class DkimReader:
    """Reads a raw message in pieces of any size and returns its signatures at the end.

    Args:
        largest: bytes of a message; larger ones are not checked.
        at: seconds since 1970 when the message was received, for signatures that expire.
    """

    def __init__(self, largest: int, at: float) -> None:
        self._largest, self._at = largest, at
        self._head: bytearray | None = bytearray()
        self._bytes = 0
        self._pending: list[_Pending] = []
        self._bodies: dict[Form, BodyHash] = {}
        self.too_large = False

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the message."""
        self._bytes += len(data)
        if self._head is not None:
            self._read_header(data)
        else:
            self._read_body(data)

    def close(self) -> list[Signature]:
        """Return the signatures at the end of the message; none if it was `too_large`."""
        if self._head is not None:
            self._end_header(bytes(self._head))
        if self.too_large:
            return []
        digests = {form: body.digest() for form, body in self._bodies.items()}
        return [
            pending.signature
            if pending.form is None
            else _with_body(pending, digests[pending.form], self._bodies[pending.form].length)
            for pending in self._pending
        ]

    def _read_header(self, data: bytes) -> None:
        assert self._head is not None
        begin = max(0, len(self._head) - 2)
        self._head += data
        end = _END_OF_HEADER.search(self._head, begin)
        if end is not None:
            head = bytes(self._head)
            self._end_header(head[: end.start() + 1])
            self._read_body(head[end.end() :])
        elif len(self._head) > _HEAD_BYTES:
            self._end_header(b"")
            self.too_large = True

    def _end_header(self, head: bytes) -> None:
        self._head = None
        fields = raw_fields(head[:_HEAD_BYTES])
        signed = [field for field in fields if field.name.lower() == b"dkim-signature"]
        self._pending = [_read(field, fields, self._at) for field in signed[:_SIGNATURES]]
        self._bodies = {form: BodyHash(form) for _, form, *_ in self._pending if form is not None}

    def _read_body(self, data: bytes) -> None:
        if not self._bodies or self.too_large:
            return
        if self._bytes > self._largest:
            self.too_large = True
            return
        for body in self._bodies.values():
            body.feed(data)


def _with_body(pending: _Pending, digest: bytes, size: int) -> Signature:
    signature = pending.signature
    if pending.length is not None and pending.length != size:
        return signature._replace(claim=None, reason="partial")
    return signature if digest == pending.body_hash else signature._replace(claim=None, reason="body")


def _read(field: RawField, fields: list[RawField], at: float) -> _Pending:
    tags = tag_list(field.value) if len(field.value) <= _FIELD_BYTES else {}
    domain, selector = _name(tags.get(b"d")), _name(tags.get(b"s"))
    forms = _FORMS.get(tags.get(b"c", b"simple"))
    identity = (tags.get(b"i") or b"@" + tags.get(b"d", b"")).rpartition(b"@")[2].lower().decode("ascii", "replace")
    signature, body_hash = _bytes(tags.get(b"b")), _bytes(tags.get(b"bh"))
    length = _number(tags.get(b"l"))
    invalid = Signature(domain, selector, None, "malformed")
    if (
        not all((domain, selector, signature, body_hash, forms, tags.get(b"h"), tags.get(b"v") == b"1"))
        or (b"l" in tags and length is None)
        or not f".{identity}".endswith(f".{domain}")
    ):
        return _Pending(invalid)
    assert forms is not None  # tested above
    algorithm = _ALGORITHMS.get(tags[b"a"].lower()) if b"a" in tags else None
    names = [name.strip().lower() for name in _FOLDS.sub(b"", tags[b"h"]).split(b":")]
    reason = _reason(tags, names, fields, at)
    if algorithm is None:
        reason = "algorithm"
    if reason is not None or algorithm is None:
        return _Pending(invalid._replace(reason=reason))
    data = _signed(field, names, fields, forms[0])
    claim = Claim(domain, selector, algorithm, identity == domain, data, signature)
    return _Pending(Signature(domain, selector, claim, None), forms[1], body_hash, length)


def _reason(tags: dict[bytes, bytes], names: list[bytes], fields: list[RawField], at: float) -> Reason | None:
    expires = _number(tags.get(b"x"))
    if b"x" in tags and (expires is None or expires < at):
        return "malformed" if expires is None else "expired"
    # Every From field must be signed, or an attacker could prepend one.
    authors = sum(field.name.lower() == b"from" for field in fields)
    return None if authors and names.count(b"from") >= authors else "from"


def _signed(signature: RawField, names: Iterable[bytes], fields: list[RawField], form: Form) -> bytes:
    """Return the signed bytes: the named fields, equal names bottom-up, then the signature field without `b=`."""
    by_name: dict[bytes, list[RawField]] = {}
    for field in fields:
        by_name.setdefault(field.name.lower(), []).append(field)
    pieces = [by_name[name].pop().canonical(form) for name in names if by_name.get(name)]
    own = signature._replace(value=_without_signature(signature.value)).canonical(form)
    return b"".join(pieces) + own.removesuffix(b"\r\n")


def _without_signature(value: bytes) -> bytes:
    specs = value.split(b";")
    for at, spec in enumerate(specs):
        name, equals, _ = spec.partition(b"=")
        if name.strip() == b"b":
            specs[at] = name + equals
    return b";".join(specs)


def tag_list(value: bytes) -> dict[bytes, bytes]:
    """Parse `name=value; name=value` (RFC 6376 section 3.2), stripped; empty if malformed."""
    tags: dict[bytes, bytes] = {}
    for spec in value.split(b";"):
        name, equals, text = spec.partition(b"=")
        name = name.strip()
        if not name and not equals:
            continue
        if not name or not equals or name in tags:
            return {}
        tags[name] = text.strip()
    return tags


def _name(value: bytes | None) -> str:
    """Return a domain name or selector in lower case; empty if it is invalid."""
    text = (value or b"").decode("ascii", "replace").lower()
    return text if _DOMAIN.fullmatch(text) else ""


def _bytes(value: bytes | None) -> bytes:
    """Decode base64 that may be folded; empty if it is invalid."""
    try:
        return b64decode(_FOLDS.sub(b"", value or b""), validate=True)
    except ValueError:
        return b""


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(rb"[0-9]{1,12}", value) else None
