"""No message is lost, no event is missed, nothing is left of a purged message, whatever goes wrong.

`MAILHAUL_MODEL_EXAMPLES` sets how many random examples are tried instead of the reproducible ones.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Machine

EXAMPLES = int(os.environ.get("MAILHAUL_MODEL_EXAMPLES", "0"))
STEPS_PER_EXAMPLE = 50

SETTINGS = settings(
    max_examples=EXAMPLES or 250,
    stateful_step_count=STEPS_PER_EXAMPLE,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
def test_all_promises_hold_in_every_order_of_faults() -> None:
    Machine.steps = 0
    run_state_machine_as_test(Machine, settings=SETTINGS)
    assert EXAMPLES or Machine.steps >= 10_000
