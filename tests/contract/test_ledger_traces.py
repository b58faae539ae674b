"""The ledger keeps the trace of an open message, and nothing of it without tracing; on the twin and on Valkey."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingest.adapters.ledger import connect
from ingest.adapters.ledger.names import Names
from ingest.domain.events import Event
from ingest.domain.message import FailedMessage, OpenMessage
from ingest.domain.record import ObjectRef
from ingest.ports.seen import Registration

if TYPE_CHECKING:
    from ingest.ports.ledger import Ledger
    from tests.support.valkey import LedgerBench, Valkey

NAMES = Names()


BOX = "invoices-de"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVENT = Event("e", "t", BOX, b"{}")
PLAIN = OpenMessage(
    key="ab" * 16,
    mailbox=BOX,
    unique_id="u",
    folder="f",
    source=ObjectRef(bucket="mail", key="k", size=1, sha256="0" * 64),
    first_seen=NOW,
)
TRACED = PLAIN.model_copy(update={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
OTHER = PLAIN.model_copy(update={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})


def open_up(ledger: Ledger, *messages: OpenMessage) -> None:
    ledger.mailboxes.add([BOX])
    (claim,) = ledger.mailboxes.claim(1, 600)
    for message in messages:
        ledger.register(claim, [Registration(b"d" * 16, message)])


def fail(ledger: Ledger) -> FailedMessage:
    (claim,) = ledger.messages.claim(1, 600)
    (message,) = ledger.open_messages([PLAIN.key])
    assert message is not None
    failed = FailedMessage(message=message, reason="message", tries=6, failed_at=NOW)
    ledger.fail(claim, failed, EVENT)
    return failed


def test_open_message_keeps_its_trace_until_it_is_retried(bench: LedgerBench) -> None:
    open_up(bench.ledger, TRACED)
    assert bench.ledger.open_messages([TRACED.key]) == [TRACED]
    failed = fail(bench.ledger)
    assert bench.ledger.failed_messages() == [failed]
    assert bench.ledger.retry_failed(failed)
    assert bench.ledger.open_messages([TRACED.key]) == [TRACED]


def test_message_that_is_registered_again_keeps_its_first_trace(bench: LedgerBench) -> None:
    open_up(bench.ledger, TRACED, OTHER)
    assert bench.ledger.open_messages([TRACED.key]) == [TRACED]


def test_no_trace_is_written_without_tracing(valkey: Valkey) -> None:
    valkey.flush()
    with closing(valkey.client()) as client, closing(connect(valkey.url)[0]) as ledger:
        open_up(ledger, PLAIN)
        written = [client.hget(NAMES.open, PLAIN.key)]
        ledger.retry_failed(fail(ledger))
        written.append(client.hget(NAMES.open, PLAIN.key))
        fail(ledger)
        written.append(client.hget(NAMES.failed, PLAIN.key))
    assert all(one is not None and "unique_id" in str(one) and "trace" not in str(one) for one in written)
