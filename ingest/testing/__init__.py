"""In-memory twins of the ports, for tests and for trying things out without servers.

A twin keeps the rules of its port: each passes the contract suite that the real adapters pass (`tests/contract`). It
lives in one process, forgets everything when that ends, and may be shared by threads. Time is passed in as a `clock`
that returns seconds since 1970, so a test decides when leases expire.

| port | twin | beyond the port |
|---|---|---|
| `Ledger` | `MemoryLedger` | `lose()` forgets everything, `evict()` one key; `snapshot()` to go back to |
| `WorkSet` | `MemoryWorkSet` | |
| `EventLog` | `MemoryEventLog` | |
| `Store` | `MemoryStore` | `objects` by key; `fault` makes operations fail |
| `Sink` | `MemorySink` | `delivered` events; `verdict` decides about each; `unavailable` fails all |
| `MaildropFactory` | `MemoryConnector` | sessions over a `MemoryMaildrop`, which decides what a server does |
| `Scanner` | `MemoryScanner` | `signatures` to find; `unavailable` |
| `Wakeups` | `MemoryWakeups` | `sent` and `queued`, by queue |

    clock = lambda: 1_800_000_000.0
    events = MemoryEventLog(clock)
    ledger = MemoryLedger(clock, events)
    ledger.mailboxes.add(["invoices"])
    (claim,) = ledger.mailboxes.claim(1, lease=60)

`MemoryStore` is an adapter as well: `mailhaul parse` works with it. `FaultyStore` is one that acknowledges
what it does not store, loses and alters objects, or answers with a page.
"""

from __future__ import annotations

from ingest.adapters.stores.memory import MemoryStore, StoredObject
from ingest.testing.eventlog import MemoryEventLog
from ingest.testing.ledger import MemoryLedger
from ingest.testing.maildrop import MemoryConnector, MemoryMaildrop, MemorySession
from ingest.testing.scanner import MemoryScanner
from ingest.testing.sink import MemorySink
from ingest.testing.store import FaultyStore
from ingest.testing.wakeups import MemoryWakeups
from ingest.testing.workset import MemoryWorkSet

__all__ = [
    "FaultyStore",
    "MemoryConnector",
    "MemoryEventLog",
    "MemoryLedger",
    "MemoryMaildrop",
    "MemoryScanner",
    "MemorySession",
    "MemorySink",
    "MemoryStore",
    "MemoryWakeups",
    "MemoryWorkSet",
    "StoredObject",
]
