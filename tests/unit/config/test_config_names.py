"""A name that the configuration does not have."""

from __future__ import annotations

import pytest

from ingest.config.names import require_configured
from ingest.errors import ConfigError

MAILBOXES = {"invoices": 1, "orders": 2}


def test_configured_names_are_accepted() -> None:
    for names in (["orders", "invoices"], []):
        require_configured("mailbox", names, MAILBOXES)
    with pytest.raises(ConfigError):
        require_configured("mailbox", ["orders", "unknown"], MAILBOXES)


def test_unknown_names_are_reported_with_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        require_configured("mailbox", ["invoice", "orders", "zzz"], MAILBOXES)
    assert caught.value.problems == [
        "there is no mailbox invoice in the configuration; did you mean invoices?",
        "there is no mailbox zzz in the configuration",
    ]


def test_suggestions_compare_a_limited_number_of_names() -> None:
    """Hundreds of thousands would take seconds."""
    many = dict.fromkeys([*(f"{number:06}" for number in range(1_000)), "invoices"])
    with pytest.raises(ConfigError) as caught:
        require_configured("mailbox", ["invoice"], many)
    assert caught.value.problems == ["there is no mailbox invoice in the configuration"]
