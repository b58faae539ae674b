"""A running service follows its files, and keeps what worked when they break."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from ingest.config import ConfigSource
from ingest.errors import ConfigError
from tests.support.clock import Clock

if TYPE_CHECKING:
    from pathlib import Path

BASE = "store: file:///s\nledger: embedded\n"


def boxes(*names: str) -> str:
    auth = "auth: {type: password, username: u, password: env:P}"
    return "mailboxes:\n" + "".join(f"  - {{id: {name}, host: {name}, {auth}}}\n" for name in names)


def test_a_change_is_seen_within_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "c.yaml", Clock()
    path.write_text(BASE + boxes("a"))
    source = ConfigSource(path, {}, clock)
    first = source.current()
    path.write_text(BASE + boxes("a", "b"))
    clock.time += 0.9
    assert source.current() is first
    clock.time += 0.1
    assert list(source.current().mailboxes_by_id()) == ["a", "b"]


def test_without_a_change_it_is_the_same_object(tmp_path: Path) -> None:
    path, clock = tmp_path / "c.yaml", Clock()
    path.write_text(BASE + boxes("a"))
    source = ConfigSource(path, {}, clock)
    first = source.current()
    clock.time += 60
    assert source.current() is first


def test_files_come_and_go_in_a_folder(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "a.yaml").write_text(BASE + boxes("a"))
    source = ConfigSource(tmp_path, {}, clock)
    assert source.folder == tmp_path
    (tmp_path / "b.yaml").write_text(boxes("b"))
    clock.time += 1
    assert list(source.current().mailboxes_by_id()) == ["a", "b"]
    (tmp_path / "b.yaml").unlink()
    clock.time += 1
    assert list(source.current().mailboxes_by_id()) == ["a"]


def test_configuration_from_variables_alone_is_never_reloaded() -> None:
    clock, environ = Clock(), {"MAILHAUL_STORE": "file:///s", "MAILHAUL_LEDGER": "embedded"}
    source = ConfigSource(None, environ, clock)
    first = source.current()
    environ["MAILHAUL_STORE"] = "file:///other"
    clock.time += 60
    assert source.current() is first


@pytest.mark.parametrize("trouble", ["broken", "gone"])
def test_a_broken_file_changes_nothing_is_reported_once_and_may_be_fixed(tmp_path: Path, trouble: str) -> None:
    path, clock = tmp_path / "c.yaml", Clock()
    path.write_text(BASE + boxes("a"))
    source = ConfigSource(path, {}, clock)
    first = source.current()
    if trouble == "broken":
        path.write_text(BASE + boxes("a", "B"))
    else:
        path.unlink()
    with capture_logs() as logged:
        for _ in range(5):
            clock.time += 1
            assert source.current() is first
    assert logged == [{"event": "config.invalid", "problems": 1, "log_level": "warning"}]
    assert len(source.problems) == 1
    path.write_text(BASE + boxes("a", "b", "c"))
    clock.time += 1
    assert len(source.current().mailboxes) == 3
    assert source.problems == []


@pytest.mark.parametrize("option", ["tls_minimum: 1.0", "ciphers: DEFAULT"])
def test_weak_tls_is_logged_when_a_configuration_is_loaded(tmp_path: Path, option: str) -> None:
    path, clock = tmp_path / "c.yaml", Clock()
    path.write_text(BASE + boxes("a", "b"))
    source = ConfigSource(path, {}, clock)
    with capture_logs() as logged:
        source.warn()
        path.write_text(BASE + boxes("a", "b").replace("host: b", f"host: b, {option}"))
        clock.time += 1
        source.current()
    weak = [line for line in logged if line["event"] == "config.weak_tls"]
    assert weak == [{"event": "config.weak_tls", "mailbox": "b", "mailboxes": 1, "log_level": "warning"}]


def test_there_must_be_a_good_one_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        ConfigSource(tmp_path / "none.yaml", {})
