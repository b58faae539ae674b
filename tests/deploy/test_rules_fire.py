"""Every alert fires when it must, with the words that somebody is woken with, and keeps silent when it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.promtool import Firing, Scenario, judge
from tests.support.rules import load_rules
from tests.support.series import MAIL, in_time, mailbox, mailboxes, one, polls, store, task

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.prometheus

SCENARIOS = [
    Scenario(
        "MailhaulPollBudgetBurnFast",
        "a tenth of the polls fails for an hour",
        polls("success", "0+90x99") | polls("timeout", "0+10x99", "b"),
        65,
        (Firing("Polls fail 20 times as often as the objective of 30 days allows", MAIL),),
    ),
    Scenario(
        "MailhaulPollBudgetBurnFast",
        "a spike of five minutes",
        polls("success", "0+100x99") | polls("timeout", "0x60 0+20x9"),
        66,
    ),
    Scenario(
        "MailhaulPollBudgetBurnFast",
        "the hour was bad, the last minutes are good",
        polls("success", "0+90x99") | polls("timeout", "0+10x50 500x49"),
        65,
    ),
    Scenario(
        "MailhaulPollBudgetBurnFast",
        "rejected credentials and paused mailboxes do not count",
        polls("success", "0+50x99") | polls("auth_error", "0+50x99") | polls("disabled", "0+50x99"),
        65,
    ),
    Scenario(
        "MailhaulPollBudgetBurnSlow",
        "four of a hundred polls fail for hours",
        polls("success", "0+96x430") | polls("throttled", "0+4x430"),
        420,
        (Firing("Polls have been failing 8 times as often as the objective allows, for hours", MAIL),),
    ),
    Scenario(
        "MailhaulPollBudgetBurnSlow",
        "one of a hundred fails",
        polls("success", "0+99x430") | polls("throttled", "0+1x430"),
        420,
    ),
    Scenario(
        "MailhaulManyMailboxesStale",
        "three of ten",
        mailboxes(3, 7),
        20,
        (Firing("30% of the mailboxes have had no successful poll for three intervals", MAIL),),
    ),
    Scenario("MailhaulManyMailboxesStale", "two of ten are too few", mailboxes(2, 8), 20),
    Scenario("MailhaulManyMailboxesStale", "three of forty are too few", mailboxes(3, 37), 20),
    Scenario(
        "MailhaulMailboxStale",
        "one of ten",
        mailboxes(1, 9),
        20,
        (Firing("Mailbox stale-0 had its last successful poll 20 intervals ago", MAIL | {"mailbox": "stale-0"}),),
    ),
    Scenario(
        "MailhaulMailboxStale",
        "one that was never polled: its last success was in 1970, millions of intervals ago",
        mailbox("new", "0x99", interval="0.0001"),
        20,
        (Firing("Mailbox new was never polled successfully", MAIL | {"mailbox": "new"}),),
    ),
    Scenario(
        "MailhaulMailboxStale",
        "where series have no namespace",
        mailbox("a", "0x99", where=""),
        20,
        (Firing("Mailbox a had its last successful poll 20 intervals ago", {"mailbox": "a"}),),
    ),
    Scenario("MailhaulMailboxStale", "many are stale, which has an alert of its own", mailboxes(5, 5), 30),
    Scenario(
        "MailhaulMailboxStale",
        "many are stale in another namespace",
        mailboxes(5, 5) | mailbox("x", "0x99", where="other"),
        30,
        (
            Firing(
                "Mailbox x had its last successful poll 30 intervals ago",
                {"namespace": "other", "mailbox": "x"},
            ),
        ),
    ),
    Scenario(
        "MailhaulMailboxStale",
        "its credentials are rejected, which has an alert of its own",
        mailbox("a", "0x99") | polls("auth_error", "0+1x99") | polls("success", "0x99"),
        30,
    ),
    Scenario("MailhaulMailboxStale", "one that is paused", mailbox("a", "0x99", enabled=0), 30),
    Scenario("MailhaulMailboxStale", "one that is polled each hour", mailbox("a", "0x99", interval="3600"), 90),
    Scenario("MailhaulMailboxStale", "stale for no more than some minutes", mailbox("a", "0x99"), 12),
    Scenario(
        "MailhaulAuthenticationFailing",
        "rejected at each poll",
        polls("auth_error", "0+1x99") | polls("success", "0x99"),
        30,
        (Firing("The server rejects the credentials of mailbox a", MAIL | {"mailbox": "a"}),),
    ),
    Scenario(
        "MailhaulAuthenticationFailing",
        "rejected until the secret was fixed",
        polls("auth_error", "0+1x20 20x79") | polls("success", "0x20 0+1x79"),
        30,
    ),
    Scenario(
        "MailhaulAuthenticationFailing",
        "other failures",
        polls("timeout", "0+1x99") | polls("auth_error", "0x99"),
        30,
    ),
    Scenario(
        "MailhaulMailExpiresUnread",
        "three quarters of the time have passed",
        mailbox("a", "0x99") | one("mailbox_server_retention_seconds", "1200x99", mailbox="a"),
        16,
        (Firing("The server will delete unread mail of a", MAIL | {"mailbox": "a"}),),
    ),
    Scenario(
        "MailhaulMailExpiresUnread",
        "a server that keeps mail for a week",
        mailbox("a", "0x99") | one("mailbox_server_retention_seconds", "604800x99", mailbox="a"),
        90,
    ),
    Scenario(
        "MailhaulMailExpiresUnread",
        "EXPIRE 0: mail is deleted when it was read, whatever Mailhaul does",
        mailbox("a", "0x99") | one("mailbox_server_retention_seconds", "0x99", mailbox="a"),
        90,
    ),
    Scenario(
        "MailhaulMailExpiresUnread",
        "the mailbox is paused",
        mailbox("a", "0x99", enabled=0) | one("mailbox_server_retention_seconds", "1200x99", mailbox="a"),
        30,
    ),
    Scenario(
        "MailhaulPollersBehind",
        "overdue by minutes",
        one("schedule_lag_seconds", "400x99"),
        20,
        (Firing("The most overdue mailbox has waited for a poller for 6m 40s", MAIL),),
    ),
    Scenario("MailhaulPollersBehind", "overdue by seconds", one("schedule_lag_seconds", "20x99"), 20),
    Scenario(
        "MailhaulOldestWakeupTooOld",
        "in one queue",
        one("queue_oldest_wakeup_age_seconds", "150x99", queue="poll")
        | one("queue_oldest_wakeup_age_seconds", "1x99", queue="relay"),
        20,
        (Firing("The oldest wake-up in queue poll has waited for 2m 30s", MAIL | {"queue": "poll"}),),
    ),
    Scenario(
        "MailhaulOldestWakeupTooOld",
        "younger than the expiry of a wake-up",
        one("queue_oldest_wakeup_age_seconds", "15x99", queue="poll"),
        20,
    ),
    Scenario(
        "MailhaulWorkersNotConsuming",
        "workers that handle no wake-up, beside others that do",
        one("queue_wakeups", "5x99", queue="poll")
        | one("queue_wakeups", "5x99", queue="relay")
        | one("wakeups_total", "7x99", queue="poll", result="ok")
        | one("wakeups_total", "0+1x99", queue="relay", result="ok"),
        30,
        (Firing("No worker takes wake-ups from queue poll, where 5 wait", MAIL | {"queue": "poll"}),),
    ),
    Scenario(
        "MailhaulWorkersNotConsuming",
        "no worker at all",
        one("queue_wakeups", "2x99", queue="process"),
        30,
        (Firing("No worker takes wake-ups from queue process, where 2 wait", MAIL | {"queue": "process"}),),
    ),
    Scenario(
        "MailhaulWorkersNotConsuming",
        "nothing to do",
        one("queue_wakeups", "0x99", queue="poll") | one("wakeups_total", "7x99", queue="poll", result="ok"),
        30,
    ),
    Scenario(
        "MailhaulSchedulerStalled",
        "the last tick was five minutes ago",
        one("scheduler_last_tick_timestamp_seconds", "0+60x10 600x20"),
        15,
        (Firing("No scheduler has ticked for 5m 0s", MAIL),),
    ),
    Scenario(
        "MailhaulSchedulerStalled",
        "ticking",
        one("scheduler_last_tick_timestamp_seconds", "0+60x99"),
        15,
    ),
    Scenario(
        "MailhaulConfigurationBroken",
        "two mistakes",
        one("configuration_problems", "0x5 2x20"),
        15,
        (Firing("The configuration has 2 mistakes and is not used", MAIL),),
    ),
    Scenario("MailhaulConfigurationBroken", "fixed at once", one("configuration_problems", "0x5 2x2 0x20"), 15),
    Scenario(
        "MailhaulLedgerDown",
        "unavailable",
        one("ledger_up", "1x5 0x20"),
        15,
        (Firing("The ledger (Redis or Valkey) does not answer", MAIL),),
    ),
    Scenario("MailhaulLedgerDown", "available again", one("ledger_up", "0x5 1x20"), 15),
    Scenario(
        "MailhaulLedgerMemoryHigh",
        "nine tenths are used",
        one("ledger_memory_bytes", "900x99") | one("ledger_memory_limit_bytes", "1000x99"),
        20,
        (Firing("The ledger's memory is 90% full", MAIL),),
    ),
    Scenario(
        "MailhaulLedgerMemoryHigh",
        "half of it is used",
        one("ledger_memory_bytes", "500x99") | one("ledger_memory_limit_bytes", "1000x99"),
        20,
    ),
    Scenario(
        "MailhaulPollingStopped",
        "the memory is nearly full",
        one("polling_stopped", "1x99"),
        20,
        (Firing("No mailbox is polled, because the ledger's memory is nearly full", MAIL),),
    ),
    Scenario("MailhaulPollingStopped", "there is memory again", one("polling_stopped", "1x2 0x99"), 20),
    Scenario("MailhaulLedgerMemoryHigh", "there is no limit", one("ledger_memory_bytes", "900x99"), 20),
    Scenario(
        "MailhaulExporterAbsent",
        "unavailable",
        one("ledger_up", "1x5 stale"),
        15,
        (Firing("Prometheus scrapes no exporter of Mailhaul"),),
    ),
    Scenario("MailhaulExporterAbsent", "running, without a ledger", one("ledger_up", "0x20"), 15),
    Scenario(
        "MailhaulBacklogGrowing",
        "five more messages per minute",
        one("mailbox_backlog_messages", "0+5x99", mailbox="a") | one("pending_messages", "0x99", stage="process"),
        95,
        (Firing("The backlog grows by 300 messages per hour", MAIL),),
    ),
    Scenario(
        "MailhaulBacklogGrowing",
        "large and shrinking",
        one("mailbox_backlog_messages", "9000-5x99", mailbox="a") | one("pending_messages", "0x99", stage="process"),
        95,
    ),
    Scenario(
        "MailhaulProcessingStuck",
        "for a quarter of an hour and more",
        one("pending_oldest_age_seconds", "1000x99", stage="process"),
        20,
        (Firing("A stored message has waited to be processed for 16m 40s", MAIL),),
    ),
    Scenario(
        "MailhaulProcessingStuck",
        "only events for a sink wait",
        one("pending_oldest_age_seconds", "5x99", stage="process")
        | one("pending_oldest_age_seconds", "1000x99", stage="publish"),
        20,
    ),
    Scenario(
        "MailhaulDeliverySlow",
        "a fifth is late",
        in_time("0+80x99", "0+100x99"),
        90,
        (Firing("20% of messages took more than two minutes to reach a sink", MAIL),),
    ),
    Scenario("MailhaulDeliverySlow", "one of a hundred is late", in_time("0+99x99", "0+100x99"), 90),
    Scenario(
        "MailhaulStoreErrors",
        "a tenth fails",
        store("put", "ok", "0+90x99") | store("put", "unavailable", "0+10x99"),
        20,
        (Firing("10% of requests to the object store fail", MAIL),),
    ),
    Scenario(
        "MailhaulStoreErrors",
        "an existing or missing object is a valid answer",
        store("put", "ok", "0+90x99")
        | store("put", "exists", "0+50x99")
        | store("get", "missing", "0+50x99")
        | store("put", "unavailable", "0x99"),
        20,
    ),
    Scenario(
        "MailhaulStoreCorrupt",
        "one object is altered",
        store("put", "ok", "0+90x99") | store("put", "corrupt", "0x10 1x60"),
        20,
        (Firing("The object store does not hold the bytes of a message", MAIL),),
    ),
    Scenario("MailhaulStoreCorrupt", "other errors", store("put", "refused", "0+9x99"), 20),
    Scenario(
        "MailhaulMailNotFetched",
        "a message that ends sessions, and one that UIDL lacks",
        one("mailbox_troubled_messages", "1x199", mailbox="a")
        | one("mailbox_left_out_messages", "1x199", mailbox="a"),
        125,
        (Firing("2 messages of mailbox a cannot be fetched", MAIL | {"mailbox": "a"}),),
    ),
    Scenario(
        "MailhaulMailNotFetched",
        "fetched within an hour",
        one("mailbox_troubled_messages", "1x60 0x139", mailbox="a")
        | one("mailbox_left_out_messages", "0x199", mailbox="a"),
        125,
    ),
    Scenario(
        "MailhaulDeletionsWithheld",
        "one mailbox",
        one("deletions_withheld_total", "0x10 3x60", mailbox="a"),
        20,
        (Firing("Messages that were due for deletion are not in the store", MAIL),),
    ),
    Scenario(
        "MailhaulDeletionsWithheld",
        "long ago",
        one("deletions_withheld_total", "3x99", mailbox="a"),
        90,
    ),
    Scenario(
        "MailhaulFailedMessagesGrowing",
        "two",
        one("messages_total", "0x60 2x30", result="failed"),
        70,
        (Firing("Processing of 2 messages failed within an hour", MAIL),),
    ),
    Scenario(
        "MailhaulFailedMessagesGrowing",
        "long ago",
        one("messages_total", "2x99", result="failed") | one("messages_total", "0+9x99", result="processed"),
        70,
    ),
    Scenario(
        "MailhaulPublicationStuck",
        "one sink of two",
        one("sink_oldest_event_age_seconds", "700x99", sink="erp")
        | one("sink_oldest_event_age_seconds", "3x99", sink="archive"),
        20,
        (Firing("Sink erp has not acknowledged an event that is 11m 40s old", MAIL | {"sink": "erp"}),),
    ),
    Scenario(
        "MailhaulPublicationStuck",
        "a minute behind",
        one("sink_oldest_event_age_seconds", "60x99", sink="erp"),
        20,
    ),
    Scenario(
        "MailhaulSinkDisabled",
        "one that answered 410",
        one("sink_disabled", "0x5 1x20", sink="erp"),
        15,
        (Firing("Sink erp answered 410 Gone and is disabled", MAIL | {"sink": "erp"}),),
    ),
    Scenario("MailhaulSinkDisabled", "resumed", one("sink_disabled", "1x5 0x20", sink="erp"), 15),
    Scenario(
        "MailhaulDeadLetters",
        "two",
        one("dead_letters", "2x99"),
        20,
        (Firing("Sinks have rejected 2 events, and not accepted them since", MAIL),),
    ),
    Scenario("MailhaulDeadLetters", "accepted at the next attempt", one("dead_letters", "2x5 0x99"), 20),
    Scenario(
        "MailhaulCertificateExpiring",
        "in less than ten days",
        one("tls_certificate_not_after_timestamp_seconds", "864000x199", server="pop.example:995"),
        120,
        (Firing("The certificate of pop.example:995 expires in 9.9 days", MAIL | {"server": "pop.example:995"}),),
    ),
    Scenario(
        "MailhaulCertificateExpiring",
        "in a month",
        one("tls_certificate_not_after_timestamp_seconds", "2592000x199", server="pop.example:995"),
        120,
    ),
    Scenario(
        "MailhaulCatalogBehind",
        "the console stopped after five minutes",
        task("success", "catalog", "0+60x5 300x99"),
        30,
        (Firing("The console's catalog has not read all events for 25m 0s", MAIL),),
    ),
    Scenario(
        "MailhaulCatalogBehind",
        "it never caught up since it began",
        task("unfinished", "catalog", "0x99"),
        20,
        (Firing("The console's catalog has not read all events for 20m 0s", MAIL),),
    ),
    Scenario(
        "MailhaulCatalogBehind",
        "it reads, though it once began anew and other tasks are due",
        task("success", "catalog", "0+60x99")
        | task("unfinished", "catalog", "0x99")
        | task("unfinished", "retention", "0x99"),
        90,
    ),
    Scenario(
        "MailhaulStatementsStopped",
        "none since yesterday",
        task("success", "statements", "0x1700"),
        1620,
        (Firing("Not all statements have been written for 1d 3h 0m 0s", MAIL),),
    ),
    Scenario("MailhaulStatementsStopped", "once a day", task("success", "statements", "0x1440 86400x500"), 1900),
    Scenario(
        "MailhaulRetentionFailing",
        "since the night",
        task("success", "retention", "0x500") | task("unfinished", "retention", "600x500"),
        400,
        (Firing("Retention began 6h 30m 0s ago and has not been completed since", MAIL),),
    ),
    Scenario("MailhaulRetentionFailing", "a run of five hours", task("unfinished", "retention", "0x300"), 390),
    Scenario("MailhaulRetentionFailing", "the last one ended months ago", task("success", "retention", "0x500"), 490),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: f"{scenario.alert}: {scenario.story}")
def test_alerts_fire_exactly_when_expected(scenario: Scenario, tmp_path: Path) -> None:
    assert judge(scenario, tmp_path) == ""


def test_every_alert_has_a_firing_and_a_silent_scenario() -> None:
    for alert in load_rules()[1]:
        outcomes = {bool(scenario.fires) for scenario in SCENARIOS if scenario.alert == alert.name}
        assert outcomes == {True, False}, alert.name


def test_wrong_scenario_is_detected(tmp_path: Path) -> None:
    wrong = Scenario("MailhaulLedgerDown", "it does not fire", one("ledger_up", "1x20"), 15, (Firing("fires"),))
    assert "MailhaulLedgerDown" in judge(wrong, tmp_path)
