"""A configuration of a hundred thousand mailboxes is read in seconds, in little more memory than its values take."""

from __future__ import annotations

import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ingest.config import ConfigSource, document
from ingest.config.load import load
from ingest.config.loaders import FastLoader, Loader
from ingest.metrics import Metrics
from ingest.testing.wakeups import MemoryWakeups
from ingest.wiring.build import build
from tests.support.clock import Clock
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.config.model import Config

BASE = "store: file:///s\nledger: redis://127.0.0.1:1/0\nmailboxes:\n"
BOXES = 2_000
# Bytes. A tree of nodes takes more than 6,000 for each mailbox, and the positions of its values 2,500.
MOST_FOR_A_MAILBOX = 3_000


def box(name: str) -> str:
    auth = f"{{type: password, username: {name}, password: env:P}}"
    return f"  - id: {name}\n    host: pop.example.org\n    auth: {auth}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "mailhaul.yaml"
    path.write_text(text)
    return path


def test_reading_takes_little_more_memory_than_the_values(tmp_path: Path) -> None:
    path = written(tmp_path, BASE + "".join(box(f"m{number}") for number in range(BOXES)))
    document.read(path)  # what is imported and cached once does not count
    tracemalloc.start()
    try:
        found = document.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.values["mailboxes"]) == BOXES
    assert peak - 2 * path.stat().st_size < BOXES * MOST_FOR_A_MAILBOX


def test_a_large_file_may_have_more_values_than_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_MOST_VALUES", 20)
    text = BASE + "".join(box(f"m{number}") for number in range(20))
    assert document.read(written(tmp_path, text)).problems == []
    laughing = "a: &a [x, x, x, x, x]\nb: [*a, *a, *a, *a, *a]\n"
    (problem,) = document.read(written(tmp_path, laughing)).problems
    assert "use fewer aliases" in problem


@pytest.mark.parametrize("text", ["mailboxes: &all [*all]\n", "mailboxes: &all [{id: *all}]\n"])
def test_a_list_that_contains_itself_is_reported(tmp_path: Path, text: str) -> None:
    (problem,) = document.read(written(tmp_path, text)).problems
    assert "contains itself through an alias" in problem


def test_items_that_merge_the_same_mapping_each_get_its_values(tmp_path: Path) -> None:
    text = "mailboxes:\n- &first {id: a, host: h}\n- {<<: *first, id: b}\n- *first\n- {<<: *first, id: c}\n"
    boxes = document.read(written(tmp_path, text)).values["mailboxes"]
    assert boxes == [{"id": name, "host": "h"} for name in ("a", "b", "a", "c")]


@given(
    values=st.dictionaries(
        st.sampled_from(["mailboxes", "sinks", "store"]),
        st.recursive(
            st.one_of(st.integers(), st.booleans(), st.text(max_size=8), st.none()),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
            max_leaves=6,
        ),
    ),
    flow=st.booleans(),
)
def test_both_parsers_read_the_same(values: dict[str, Any], *, flow: bool) -> None:
    text = yaml.safe_dump(values, default_flow_style=flow, allow_unicode=True).encode()
    fast, slow = FastLoader(text).get_single_node(), Loader(text).get_single_node()
    assert yaml.serialize(fast) == yaml.serialize(slow)


def test_nobody_waits_for_the_thread_that_reloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = written(tmp_path, BASE + box("a")), Clock()
    configured = ConfigSource(path, {}, clock)
    first = configured.current()
    begun, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Config:
        begun.set()
        assert go_on.wait(PATIENCE)
        return load(*arguments)

    monkeypatch.setattr("ingest.config.source.load", slow)
    written(tmp_path, BASE + box("a") + box("b"))
    clock.time += 1
    reloading = threading.Thread(target=configured.current)
    reloading.start()
    assert begun.wait(PATIENCE)
    assert configured.current() is first
    go_on.set()
    reloading.join(PATIENCE)
    assert list(configured.current().mailboxes_by_id()) == ["a", "b"]


def test_the_schedule_is_the_same_object_until_the_configuration_changes(tmp_path: Path) -> None:
    path, clock = written(tmp_path, BASE + box("a")), Clock()
    runtime = build(ConfigSource(path, {}, clock), "redis://127.0.0.1:1/0", Metrics(), MemoryWakeups())
    try:
        first = runtime.schedule()
        assert runtime.schedule() is first
        written(tmp_path, BASE + box("a") + box("b"))
        clock.time += 1
        assert list(runtime.schedule().mailboxes) == ["a", "b"]
        assert runtime.schedule().digest != first.digest
    finally:
        runtime.close()
