"""Every metric, declared once: name, type, labels, unit and meaning.

Workers expose counters and histograms. Gauges about the whole system come from the exporter alone, which reads the
ledger when it is scraped; a gauge in every worker would count the same thing many times. Each process reports its
own use of CPU and memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ingest.metric_labels import (
    ATTACHMENT_TYPES,
    LOGIN_METHODS,
    LOGIN_RESULTS,
    MESSAGE_RESULTS,
    QUEUES,
    SCAN_RESULTS,
    STAGES,
    STORE_OPERATIONS,
    STORE_RESULTS,
    WAKEUP_RESULTS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "mailhaul_"

MAILBOX_SERIES = 10_000

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOW = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_PAGES = (0.005, 0.025, 0.1, 0.5, 2.5, 10, 30)
_LATENCY = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 14400)
_SIZES = (1024, 4096, 16384, 65536, 262144, 2**20, 2**22, 2**24, 2**26, 2**28)


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric; `name` is the exported name (counters end in `_total`) without the prefix."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    # Label combinations that are known in advance and start at 0.
    known: tuple[tuple[str, ...], ...] = ()

    @property
    def full_name(self) -> str:
        """The name with the prefix."""
        return PREFIX + self.name


def _pairs(first: Iterable[str], second: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    return tuple((a, b) for a in first for b in second)


def _singles(values: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) for value in values)


WORKER_SPECS: tuple[Spec, ...] = (
    Spec("polls_total", "counter", "Finished polls, by mailbox and result", ("mailbox", "result")),
    Spec(
        "fetch_duration_seconds",
        "histogram",
        "Duration of one phase of a POP3 session; retr and dele count one message each",
        ("server", "phase"),
        _FAST,
    ),
    Spec("poll_duration_seconds", "histogram", "Seconds from claim to release of a mailbox", ("server",), _SLOW),
    Spec(
        "polls_deferred_total",
        "counter",
        "Polls deferred because the server had used its connection slots or its share of the threads",
        ("server",),
    ),
    Spec(
        "unique_id_resets_total",
        "counter",
        "How often the server gave all messages of a mailbox new unique-ids",
        ("mailbox",),
    ),
    Spec(
        "unique_ids_unreliable_total",
        "counter",
        "Polls in which the server's unique-ids did not identify messages: message numbers, or one id for several",
        ("mailbox",),
    ),
    Spec(
        "deletions_withheld_total",
        "counter",
        "Messages that were due for deletion on the server and that the store did not hold",
        ("mailbox",),
    ),
    Spec(
        "deletions_repeated_total",
        "counter",
        "Messages that a server listed although it had confirmed their deletion, and that were deleted once more",
        ("mailbox",),
    ),
    Spec(
        "messages_total",
        "counter",
        "Messages by result; a message counts once under each result it reaches",
        ("result",),
        known=_singles(MESSAGE_RESULTS),
    ),
    Spec("message_size_bytes", "histogram", "Bytes of the raw message", buckets=_SIZES),
    Spec("parse_duration_seconds", "histogram", "Seconds to parse a message, without storing it", buckets=_FAST),
    Spec("parse_defects_total", "counter", "Defects found in messages, by code", ("code",)),
    Spec(
        "attachments_total",
        "counter",
        "Attachments stored, by detected type (rare types count as other)",
        ("type",),
        known=_singles([*sorted(ATTACHMENT_TYPES), "other"]),
    ),
    Spec(
        "attachment_bytes_total",
        "counter",
        "Bytes of attachments stored, by detected type (rare types count as other)",
        ("type",),
        known=_singles([*sorted(ATTACHMENT_TYPES), "other"]),
    ),
    Spec(
        "scans_total",
        "counter",
        "Attachments sent to the virus scanner, by result; unscanned: no answer, or too large",
        ("result",),
        known=_singles(SCAN_RESULTS),
    ),
    Spec(
        "store_requests_total",
        "counter",
        "Requests to the object store",
        ("operation", "result"),
        known=_pairs(STORE_OPERATIONS, STORE_RESULTS),
    ),
    Spec(
        "store_request_duration_seconds",
        "histogram",
        "Duration of a request to the object store",
        ("operation", "result"),
        _FAST,
        known=_pairs(STORE_OPERATIONS, STORE_RESULTS),
    ),
    Spec("events_published_total", "counter", "Events sent to a sink, by result", ("sink", "result")),
    Spec(
        "end_to_end_latency_seconds",
        "histogram",
        "Seconds from first seen on the server until a sink acknowledged the event",
        buckets=_LATENCY,
    ),
    Spec("wakeups_total", "counter", "Wake-ups handled", ("queue", "result"), known=_pairs(QUEUES, WAKEUP_RESULTS)),
    Spec(
        "wakeup_duration_seconds",
        "histogram",
        "Seconds to handle a wake-up",
        ("queue", "result"),
        _SLOW,
        known=_pairs(QUEUES, WAKEUP_RESULTS),
    ),
)

EXPORTER_SPECS: tuple[Spec, ...] = (
    Spec(
        "mailbox_last_success_timestamp_seconds",
        "gauge",
        "Time of the last successful poll of the mailbox",
        ("mailbox",),
    ),
    Spec("mailbox_poll_interval_seconds", "gauge", "The configured interval", ("mailbox",)),
    Spec("mailbox_enabled", "gauge", "1 when the mailbox is polled, 0 when it is paused or disabled", ("mailbox",)),
    Spec(
        "mailbox_server_retention_seconds",
        "gauge",
        "Seconds after which the server deletes mail by itself, if it announces it (EXPIRE)",
        ("mailbox",),
    ),
    Spec("mailbox_backlog_messages", "gauge", "Messages on the server that are not stored", ("mailbox",)),
    Spec("mailbox_backlog_bytes", "gauge", "Bytes on the server that are not stored", ("mailbox",)),
    Spec(
        "mailbox_troubled_messages",
        "gauge",
        "Messages on the server that could not be fetched: they end sessions, are refused, or are larger than listed",
        ("mailbox",),
    ),
    Spec(
        "mailbox_left_out_messages",
        "gauge",
        "Messages on the server that are not fetched, because STAT, UIDL and LIST disagree about them",
        ("mailbox",),
    ),
    Spec("pending_messages", "gauge", "Messages that wait for a stage", ("stage",), known=_singles(STAGES)),
    Spec(
        "pending_oldest_age_seconds",
        "gauge",
        "Age of the oldest message that waits for a stage, 0 when none does",
        ("stage",),
        known=_singles(STAGES),
    ),
    Spec("failed_messages", "gauge", "Failed messages, which wait for a decision"),
    Spec(
        "dead_letters",
        "gauge",
        "Events that a sink rejected and has not accepted since: retrying events and dead letters",
    ),
    Spec("sink_waiting_events", "gauge", "Events that a sink has not acknowledged", ("sink",)),
    Spec(
        "sink_oldest_event_age_seconds",
        "gauge",
        "Age of the oldest event that a sink has not acknowledged, 0 when there is none",
        ("sink",),
    ),
    Spec(
        "sink_disabled",
        "gauge",
        "1 while a sink that answered 410 Gone is disabled, until `mailhaul sinks resume`",
        ("sink",),
    ),
    Spec(
        "sink_unavailable",
        "gauge",
        "1 while a sink is unavailable, with the reason code of its last answer",
        ("sink", "reason"),
    ),
    Spec("queue_wakeups", "gauge", "Wake-ups that wait in a queue", ("queue",), known=_singles(QUEUES)),
    Spec(
        "queue_oldest_wakeup_age_seconds",
        "gauge",
        "Age of the oldest wake-up in a queue",
        ("queue",),
        known=_singles(QUEUES),
    ),
    Spec("scheduler_last_tick_timestamp_seconds", "gauge", "Time of the last tick of a scheduler"),
    Spec(
        "task_success_timestamp_seconds",
        "gauge",
        "When a run of a task last did all that was due: the catalog read all events, retention erased, statements "
        "were written; missing if none did",
        ("task",),
    ),
    Spec(
        "task_unfinished_timestamp_seconds",
        "gauge",
        "When the first run of a task began that no successful one has followed; missing if there is none",
        ("task",),
    ),
    Spec("schedule_lag_seconds", "gauge", "Delay of the most overdue mailbox"),
    Spec("due_mailboxes", "gauge", "Mailboxes that are due and not claimed"),
    Spec(
        "tls_certificate_not_after_timestamp_seconds",
        "gauge",
        "Expiry of the certificate of a POP3 server",
        ("server",),
    ),
    Spec("ledger_up", "gauge", "1 when the ledger answered this scrape; otherwise the other gauges are missing"),
    Spec(
        "ledger_memory_bytes",
        "gauge",
        "Memory that the ledger's server uses, for all its databases; missing if INFO is forbidden",
    ),
    Spec(
        "ledger_memory_limit_bytes",
        "gauge",
        "Memory limit of the ledger's server (maxmemory); missing if there is none",
    ),
    Spec(
        "polling_stopped",
        "gauge",
        "1 while no mailbox is polled because the ledger's memory is nearly full (`workers.stop_polling_at`)",
    ),
    Spec(
        "event_stream_entries",
        "gauge",
        "Events in the ledger's stream, which are kept until every sink has acknowledged them",
    ),
    Spec(
        "configuration_problems",
        "gauge",
        "Mistakes in the current files of the configuration; above 0 the last valid configuration is in use",
    ),
    Spec("build_info", "gauge", "Always 1; the labels name what runs", ("version", "revision")),
)

PROCESS_SPECS: tuple[Spec, ...] = (
    Spec("process_start_timestamp_seconds", "gauge", "Start time of the process", ("role",)),
    Spec("process_cpu_seconds_total", "counter", "CPU time used, child processes included", ("role",)),
    Spec(
        "process_resident_memory_bytes",
        "gauge",
        "Memory used, child processes included; shared memory counts for each",
        ("role",),
    ),
)

CONSOLE_SPECS: tuple[Spec, ...] = (
    Spec(
        "console_request_duration_seconds",
        "histogram",
        "Seconds until the answer to a request begins, by path with its parameters unfilled and class of status",
        ("route", "status"),
        _PAGES,
    ),
    Spec(
        "console_logins_total",
        "counter",
        "Logins with a token or through the identity provider; limited: too many failed or are under way",
        ("method", "result"),
        known=_pairs(LOGIN_METHODS, LOGIN_RESULTS),
    ),
    Spec("console_live_streams", "gauge", "Open pages that show new mail as it arrives"),
)

SPECS: tuple[Spec, ...] = WORKER_SPECS + EXPORTER_SPECS + CONSOLE_SPECS + PROCESS_SPECS
