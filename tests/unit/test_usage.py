"""A process exports its own usage and that of its children, which do the work of a prefork pool."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.metric_specs import PROCESS_SPECS
from workers.usage import UsageCollector, usage_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="there is no /proc here")

# A child of a child holds 64 MiB and has burnt some time; both say when, and wait.
_TREE = """
import sys
held = bytes(1) * (64 << 20)
sum(range(20_000_000))
print("ready", flush=True)
sys.stdin.read()
"""


def test_children_of_children_count() -> None:
    starter = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_TREE!r}])"
    before = usage_of(os.getpid())
    with subprocess.Popen([sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert parent.stdout.readline() == b"ready\n"
        during = usage_of(os.getpid())
        assert during.memory_bytes - before.memory_bytes > 64 << 20
        assert during.cpu_seconds > before.cpu_seconds
        parent.stdin.close()
        parent.wait()
    # What has ended is no longer held, and its time is not forgotten: a counter does not fall.
    assert usage_of(os.getpid()).memory_bytes < during.memory_bytes
    assert usage_of(os.getpid()).cpu_seconds >= during.cpu_seconds


def test_every_declared_process_metric_is_exported_with_the_role() -> None:
    samples = [sample for family in UsageCollector("poll").collect() for sample in family.samples]
    assert {sample.name for sample in samples} == {spec.full_name for spec in PROCESS_SPECS}
    assert all(sample.labels == {"role": "poll"} and sample.value > 0 for sample in samples)


def test_ended_process_has_no_usage() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    with pytest.raises(FileNotFoundError):
        usage_of(child.pid)
