"""A name that the configuration does not have."""

from __future__ import annotations

import pytest

from ingest.errors import ConfigError, require_configured

MAILBOXES = {"invoices": 1, "orders": 2}


def test_names_that_are_configured_pass() -> None:
    require_configured("mailbox", ["orders", "invoices"], MAILBOXES)
    require_configured("mailbox", [], MAILBOXES)


def test_every_other_name_is_told_of_with_what_may_have_been_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        require_configured("mailbox", ["invoice", "orders", "zzz"], MAILBOXES)
    assert caught.value.problems == [
        "there is no mailbox invoice in the configuration; did you mean invoices?",
        "there is no mailbox zzz in the configuration",
    ]


def test_of_very_many_names_only_the_first_are_compared() -> None:
    """Hundreds of thousands would take seconds."""
    many = dict.fromkeys([*(f"{number:06}" for number in range(1_000)), "invoices"])
    with pytest.raises(ConfigError) as caught:
        require_configured("mailbox", ["invoice"], many)
    assert caught.value.problems == ["there is no mailbox invoice in the configuration"]
