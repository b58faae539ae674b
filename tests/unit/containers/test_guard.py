"""A guarded process always ends, reports the right outcome and leaves nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO

import pytest

from ingest.containers.guard import Confinement, Guarded, Outcome
from ingest.errors import GuardError
from tests.support.misbehaving import MODULE
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.queues import SimpleQueue

LIMITS = Confinement(cpu_seconds=20, memory_bytes=2**29, seconds=60, output_bytes=2**20)
SHORT = Confinement(cpu_seconds=20, memory_bytes=2**29, seconds=2, output_bytes=2**20)
BUSY = Confinement(cpu_seconds=1, memory_bytes=2**29, seconds=60, output_bytes=2**20)


@pytest.fixture
def file() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as made:
        made.write(b"0123456789")
        made.seek(4)
        yield made


def is_gone(pid: int) -> bool:
    """Return whether a process exists; a zombie does, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def run(file: BinaryIO, deed: str, limits: Confinement = LIMITS) -> tuple[Outcome, list[bytes], Guarded]:
    with Guarded(MODULE, file.fileno(), limits, (deed,)) as child:
        answers = [payload for _, payload in child]
    assert is_gone(child.pid)
    return child.outcome, answers, child


def test_reading_does_not_move_the_file_position(file: BinaryIO) -> None:
    outcome, answers, _ = run(file, "read")
    assert (outcome, answers) == (Outcome.DONE, [b"789", b"12"])
    assert file.read() == b"456789"


@pytest.mark.parametrize(
    ("deed", "limits", "outcome", "answers"),
    [
        ("be killed", LIMITS, Outcome.STOPPED, []),
        ("crash", LIMITS, Outcome.BROKEN, [b"once"]),
        ("recurse", LIMITS, Outcome.BROKEN, []),
        ("close output", SHORT, Outcome.STOPPED, []),
        ("write nonsense", LIMITS, Outcome.BROKEN, []),
    ],
)
def test_output_before_a_failure_is_kept(
    file: BinaryIO, deed: str, limits: Confinement, outcome: Outcome, answers: list[bytes]
) -> None:
    assert run(file, deed, limits)[:2] == (outcome, answers)


def test_process_that_falls_silent_is_stopped(file: BinaryIO) -> None:
    with Guarded(MODULE, file.fileno(), LIMITS, ("sleep",)) as child:
        frames = iter(child)
        assert next(frames)[1] == b"once"
        child.waited = LIMITS.seconds - 0.1
        assert list(frames) == []
    assert child.outcome is Outcome.STOPPED
    assert is_gone(child.pid)


def test_cpu_time_is_limited(file: BinaryIO) -> None:
    outcome, answers, child = run(file, "loop", BUSY)
    assert (outcome, answers) == (Outcome.STOPPED, [b"once"])
    assert child.waited < BUSY.seconds, "only the clock stopped it"


def test_memory_is_limited(file: BinaryIO) -> None:
    """The process allocates 16 MiB at a time; 512 MiB hold fewer than 32 of those."""
    outcome, answers, _ = run(file, "eat memory")
    assert outcome is Outcome.STOPPED
    assert 0 < len(answers) < 32


def test_output_is_limited(file: BinaryIO) -> None:
    outcome, answers, _ = run(file, "write endlessly")
    assert outcome is Outcome.STOPPED
    assert sum(map(len, answers)) <= LIMITS.output_bytes


def test_daemonic_process_can_start_a_guarded_one(tmp_path: Path) -> None:
    """Celery's prefork processes are daemonic: `multiprocessing` refuses them children."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    answers = multiprocessing.get_context("spawn").SimpleQueue()
    worker = multiprocessing.get_context("spawn").Process(target=_guard_one, args=(str(path), answers), daemon=True)
    worker.start()
    worker.join(PATIENCE)
    assert worker.exitcode == 0
    assert answers.get() == (Outcome.DONE, [b"789", b"12"])
    answers.close()
    worker.close()


def _guard_one(path: str, answers: SimpleQueue[tuple[Outcome, list[bytes]]]) -> None:
    with Path(path).open("rb") as file:
        answers.put(run(file, "read")[:2])


def test_child_processes_are_killed_too(file: BinaryIO) -> None:
    outcome, answers, _ = run(file, "spawn")
    assert outcome is Outcome.DONE
    if os.getuid() == 0:  # whom the limit on processes does not hold
        pid = int(answers[0])
        eventually(lambda: is_gone(pid))
    else:
        assert answers == [b"BlockingIOError"]


def test_writing_files_is_refused(file: BinaryIO) -> None:
    assert run(file, "write file")[:2] == (Outcome.DONE, [b"File too large"])


def test_environment_and_descriptors_are_not_inherited(file: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILHAUL_SECRET", "tiger")
    os.set_inheritable(file.fileno(), True)
    variables, descriptors, folder = run(file, "tell surroundings")[1]
    assert not [name for name in variables.decode().split(",") if name not in ("LC_CTYPE", "LD_LIBRARY_PATH")]
    assert descriptors == b"0,1,2,3"  # the last is that of the listing
    assert folder == b"/"


def test_leaving_early_kills_the_process(file: BinaryIO) -> None:
    with Guarded(MODULE, file.fileno(), LIMITS, ("loop",)) as child:
        next(iter(child))
        assert not is_gone(child.pid)
    assert is_gone(child.pid)


def test_time_spent_by_the_caller_does_not_count(file: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    with Guarded(MODULE, file.fileno(), LIMITS, ("read",)) as child:
        frames = iter(child)
        next(frames)
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 1000, sleep=time.sleep)
        monkeypatch.setattr("ingest.containers.guard.time", later)
        assert [payload for _, payload in frames] == [b"12"]
    assert child.outcome is Outcome.DONE


def test_process_that_fails_to_start_work_raises_guard_error(file: BinaryIO) -> None:
    with (
        pytest.raises(GuardError, match="ended with 1 before it began"),
        Guarded("tests.support.absent", file.fileno(), LIMITS) as child,
    ):
        list(child)


def test_process_that_cannot_be_started_raises_guard_error(file: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(GuardError, match="cannot be started"):
        Guarded(MODULE, file.fileno(), LIMITS)
