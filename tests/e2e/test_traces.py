"""Traces of the running service: one message is one trace, whichever processes handled it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.mails import sample
from ingest.demo.server import DemoServer
from tests.support.collector import collecting
from tests.support.http import SECRET, Answer, Receiver
from tests.support.servers import free_port
from tests.support.service import Service, write_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = pytest.mark.e2e
# So late that nothing arrives but what is handed over at the end.
ENV = {"SECRET": "right", "HOOK": SECRET, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
MAILS = 5


def served(folder: Path, mails: int, env: dict[str, str], **sections: Any) -> list[dict[str, Any]]:
    """The events of so many mails from one mailbox, when the service has ended as it should."""
    drop = folder / "drops" / "in"
    drop.mkdir(parents=True)
    for number in range(mails):
        (drop / f"{number}.eml").write_bytes(sample(number, "in").raw)
    with DemoServer(folder / "drops", {"in": "right"}) as server:
        auth = {"type": "password", "username": "in", "password": "env:SECRET"}
        box = {"id": "in", "host": "127.0.0.1", "port": server.port, "tls": "none", "auth": auth, "interval": "1h"}
        config = write_config(folder, [box], **sections)
        with Service(config, {**ENV, **env}) as service:
            events = service.wait_for_events(mails)
            assert service.stop() == 0
    return events


def test_a_message_is_one_trace_across_all_processes_and_its_consumer(tmp_path: Path) -> None:
    """Each process hands over its last spans as it ends, the children of the processor too."""
    with collecting() as collector, Receiver() as consumer:
        sinks = [
            {"type": "webhook", "url": consumer.url, "secret": "env:HOOK", "allow_private": True},
            {"type": "jsonl", "path": str(tmp_path / "events.jsonl")},
        ]
        tracing = {"endpoint": collector.endpoint}
        (event,) = served(tmp_path, 1, {}, sinks=sinks, tracing=tracing)
        spans = [span for span in collector.spans() if span.attributes.get("mailhaul.listed") != 0]
        (poll,) = [span for span in spans if span.name == "poll"]
        (fetch,) = [span for span in spans if span.name == "fetch"]
        (process,) = [span for span in spans if span.name == "process"]
        delivered = {span.attributes["mailhaul.sink"]: span for span in spans if span.name == "deliver"}
        assert {span.trace for span in spans} == {poll.trace}
        assert [poll.parent, fetch.parent, process.parent] == ["", poll.id, fetch.id]
        assert {span.parent for span in delivered.values()} == {process.id}
        assert event["traceparent"].split("-")[1:3] == [process.trace, process.id]
        (hook,) = consumer.requests
        assert hook.headers["traceparent"].split("-")[1:3] == [poll.trace, delivered["webhook"].id]
        assert not any(span.failed for span in spans)
        assert {span.process["service.name"] for span in spans} == {"mailhaul"}
        manifest = (tmp_path / "store" / event["data"]["manifest"]).read_bytes()
        assert b"traceparent" not in manifest


@contextmanager
def nobody() -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


@contextmanager
def silent() -> Iterator[str]:
    with Receiver() as receiver:
        receiver.answer = lambda _: Answer(silent=True)
        yield receiver.url


@pytest.mark.parametrize("away", [nobody, silent])
def test_service_works_while_the_trace_collector_is_unavailable(
    tmp_path: Path, away: Callable[[], AbstractContextManager[str]]
) -> None:
    """It ends in time too, and reports it once in each process that traces: poller, processor's child, relay."""
    with away() as endpoint:
        sections = {"tracing": {"endpoint": endpoint}, "workers": {"processes": 1}}
        events = served(tmp_path, MAILS, {"OTEL_BSP_SCHEDULE_DELAY": "100"}, **sections)
    assert len(events) == MAILS
    written = (tmp_path / "up.log").read_text()
    assert "opentelemetry" not in written
    assert written.count("tracing.unavailable") <= 3
