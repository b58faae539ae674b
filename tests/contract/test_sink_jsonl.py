"""The JSON Lines sink after crashes, rotation, and with others at the same file."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.sinks import jsonl
from ingest.adapters.sinks.jsonl import JsonLinesSink
from ingest.errors import SinkUnavailableError
from tests.support.http import event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def sink(path: Path) -> Iterator[JsonLinesSink]:
    made = JsonLinesSink("file", path, patience=0.2)
    yield made
    made.close()


def ids(path: Path) -> list[str]:
    """Of every line; fails where one cannot be read."""
    content = path.read_bytes()
    assert content.endswith(b"\n")
    return [json.loads(line)["id"] for line in content[:-1].split(b"\n")]


@pytest.mark.parametrize("before", [b"", event("whole").body + b"\n", b'{"id": "' + b"x" * 200_000 + b'"}\n'])
@pytest.mark.parametrize("torn", [b'{"id": "to', b"\0" * 5000, b'{"id": "' + b"y" * 100_000, "ü".encode()[:1], b"7"])
def test_torn_last_line_is_cut_off(sink: JsonLinesSink, path: Path, before: bytes, torn: bytes) -> None:
    path.write_bytes(before + torn)
    sink.deliver([event("next")])
    assert path.read_bytes() == before + event("next").body + b"\n"


def test_last_line_that_lacks_only_its_newline_is_kept(sink: JsonLinesSink, path: Path) -> None:
    path.write_bytes(event("one").body + b"\n" + event("two").body)
    sink.deliver([event("three")])
    assert ids(path) == ["one", "two", "three"]


def test_line_torn_by_another_process_while_the_file_is_open_is_cut_off_too(sink: JsonLinesSink, path: Path) -> None:
    sink.deliver([event("one")])
    with path.open("ab") as other:
        other.write(b'{"id": "tw')
    sink.deliver([event("three")])
    assert ids(path) == ["one", "three"]


def test_after_rotation_events_go_to_the_new_file(sink: JsonLinesSink, path: Path) -> None:
    sink.deliver([event("one")])
    path.rename(path.with_suffix(".1"))
    sink.deliver([event("two")])
    path.rename(path.with_suffix(".2"))
    path.touch()
    sink.deliver([event("three")])
    assert ids(path.with_suffix(".1")) == ["one"]
    assert ids(path.with_suffix(".2")) == ["two"]
    assert ids(path) == ["three"]


def test_after_truncation_events_begin_at_the_beginning(sink: JsonLinesSink, path: Path) -> None:
    sink.deliver([event("one")])
    os.truncate(path, 0)
    sink.deliver([event("two")])
    assert ids(path) == ["two"]


def test_nothing_is_confirmed_before_the_name_of_a_new_file_is_durable(
    sink: JsonLinesSink, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronised: list[Path] = []

    def refuse(_: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(jsonl, "_synchronise_folder", refuse)
    for _ in range(2):
        with pytest.raises(SinkUnavailableError):
            sink.deliver([event("one")])
    monkeypatch.setattr(jsonl, "_synchronise_folder", synchronised.append)
    sink.deliver([event("one")])
    sink.deliver([event("two")])
    assert synchronised == [path.parent]
    assert ids(path) == ["one", "two"]


def test_only_its_owner_may_read_a_new_file(sink: JsonLinesSink, path: Path) -> None:
    sink.deliver([event("one")])
    assert path.stat().st_mode & 0o777 == 0o600


def test_several_writers_never_mix_their_lines(path: Path) -> None:
    sinks = [JsonLinesSink("file", path) for _ in range(4)]

    def write(number: int) -> None:
        for batch in range(10):
            sinks[number].deliver([event(f"{number}-{batch}-{n}") for n in range(5)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sink in sinks:
        sink.close()
    assert len(ids(path)) == len(set(ids(path))) == 200


def test_lock_that_is_never_released_is_reported(sink: JsonLinesSink, path: Path) -> None:
    with path.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SinkUnavailableError, match="another process"):
            sink.deliver([event("one")])
    sink.deliver([event("one")])
    assert ids(path) == ["one"]


def test_batch_that_does_not_fit_leaves_nothing_behind(path: Path) -> None:
    """The limit on file size stands for a full disk: the same short write, then an error."""
    program = f"""
import resource, signal
from pathlib import Path
from ingest.adapters.sinks.jsonl import JsonLinesSink
from ingest.errors import SinkUnavailableError
from tests.support.http import event
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = JsonLinesSink("file", Path({str(path)!r}))
sink.deliver([event("one")])
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    sink.deliver([event(str(n)) for n in range(100)])
except SinkUnavailableError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
    assert ids(path) == ["one"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("folder", "not_a_file"), ("pipe", "not_a_file"), ("no folder", "not_found"), ("file as folder", "not_found")],
)
def test_path_that_cannot_be_a_file_is_reported(tmp_path: Path, kind: str, reason: str) -> None:
    place = tmp_path / "place"
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "file as folder":
        place.touch()
    sink = JsonLinesSink("file", place / "events" if kind in {"no folder", "file as folder"} else place)
    for attempt in (sink.check, lambda: sink.deliver([event("one")])):
        with pytest.raises(SinkUnavailableError, match=r"choose (another|the) path") as raised:
            attempt()
        assert raised.value.reason == reason
    sink.close()


def test_check_leaves_no_file_behind(sink: JsonLinesSink, path: Path) -> None:
    sink.check()
    assert not path.exists()
