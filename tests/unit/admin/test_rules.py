"""Conditions are tried on what is stored, without publishing anything."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ingest.adapters.sinks.filtered import FilteredSink
from ingest.adapters.stores.memory import MemoryStore
from ingest.admin.rules import Condition, try_rules
from ingest.expressions import Expression
from ingest.testing.sink import MemorySink
from ingest.usecases.process.rules import Rule
from tests.support.habits import HABITS
from tests.support.processing import process

if TYPE_CHECKING:
    from ingest.ports.store import Stored

RULES = {
    "invoices": Expression("documents.exists(d, d.kind == 'invoice')"),
    "undecided": Expression("envelope.return_path == 'x'"),
}


def stored(*names: str) -> tuple[MemoryStore, list[Stored]]:
    store = MemoryStore("")
    for number, name in enumerate(names):
        raw = next((habit.raw for habit in HABITS if habit.name == name), b"")
        manifest = process(raw).manifest.model_copy(update={"message_key": f"{number:032x}"})
        content = manifest.to_json() if raw else b'{"schema": "mailhaul.purged/1"}'
        put(store, f"{number:04}/message.json", content)
    return store, sorted(store.stored(""), key=lambda each: each.key)


def put(store: MemoryStore, key: str, content: bytes) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    store.put(key, io.BytesIO(content), size=len(content), sha256=sha256, content_type="application/json")


def test_messages_are_counted_by_what_each_condition_says() -> None:
    store, manifests = stored("plain-pdf", "xml-invoice", "purged", "hybrid-pdf", "zip")
    seen: list[int] = []
    with ThreadPoolExecutor(2) as workers:
        results = try_rules(store, manifests, [], RULES, workers, listen=seen.append)
    invoices, undecided = results["invoices"], results["undecided"]
    assert (invoices.matched, invoices.others, invoices.failed) == (2, 2, 0)
    assert invoices.examples == [f"{3:032x}", f"{1:032x}"], "the newest first"
    assert set(invoices.subjects.values()) == {"Invoice"}
    assert (undecided.matched, undecided.others, undecided.failed) == (0, 0, 4)
    assert list(undecided.failures.values()) == [4], "with the reason"
    assert invoices.failures == {}
    assert seen == [1, 2, 3, 4, 5]


def test_manifest_that_is_gone_does_not_count() -> None:
    store, manifests = stored("xml-invoice", "xml-invoice")
    store.delete(manifests[0].key)
    with ThreadPoolExecutor(2) as workers:
        assert try_rules(store, manifests, [], RULES, workers)["invoices"].matched == 1


def test_many_manifests_are_read_in_batches() -> None:
    store, manifests = stored(*["xml-invoice"] * 3)
    with ThreadPoolExecutor(2) as workers:
        results = try_rules(store, manifests * 30, [], RULES, workers)
    assert results["invoices"].matched == 90
    assert len(results["invoices"].examples) == 5


def test_conditions_see_what_the_rules_would_do_now() -> None:
    store, manifests = stored("plain-pdf", "xml-invoice", "hybrid-pdf", "zip")
    rules = [
        Rule("invoices", RULES["invoices"], labels=("invoice",)),
        Rule("hold", Expression("'invoice' in labels && attachments.size() > 1"), quarantine=True),
        Rule("undecided", RULES["undecided"], labels=("odd",)),
    ]
    conditions: dict[str, Condition] = {
        "sink:labelled": Expression("'invoice' in labels"),
        "sink:others": FilteredSink(MemorySink("others"), None, "skip"),
        "sink:held": FilteredSink(MemorySink("held"), None, "only"),
    }
    with ThreadPoolExecutor(2) as workers:
        results = try_rules(store, manifests, rules, conditions, workers)
    counts = {name: (each.matched, each.others, each.failed) for name, each in results.items()}
    assert counts == {
        "rule:invoices": (2, 2, 0),
        "rule:hold": (1, 3, 0),
        "rule:undecided": (0, 0, 4),
        "sink:labelled": (2, 2, 0),
        "sink:others": (3, 1, 0),
        "sink:held": (1, 3, 0),
    }
    assert {name: each.held for name, each in results.items() if each.held} == {"sink:others": 1}
    assert sum(results["rule:undecided"].failures.values()) == 4
