"""Fixtures that several contract tests share."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from tests.support.valkey import Valkey


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Redis]:
    """A client of the emptied Valkey."""
    valkey.flush()
    with closing(valkey.client()) as made:
        yield made
