"""The webhook sink against a real HTTP server: signatures, verdicts, deadlines, TLS."""

from __future__ import annotations

import base64
import errno
import json
import socket
import ssl
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from standardwebhooks import Webhook

from ingest.adapters.sinks.posting import Poster, PostError
from ingest.adapters.sinks.webhook import CONCURRENCY, WebhookSink
from ingest.errors import ConfigError, SinkUnavailableError
from ingest.ports.sink import Outcome, Verdict
from tests.support.http import SECRET, Answer, Receiver, Request, event
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DELIVERED = Outcome(Verdict.DELIVERED)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@contextmanager
def sink_to(url: str, timeout: float = 10, **changes: Any) -> Iterator[WebhookSink]:
    options = {"clock": time.time, "allow_private": True, **changes}
    with closing(WebhookSink("hook", url, lambda: SECRET, timeout=timeout, **options)) as sink:
        yield sink


def away(reason: str) -> Outcome:
    return Outcome(Verdict.UNAVAILABLE, reason)


def test_reference_library_accepts_the_signature(receiver: Receiver) -> None:
    with sink_to(receiver.url) as sink:
        assert sink.deliver([event("e1")]) == [DELIVERED]
    (request,) = receiver.requests
    assert request.path == "/hooks/mail?of=mailhaul"
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["webhook-id"] == "e1"
    verified = Webhook(SECRET).verify(request.body.decode(), dict(request.headers))
    assert verified == json.loads(event("e1").body)


def test_timestamp_is_that_of_the_clock_passed_in(receiver: Receiver) -> None:
    sink = WebhookSink(
        "hook", receiver.url, lambda: SECRET, timeout=PATIENCE, clock=lambda: 1_764_000_000.9, allow_private=True
    )
    with closing(sink):
        sink.deliver([event("e1")])
    assert receiver.requests[0].headers["webhook-timestamp"] == "1764000000"


def test_new_secret_is_used_from_the_next_batch_on(receiver: Receiver) -> None:
    other = "whsec_" + base64.b64encode(b"o" * 32).decode()
    secrets = iter([SECRET, other])
    with closing(
        WebhookSink(
            "hook", receiver.url, lambda: next(secrets), timeout=PATIENCE, clock=time.time, allow_private=True
        )
    ) as sink:
        sink.deliver([event("e1")])
        sink.deliver([event("e2")])
    for secret, request in zip([SECRET, other], receiver.requests, strict=True):
        Webhook(secret).verify(request.body.decode(), dict(request.headers))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "hunter2",
        "whsec_",
        "whsec_hunter2!",
        SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
    ],
)
def test_malformed_secret_is_reported_and_not_shown(receiver: Receiver, secret: str) -> None:
    with closing(
        WebhookSink("hook", receiver.url, lambda: secret, timeout=PATIENCE, clock=time.time, allow_private=True)
    ) as sink:
        for attempt in (sink.check, lambda: sink.deliver([event("e1")])):
            with pytest.raises(SinkUnavailableError, match="openssl rand") as raised:
                attempt()
            assert "hunter2" not in str(raised.value)
            assert raised.value.reason == "secret_invalid"
    assert receiver.requests == []


def test_missing_secret_makes_only_the_sink_unavailable(receiver: Receiver) -> None:
    def missing() -> str:
        raise ConfigError(["env:HOOK: there is no secret; set the environment variable HOOK"])

    with (
        closing(
            WebhookSink("hook", receiver.url, missing, timeout=PATIENCE, clock=time.time, allow_private=True)
        ) as sink,
        pytest.raises(SinkUnavailableError, match="env:HOOK") as raised,
    ):
        sink.deliver([event("e1")])
    assert raised.value.reason == "secret_missing"


