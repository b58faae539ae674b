"""Everything in the way at once: servers cut sessions anywhere, the store comes and goes, a sink is down."""

from __future__ import annotations

import random
import socketserver
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ingest.demo.mails import sample
from tests.support.http import SECRET, Answer, Receiver
from tests.support.proxy import DelayProxy
from tests.support.servers import serving
from tests.support.service import Service, check_message, read_events, write_config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.demo.mails import SampleMail
    from tests.support.dovecot import Dovecot
    from tests.support.s3 import S3Server

MAILBOXES, MAILS = 6, 20
TOTAL = MAILBOXES * MAILS
# Long enough that uploads under way meet each of them.
TROUBLE_SECONDS = 4.0
# Some sessions come to their end; after those that do not, pauses grow.
MOST_BYTES = 400_000


class Busy(socketserver.ThreadingTCPServer):
    """Answer every HTTP request with 503."""

    allow_reuse_address = True
    daemon_threads = True

    class Handler(socketserver.BaseRequestHandler):
        """Answers before it has read all, as overloaded servers do."""

        def handle(self) -> None:
            """One request."""
            self.request.recv(65536)
            self.request.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), self.Handler)


@contextmanager
def cutting(proxies: list[DelayProxy], dice: random.Random) -> Iterator[None]:
    """Cut every session at a byte of chance, for the length of a `with` block."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.02):
            for proxy in proxies:
                proxy.cut_after(dice.randrange(1, MOST_BYTES))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for proxy in proxies:
            proxy.cut_after(None)


def trouble(store: DelayProxy) -> None:
    """The store says nothing, then is not there, then is busy, then answers again."""
    store.stall()
    time.sleep(TROUBLE_SECONDS)
    store.stop()
    time.sleep(TROUBLE_SECONDS)
    with serving(Busy(store.port)):
        time.sleep(TROUBLE_SECONDS)
    store.start()


@pytest.mark.e2e
@pytest.mark.dovecot
def test_every_message_is_counted_once_despite_network_and_store_faults(
    tmp_path: Path, dovecot_server: Dovecot, s3_server: S3Server
) -> None:
    dice = random.Random(7)  # noqa: S311 - what is cut where depends on the machine's pace anyway
    sent: dict[str, dict[bytes, SampleMail]] = defaultdict(dict)
    bucket = s3_server.make_bucket("interference")
    with ExitStack() as stack:
        servers = [
            stack.enter_context(DelayProxy(port, 0.001))
            for port in (dovecot_server.pop3_port, dovecot_server.pop3s_port)
        ]
        store = stack.enter_context(DelayProxy(s3_server.port, 0.0))
        hook = stack.enter_context(Receiver())
        hook.answer = lambda _: Answer(500)
        boxes: list[dict[str, Any]] = []
        for number in range(MAILBOXES):
            user, tls = f"interference-{number}", number % 2
            dovecot_server.add_user(user, "right")
            for index in range(MAILS):
                mail = sample(index, user)
                sent[user][mail.raw] = mail
                dovecot_server.deliver(user, mail.raw)
            auth = {"type": "password", "username": user, "password": "env:PASSWORD"}
            box = {"id": user, "host": "127.0.0.1", "port": servers[tls].port, "policy": "delete", "auth": auth}
            boxes.append(box | ({"ca": str(dovecot_server.ca_file)} if tls else {"tls": "none"}))
        config = write_config(
            tmp_path,
            boxes,
            store={**s3_server.store(bucket), "endpoint": f"http://127.0.0.1:{store.port}"},
            sinks=[
                {"type": "jsonl", "path": str(tmp_path / "events.jsonl")},
                {"type": "webhook", "name": "down", "url": hook.url, "secret": "env:HOOK", "allow_private": True},
            ],
        )
        environment = {**s3_server.environment, "PASSWORD": "right", "HOOK": SECRET}
        with Service(config, environment) as service:
            with cutting(servers, dice):
                service.wait_for_events(TOTAL // 10)
                trouble(store)
            events = service.wait_for_events(TOTAL)
            eventually(lambda: not any(dovecot_server.maildrop(user) for user in sent), "what is done is deleted")
            hook.answer = lambda _: Answer()
            hooked = {event["id"] for event in events}
            eventually(
                lambda: {request.headers["webhook-id"] for request in hook.requests} == hooked,
                lambda: f"{len(hook.requests)} requests",
            )
            assert service.stop() == 0

        with closing(s3_server.client()) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            keys = [found["Key"] for page in pages for found in page.get("Contents", [])]

            def read(key: str) -> bytes:
                return client.get_object(Bucket=bucket, Key=key)["Body"].read()

            events = read_events(tmp_path / "events.jsonl")
            for event in events:
                check_message(event, sent[event["data"]["mailbox"]["id"]], read)
    assert len({event["subject"] for event in events}) == len({event["id"] for event in events}) == TOTAL
    assert sum(key.endswith("/raw.eml") for key in keys) == TOTAL
    assert sum(key.endswith("/message.json") for key in keys) == TOTAL
