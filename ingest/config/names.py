"""Names that a person writes at the command line, compared with those of the configuration."""

from __future__ import annotations

import difflib
from itertools import islice
from typing import TYPE_CHECKING

from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# Configured names that a misspelt one is compared with; each comparison takes about 10 µs.
_COMPARED = 1_000


def require_configured(kind: str, names: Iterable[str], configured: Collection[str]) -> None:
    """Check that every name is configured.

    Args:
        kind: what the names are of, such as `mailbox`.
        names: as a person wrote them.
        configured: all configured names.

    Raises:
        ConfigError: some are not; the text names each, and suggests a similar name.
    """
    problems = []
    for name in names:
        if name not in configured:
            close = difflib.get_close_matches(name, islice(configured, _COMPARED), 1)
            meant = f"; did you mean {close[0]}?" if close else ""
            problems.append(f"there is no {kind} {name} in the configuration{meant}")
    if problems:
        raise ConfigError(problems)
