"""What a gathered header declares, and which of its lines are content."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from ingest.mime.defects import Defect
from ingest.mime.entity import read_entities
from ingest.mime.fields import has_bare_cr, mime_fields, split_fields
from ingest.mime.header_lines import GOES_ON, find_gaps, looks_like_content
from ingest.mime.lines import BLANKS, LONGEST_LINE, first_line_end

if TYPE_CHECKING:
    from ingest.mime.account import Account
    from ingest.mime.entity import Entity
    from ingest.mime.fields import Fields
    from ingest.mime.header_reader import HeaderEnd
    from ingest.mime.limits import MimeLimits
    from ingest.mime.multiparts import Multiparts
    from ingest.mime.tally import Tally

# In a mail whose lines end otherwise: a blank line of bare CR, and what may be a delimiter after a bare CR.
_NOTABLE_CR: Final = re.compile(rb"\r(?:(?P<blank>\r)(?![\r\n])|(?=--))")
_CR_IN_FIELD: Final = re.compile(rb"\r(?![\r\n]|\Z)")


class PartHeader(NamedTuple):
    """What a header declares.

    Attributes:
        fields: all of them.
        entities: the part; several candidates if its type is declared more than once.
        defects: of the part.
        rest: lines behind the last field, which are content, with the separator.
    """

    fields: Fields
    entities: list[Entity]
    defects: set[Defect]
    rest: bytes


class HeaderParser:
    """Parses the gathered headers of one message; what they hold beside fields goes to the tally and the account."""

    __slots__ = ("_account", "_limits", "_multiparts", "_tally")

    def __init__(self, limits: MimeLimits, multiparts: Multiparts, tally: Tally, account: Account) -> None:
        self._limits, self._multiparts, self._tally, self._account = limits, multiparts, tally, account

    def parse(self, ended: HeaderEnd, *, root: bool) -> PartHeader:
        """Parse a header; `root` is that of the message itself."""
        defects: set[Defect] = set()
        head, separator, rest = ended.head, ended.separator, b""
        # Only the fields up to a bare CR that ends the header are split: what was gathered behind it may be long.
        if has_bare_cr(head) and (cr_end := self._end_at_bare_cr(head)) is not None:
            self._tally.defects.add(Defect.BARE_CR)
            line, content = cr_end
            head, separator, rest = head[:line], head[line:content], head[content:] + separator
        elif _CR_IN_FIELD.search(head):
            self._tally.defects.add(Defect.BARE_CR)
        fields = split_fields(head, self._limits, defects)
        if root and defects:
            self._tally.defects |= defects
            defects = set()
        entities = read_entities(mime_fields(fields), self._multiparts.subtype, defects)
        is_clean = fields.line_bytes - len(head) in (0, 1)
        tail = b"" if is_clean else self._skip_lines(head, fields, entities[0], root=root, separated=bool(separator))
        self._account.fields += len(head) - len(tail)
        if ended.capped:
            self._account.skipped_lines += ended.capped
            self._tally.defects.add(Defect.HEADER_CAPPED)
            self._tally.skip(Defect.HEADER_CAPPED, ended.capped, content=True)
        if tail:
            if fields:
                defects.add(Defect.HEADER_UNENDED)
            rest = tail + separator + rest
        else:
            self._account.delimiters += len(separator)
        return PartHeader(fields, entities, defects, rest)

    def _end_at_bare_cr(self, head: bytes) -> tuple[int, int] | None:
        """Return where a header ends, and where content begins, in a part whose lines end with bare CR."""
        for found in _NOTABLE_CR.finditer(head):
            line = found.end()
            if found["blank"] is None:
                text = head[line : line + LONGEST_LINE]
                if self._multiparts.delimiter(text[: first_line_end(text)], exact=True) is not None:
                    return line, line
            elif not GOES_ON.match(head, line):
                return line - 1, line
        return None

    def _skip_lines(self, head: bytes, fields: Fields, entity: Entity, *, root: bool, separated: bool) -> bytes:
        """Account for lines that belong to no field; return those at the end that are content."""
        gaps = find_gaps(head, self._limits.header_fields)
        skipped, tail = gaps.skipped, head[gaps.tail :]
        lines = tail.strip(BLANKS)
        # A single odd line at the end of a message's header is not taken for its text.
        odd = separated and root and len(fields) > 0 and b"\n" not in lines and b"\r" not in lines
        if lines and (odd or not entity.may_hold(lines)):
            skipped, tail = [*skipped, tail], b""
        if not lines:
            tail = b""
        size = sum(len(lines.translate(None, BLANKS)) for lines in skipped)
        if size:
            self._tally.defects.add(Defect.HEADER_LINES)
            self._tally.skip(Defect.HEADER_LINES, size, content=any(map(looks_like_content, skipped)))
        if gaps.capped:
            self._tally.skip(Defect.HEADER_CAPPED, gaps.capped, content=True)
        skipped_bytes = gaps.capped + sum(map(len, skipped))
        self._account.skipped_lines += skipped_bytes
        self._account.fields -= skipped_bytes
        return tail
