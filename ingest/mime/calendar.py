"""Method and UID of an iCalendar file (RFC 5545), without reading the rest of it."""

from __future__ import annotations

import re
from typing import NamedTuple

CALENDAR_BYTES = 65_536
_LONGEST = 998
_FOLD = re.compile(rb"\r?\n[ \t]")
_METHOD = re.compile(rb"(?im)^METHOD(?:;[^:\r\n]{0,200})?:[ \t]*([\w-]{1,64})")
_UID = re.compile(rb"(?im)^UID(?:;[^:\r\n]{0,200})?:[ \t]*([^\r\n]{1,998})")


class Calendar(NamedTuple):
    """What a calendar file wants, and which event it is about.

    Attributes:
        method: lower case: `request`, `reply`, `cancel` and others of RFC 5546.
        uid: of the first event or task.
    """

    method: str | None
    uid: str | None


def read_calendar(head: bytes) -> Calendar:
    """Return what the beginning of a calendar file says. Never raises; what is missing is None.

    Args:
        head: `CALENDAR_BYTES` at most.
    """
    lines = _FOLD.sub(b"", head)
    method, uid = _METHOD.search(lines), _UID.search(lines)
    return Calendar(
        None if method is None else method[1].decode("ascii", "replace").lower(),
        None if uid is None else uid[1].decode("utf-8", "replace").strip()[:_LONGEST] or None,
    )
