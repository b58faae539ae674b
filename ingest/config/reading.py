"""How messages are read, and who looks for viruses in them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ingest.config.fields import split_url
from ingest.config.section import Section
from ingest.config.units import Deadline, Size  # noqa: TC001 - pydantic resolves it at run time

# A message has 300 seconds to be processed in, and a file that is asked about last may take all of this.
_LONGEST_SCAN = 120.0


class ParseSection(Section):
    """How messages are read."""

    parts: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Of a message with more parts, the rest is in the raw message only."""
    depth: Annotated[int, Field(ge=1, le=1000)] = 50
    """What is nested deeper stays inside its container."""
    dkim: bool = False
    """Verify DKIM signatures; looks keys up in the DNS. Needs the extra: pip install 'mailhaul[dkim]'."""
    dkim_bytes: Size = 32 * 2**20
    """Of larger messages no signature is verified."""


def _scanner_url(value: str) -> str:
    parts = split_url(value)
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return value
    if parts.scheme == "tcp" and parts.hostname and parts.port and parts.username is None and not parts.path:
        return value
    raise ValueError("write unix:///run/clamav/clamd.ctl or tcp://host:3310")


def _short(seconds: float) -> float:
    if seconds > _LONGEST_SCAN:
        raise ValueError("must be 2m or shorter")
    return seconds


class ScanSection(Section):
    """A clamd that every attachment is shown to."""

    url: Annotated[str, AfterValidator(_scanner_url)]
    """`unix:///run/clamav/clamd.ctl` or `tcp://host:3310`."""
    policy: Literal["report", "quarantine"] = "report"
    """What becomes of an infected attachment: told of in manifest and event, or also stored in another folder."""
    max_bytes: Size = 25 * 2**20
    """Larger attachments are not scanned. Not above clamd's own StreamMaxLength and MaxFileSize."""
    timeout: Annotated[Deadline, AfterValidator(_short)] = 30.0
    """For one attachment as a whole; one that takes longer is `unscanned`. At most 2m."""


def scan_section(value: object) -> object:
    """The section for what was written: an address stands for itself."""
    return {"url": value} if isinstance(value, str) else value