NOW = 1_764_000_000.0  # Mon, 24 Nov 2025 16:00:00 GMT


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Mon, 24 Nov 2025 16:02:00 GMT", 120.0),
        ("Mon, 24 Nov 2025 15:00:00 GMT", 0.0),
        ("Tue, 25 Nov 2025 16:00:00 GMT", 3600.0),
        ("9" * 5000, 3600.0),
        ("-5", None),
        ("1e3", None),
        ("soon", None),
        ("Mon, 99 Nov 2025 16:00:00 GMT", None),
    ],
)
def test_retry_after_is_reported(receiver: Receiver, status: int, value: str, seconds: float | None) -> None:
    receiver.answer = lambda _: Answer(status, {"Retry-After": value})
    with sink_to(receiver.url, clock=lambda: NOW) as sink:
        assert sink.deliver([event("e1")]) == [Outcome(Verdict.UNAVAILABLE, f"http_{status}", seconds)]


@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_retry_after_counts_with_429_and_503_only(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: Answer(status, {"Retry-After": "120"})
    with sink_to(receiver.url) as sink:
        (outcome,) = sink.deliver([event("e1")])
    assert outcome.retry_after is None


def test_nothing_more_is_posted_to_a_receiver_that_named_a_time(receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(429, {"Retry-After": "120"})
    with sink_to(receiver.url) as sink:
        outcomes = sink.deliver([event(f"e{number}", mailbox=f"m{number}") for number in range(100)])
    assert {outcome.retry_after for outcome in outcomes} == {120.0}
    assert len(receiver.requests) <= CONCURRENCY


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_confirms(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: Answer(status)
    with sink_to(receiver.url) as sink:
        assert sink.deliver([event("e1")]) == [DELIVERED]


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_status_about_one_event_rejects_that_event_only(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda request: Answer(status if request.headers["webhook-id"] == "e1" else 200)
    with sink_to(receiver.url) as sink:
        assert sink.deliver([event("e1"), event("e2")]) == [Outcome(Verdict.REJECTED, f"http_{status}"), DELIVERED]


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 408, 429, 500, 502, 503, 504])
def test_every_other_status_means_unavailable_and_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: Answer(status, {"location": "/elsewhere"})
    with sink_to(receiver.url) as sink:
        assert sink.deliver([event("e1"), event("e2")]) == [away(f"http_{status}")] * 2
    assert len(receiver.requests) == 1


def test_receiver_that_answered_410_gets_nothing_more(receiver: Receiver) -> None:
    met = threading.Barrier(2, timeout=PATIENCE)

    def answer(request: Request) -> Answer:
        if request.headers["webhook-id"] in {"a1", "b1"}:
            met.wait()
        return Answer(410)

    receiver.answer = answer
    events = [event(f"{mailbox}{n}", mailbox) for mailbox in "ab" for n in (1, 2)]
    with sink_to(receiver.url) as sink:
        assert sink.deliver(events) == [Outcome(Verdict.GONE, "http_410")] * 4
        assert sink.deliver([event("c1", "c")]) == [Outcome(Verdict.GONE, "http_410")]
    assert sorted(request.headers["webhook-id"] for request in receiver.requests) == ["a1", "b1", "c1"]


def test_unavailable_mailbox_does_not_delay_another(receiver: Receiver) -> None:
    receiver.answer = lambda request: Answer(503 if request.headers["webhook-id"].startswith("a") else 200)
    events = [event(f"{mailbox}{n}", mailbox) for n in range(5) for mailbox in "ab"]
    with sink_to(receiver.url) as sink:
        outcomes = sink.deliver(events)
    assert outcomes == [away("http_503"), DELIVERED] * 5
    assert sum(request.headers["webhook-id"].startswith("a") for request in receiver.requests) == 1


def test_mailboxes_are_served_concurrently(receiver: Receiver) -> None:
    met = threading.Barrier(4, timeout=PATIENCE)

    def answer(_: object) -> Answer:
        met.wait()
        return Answer()

    receiver.answer = answer
    with sink_to(receiver.url, timeout=PATIENCE) as sink:
        assert sink.deliver([event(mailbox, mailbox) for mailbox in "abcd"]) == [DELIVERED] * 4


def test_unreachable_receiver_costs_one_timeout_per_thread(receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(silent=True)
    with sink_to(receiver.url, timeout=0.3) as sink:
        outcomes = sink.deliver([event(str(n), f"box{n}") for n in range(40)])
    assert outcomes == [away("timeout")] * 40
    assert len(receiver.requests) <= 8


def test_connecting_ends_at_the_deadline() -> None:
    """Linux leaves a client in the handshake while the queue of a listening socket is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        with sink_to(f"http://127.0.0.1:{address[1]}/", timeout=0.3) as sink:
            assert sink.deliver([event("e1")]) == [away("timeout")]


@pytest.mark.parametrize("code", [errno.ECONNRESET, errno.EPIPE])
def test_connection_broken_while_connecting_is_not_an_answer(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def connect(*_: object) -> None:
        raise OSError(code, "gone")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with sink_to(receiver.url) as sink:
        assert sink.deliver([event("e1")]) == [away("connect")]


def test_connections_are_reused(receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(200, body=b"thank you")
    with sink_to(receiver.url) as sink:
        for n in range(5):
            sink.deliver([event(f"{n}-1"), event(f"{n}-2")])
    assert {request.connection for request in receiver.requests} == {1}


@pytest.mark.parametrize(
    "answer", [Answer(200, body=b"x" * 1_000_000), Answer(200, {"connection": "close"}, b"thank you")]
)
def test_connection_that_cannot_be_used_again_does_not_spoil_the_next_event(
    receiver: Receiver, answer: Answer
) -> None:
    receiver.answer = lambda _: answer
    with sink_to(receiver.url) as sink:
        assert sink.deliver([event(str(n)) for n in range(3)]) == [DELIVERED] * 3
    assert {request.connection for request in receiver.requests} == {1, 2, 3}


@pytest.mark.parametrize(
    "answer", [Answer(silent=True), Answer(trickle=b"HTTP/1.1 200 OK\r\nx: ")], ids=["silent", "trickle"]
)
def test_request_ends_at_its_deadline_however_the_server_drags_it_out(receiver: Receiver, answer: Answer) -> None:
    receiver.answer = lambda _: answer
    with sink_to(receiver.url, timeout=2) as sink:
        assert sink.deliver([event("e1")]) == [away("timeout")]
        receiver.answer = lambda _: Answer()
        eventually(lambda: sink.deliver([event("e1")]) == [DELIVERED])


@pytest.mark.parametrize(
    "answer", [Answer(silent=True), Answer(trickle=b"HTTP/1.1 200 OK\r\nx: ")], ids=["silent", "trickle"]
)
def test_deadline_holds_on_a_connection_used_before(receiver: Receiver, answer: Answer) -> None:
    with sink_to(receiver.url, timeout=2) as sink:
        eventually(lambda: sink.deliver([event("e1")]) == [DELIVERED])
        receiver.answer = lambda _: answer
        assert sink.deliver([event("e2")]) == [away("timeout")]
    first, second = receiver.requests[-2:]
    assert first.connection == second.connection


@pytest.mark.parametrize("header", [b"connection: close", b"x: y"], ids=["closing", "kept alive"])
def test_status_counts_even_when_the_rest_of_the_answer_never_ends(receiver: Receiver, header: bytes) -> None:
    """Reading on would take the receiver minutes: a byte now and then, each in time by itself."""
    receiver.answer = lambda _: Answer(trickle=b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n" + header + b"\r\n\r\n")
    with sink_to(receiver.url, timeout=2) as sink:
        eventually(lambda: sink.deliver([event("e1")]) == [DELIVERED])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(b"", "connect"), (b"+OK POP3 ready\r\n", "protocol"), (b"HTTP/1.1 abc\r\n\r\n", "protocol")],
)
def test_invalid_answer_has_a_reason_code(receiver: Receiver, raw: bytes, reason: str) -> None:
    receiver.answer = lambda _: Answer(raw=raw)
    with sink_to(receiver.url) as sink:
        assert sink.deliver([event("e1")]) == [away(reason)]


def test_closed_port_and_unknown_name_are_reported() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        urls = [f"http://127.0.0.1:{unused.getsockname()[1]}/", "http://nowhere.invalid/"]
        for url in urls:
            with sink_to(url) as sink:
                assert sink.deliver([event("e1")]) == [away("connect")]
                with pytest.raises(SinkUnavailableError, match=r"127\.0\.0\.1|nowhere"):
                    sink.check()


# --- where a request may go --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_private_addresses_need_allow_private_however_written(receiver: Receiver, name: str) -> None:
    url = receiver.url.replace("127.0.0.1", name)
    with sink_to(url, allow_private=False) as sink:
        assert sink.deliver([event("e1")]) == [away("private_address")]
        with pytest.raises(SinkUnavailableError, match="allow_private"):
            sink.check()
    assert receiver.connections == 0


def test_name_with_one_private_address_among_its_addresses_is_not_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.1", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    poster = Poster(
        receiver.url, timeout=PATIENCE, ca_file=None, connections=1, permitted=lambda found: found != "10.0.0.1"
    )
    with closing(poster), pytest.raises(PostError) as raised:
        poster.post(b"{}", {})
    assert raised.value.reason == "private_address"
    assert receiver.connections == 0


def test_checked_address_is_the_one_connected_to(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers otherwise the second time gains nothing: there is no second time."""
    asked: list[str] = []
    looked_at: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.6.6.6"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def permitted(address: str) -> bool:
        looked_at.append(address)
        return True

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = receiver.url.replace("127.0.0.1", "hooks.example.org")
    with closing(Poster(url, timeout=PATIENCE, ca_file=None, connections=1, permitted=permitted)) as poster:
        assert [poster.post(b"{}", {}).status for _ in range(2)] == [204, 204]
    assert (asked, looked_at) == (["hooks.example.org"], ["127.0.0.1"])


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_configured_ca_is_trusted(authority: trustme.CA, ca_file: Path) -> None:
    with Receiver(server_context(authority, "127.0.0.1")) as receiver, sink_to(receiver.url, ca_file=ca_file) as sink:
        sink.check()
        assert sink.deliver([event("e1"), event("e2")]) == [DELIVERED] * 2
        assert len({request.connection for request in receiver.requests}) == 1


@pytest.mark.parametrize("trouble", ["unknown authority", "wrong name"])
def test_untrusted_certificate_is_a_tls_error(authority: trustme.CA, ca_file: Path, trouble: str) -> None:
    name = "127.0.0.1" if trouble == "unknown authority" else "other.example"
    trusted = None if trouble == "unknown authority" else ca_file
    with Receiver(server_context(authority, name)) as receiver, sink_to(receiver.url, ca_file=trusted) as sink:
        assert sink.deliver([event("e1")]) == [away("tls")]
        with pytest.raises(SinkUnavailableError, match="certificate"):
            sink.check()
        assert receiver.requests == []


def test_unreadable_ca_file_is_reported(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("not PEM")
    for path in (bad, tmp_path / "missing.pem"):
        with sink_to("https://127.0.0.1:9/", ca_file=path) as sink:
            with pytest.raises(SinkUnavailableError, match="PEM"):
                sink.check()
            with pytest.raises(SinkUnavailableError, match="PEM"):
                sink.deliver([event("e1")])


def test_server_that_never_shakes_hands_times_out(ca_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        with sink_to(url, timeout=0.3, ca_file=ca_file) as sink:
            assert sink.deliver([event("e1")]) == [away("timeout")]
            with pytest.raises(SinkUnavailableError, match=r"0\.3 s"):
                sink.check()


def test_server_that_trickles_its_handshake_times_out(ca_file: Path) -> None:
    """Each byte comes in time by itself; only the deadline of the whole ends it."""
    done = threading.Event()

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            # A handshake record of 16 KiB, a byte at a time.
            data = iter(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" + bytes(16_000))
            while not done.wait(0.05):
                try:
                    connection.sendall(bytes([next(data)]))
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        try:
            url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
            with sink_to(url, timeout=0.4, ca_file=ca_file) as sink:
                assert sink.deliver([event("e1")]) == [away("timeout")]
        finally:
            done.set()
            thread.join()


def test_no_timer_outlives_its_request(receiver: Receiver) -> None:
    def timers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]

    with sink_to(receiver.url, timeout=600) as sink:
        sink.deliver([event("e1")])
        sink.check()
        eventually(lambda: not timers(), timers)
        assert len(receiver.requests) == 1
