"""The exporter's gauges about mailboxes: a scrape costs no more, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from ingest.config import ConfigSource
from ingest.domain.mailbox import Server
from ingest.ports.status import MailboxStatus
from tests.support.bench import Bench, bench, mailbox
from workers.exporter import CERTIFICATES_EVERY, SystemCollector

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

WITHOUT_LABEL = "false"
CERTIFICATE = "mailhaul_tls_certificate_not_after_timestamp_seconds"


class Scraped:
    """An exporter for three mailboxes on two servers, of which one has series."""

    def __init__(self, made: Bench, label: str = "true", **options: str) -> None:
        environ = {
            **options,
            "MAILHAUL_STORE": "file:///s",
            "MAILHAUL_LEDGER": "embedded",
            "MAILHAUL_METRICS__MAILBOX_LABEL": label,
        }
        self.registry = CollectorRegistry()
        self.registry.register(SystemCollector(made.runtime, ConfigSource(None, environ)))

    def tasks(self) -> dict[tuple[str, str], float]:
        """The times of tasks, by record and task."""
        return {
            (sample.name.removeprefix("mailhaul_task_"), sample.labels["task"]): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name.startswith("mailhaul_task_")
        }

    def certificates(self) -> dict[str, float]:
        """The ends of certificates by server, as one scrape shows them."""
        return {
            sample.labels["server"]: sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == CERTIFICATE
        }


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("workers.exporter.MAILBOX_SERIES", 1)
    servers = {"a": Server("one", 995), "b": Server("one", 995), "c": Server("two", 995)}
    with bench(*(mailbox(name, server) for name, server in servers.items())) as b:
        for name, end in (("a", 3e9), ("b", 2e9), ("c", 4e9)):
            put(b, name, end)
        yield b


def put(b: Bench, name: str, end: float) -> None:
    b.ledger.put_status(name, MailboxStatus(1.0, "success", 1.0, certificate_not_after=end))


def test_certificates_of_all_mailboxes_are_shown_the_first_end_of_each_server(made: Bench) -> None:
    assert Scraped(made).certificates() == {"one:995": 2e9, "two:995": 4e9}
    assert Scraped(made, WITHOUT_LABEL).certificates() == {"one:995": 2e9, "two:995": 4e9}


def test_scrape_reads_only_mailboxes_with_series_until_certificates_are_due(
    made: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[str]] = []
    statuses = made.ledger.statuses

    def recorded(mailboxes: Collection[str] | None = None) -> dict[str, MailboxStatus]:
        assert mailboxes is not None, "all statuses are read"
        read.append(sorted(mailboxes))
        return statuses(mailboxes)

    monkeypatch.setattr(made.ledger, "statuses", recorded)
    scraped = Scraped(made)
    scraped.certificates()
    put(made, "a", 1e9)
    put(made, "c", 1e9)
    made.clock.time += CERTIFICATES_EVERY - 1
    assert scraped.certificates() == {"one:995": 1e9, "two:995": 4e9}
    made.clock.time += 1
    assert scraped.certificates() == {"one:995": 1e9, "two:995": 1e9}
    assert read == [["a"], ["b", "c"], ["a"], ["a"], ["b", "c"]]


def test_tasks_are_shown_if_they_are_configured(made: Bench) -> None:
    """The record of one that no longer runs would raise its alert for ever."""
    made.ledger.record_task_success("catalog")
    made.ledger.record_task_start("retention")
    made.ledger.record_task_start("statements")
    assert Scraped(made).tasks() == {}
    options = {
        "MAILHAUL_CONSOLE__ADDRESS": "127.0.0.1",
        "MAILHAUL_RETENTION": '[{"name": "all", "keep": "1y"}]',
        "MAILHAUL_AUDIT__ENABLED": "true",
    }
    now = made.clock.time
    assert Scraped(made, **options).tasks() == {
        ("success_timestamp_seconds", "catalog"): now,
        ("unfinished_timestamp_seconds", "retention"): now,
        ("unfinished_timestamp_seconds", "statements"): now,
    }
