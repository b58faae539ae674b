"""The public twins: each is exported, documented, and an implementation of its port."""

from __future__ import annotations

import re
import textwrap
from typing import Protocol

import pytest

import ingest.testing
from ingest.ports import eventlog, ledger, maildrop, scanner, sink, store, wakeups
from ingest.ports.claims import WorkSet

PORTS: dict[str, type] = {
    "EventLog": eventlog.EventLog,
    "Ledger": ledger.Ledger,
    "MaildropFactory": maildrop.MaildropFactory,
    "Scanner": scanner.Scanner,
    "Sink": sink.Sink,
    "Store": store.Store,
    "Wakeups": wakeups.Wakeups,
    "WorkSet": WorkSet,
}
PAGE = ingest.testing.__doc__ or ""
ROWS = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE, re.MULTILINE)


def test_every_port_in_the_table_has_its_twin() -> None:
    assert dict(ROWS).keys() == PORTS.keys()
    assert set(dict(ROWS).values()) <= set(ingest.testing.__all__)


@pytest.mark.parametrize(("port", "twin"), ROWS)
def test_twin_implements_its_port(port: str, twin: str) -> None:
    implemented = getattr(ingest.testing, twin)
    assert PORTS[port] in implemented.__mro__
    methods = {
        name
        for base in PORTS[port].__mro__
        if Protocol in base.__mro__[1:]
        for name, value in vars(base).items()
        if callable(value) and (name == "__call__" or not name.startswith("_"))
    }
    assert methods
    assert not [name for name in methods if not _overrides(implemented, name)]


def _overrides(implemented: type, name: str) -> bool:
    """Whether a class that is no port defines it."""
    (first, *_) = (base for base in implemented.__mro__ if name in vars(base))
    return not getattr(first, "_is_protocol", False)


def test_example_in_the_documentation_works() -> None:
    example = textwrap.dedent("".join(re.findall(r"^    .*\n", PAGE, re.MULTILINE)))
    scope = dict(vars(ingest.testing))
    exec(example, scope)  # noqa: S102 - the project's own page
    assert scope["claim"].id == "invoices"
