"""The event printed in docs/events.md is what the code makes of the mail printed above it."""

from __future__ import annotations

import hashlib
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from ingest.adapters.stores.memory import MemoryStore
from ingest.domain.cloudevents import event_of
from ingest.domain.keys import RAW, Layout, message_hasher, message_key
from ingest.domain.message import OpenMessage
from ingest.metrics import Metrics
from ingest.usecases.process.processor import Processor
from tools.documents.event_schema import event_schema, validator

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
RECEIVED = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def _block(language: str) -> str:
    found = re.search(rf"## Example\n.*?```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def event_of_mail(raw: bytes) -> bytes:
    """The event of a mail in the mailbox `invoices`, with nothing in it that depends on when or where it is made."""
    hasher = message_hasher("invoices")
    hasher.update(raw)
    key = message_key(hasher)
    folder = Layout("mail").folder("invoices", RECEIVED, key)
    store = MemoryStore("invoices")
    digest = hashlib.sha256(raw).hexdigest()
    source = store.put(
        f"{folder}/{RAW}", io.BytesIO(raw), size=len(raw), sha256=digest, content_type="message/rfc822"
    )
    message = OpenMessage(
        key=key,
        mailbox="invoices",
        unique_id="1714",
        folder=folder,
        source=source,
        listed_size=len(raw),
        first_seen=RECEIVED,
        received_at=RECEIVED,
        labels={"company": "example"},
    )
    with ThreadPoolExecutor(1) as uploads:
        manifest = Processor(store, Metrics(), uploads).process(message).manifest
    return event_of(manifest, RECEIVED.replace(second=2)).body


def test_the_printed_event_is_made_from_the_printed_mail() -> None:
    raw = _block("text").replace("\n", "\r\n").encode()
    event = json.loads(event_of_mail(raw))
    printed = json.dumps(event, ensure_ascii=False, indent=2) + "\n"
    assert _block("json") == printed, f"write this into docs/events.md:\n{printed}"
    validator(event_schema()).validate(event)
