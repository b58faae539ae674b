"""Fixtures of the tests that run whole commands or the whole service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Valkey]:
    """A server that keeps nothing on disk, for this test alone."""
    with Valkey(tmp_path) as server:
        yield server
