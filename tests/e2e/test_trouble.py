"""Everything that people and servers do wrong: one clear line each, nothing lost, and the others go on."""

from __future__ import annotations

import json
import ssl
import urllib.request
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from ingest.demo.mails import sample
from ingest.demo.server import DemoServer
from tests.support.servers import free_port, serving
from tests.support.service import Service, mailhaul, read_events, write_config
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What each mailbox below suffers from, as `mailhaul_polls_total` names it.
TROUBLES = {
    "wrong-password": "auth_error",
    "unknown-host": "connect_error",
    "refused": "connect_error",
    "expired": "tls_error",
    "garbage": "protocol_error",
}
MAILS = 4


class _Garbage(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"\x00\xffSSH-2.0-nonsense\r\n" * 3)


@contextmanager
def garbage_server() -> Iterator[int]:
    """A port on which something speaks that is no POP3."""
    with serving(ThreadingTCPServer(("127.0.0.1", 0), _Garbage)) as server:
        yield server.server_address[1]


def expired_context() -> ssl.SSLContext:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    certificate = trustme.CA().issue_cert("127.0.0.1", not_before=yesterday - timedelta(days=9), not_after=yesterday)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def box(
    name: str, port: int, host: str = "127.0.0.1", tls: str = "none", secret: str = "env:SECRET"
) -> dict[str, Any]:
    return {
        "id": name,
        "host": host,
        "port": port,
        "tls": tls,
        "auth": {"type": "password", "username": name, "password": secret},
    }


@contextmanager
def troubled(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """A good mailbox among bad ones."""
    drops = folder / "drops"
    for name in ("good", "wrong-password"):
        (drops / name).mkdir(parents=True)
        for index in range(MAILS):
            (drops / name / f"{index}.eml").write_bytes(sample(index, name).raw)
    with ExitStack() as stack:
        server = stack.enter_context(DemoServer(drops, {"good": "right", "wrong-password": "other"}))
        expired = stack.enter_context(DemoServer(drops, {"expired": "right"}, tls_context=expired_context()))
        garbage = stack.enter_context(garbage_server())
        yield [
            box("good", server.port),
            box("wrong-password", server.port),
            box("unknown-host", 110, host="no-such-host.invalid"),
            box("refused", free_port()),
            box("expired", expired.port, tls="implicit"),
            box("garbage", garbage),
        ]


def broken_webhook() -> dict[str, Any]:
    url = f"http://127.0.0.1:{free_port()}/"
    return {"type": "webhook", "name": "erp", "url": url, "secret": "env:HOOK", "allow_private": True}


ENV = {"SECRET": "right", "HOOK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
    return text


def counted(port: int, series: str) -> bool:
    """Whether a counter has counted anything."""
    values = [line.removeprefix(series) for line in scrape(port).splitlines() if line.startswith(f"{series} ")]
    return any(float(value) >= 1 for value in values)


def logged(service: Service, *words: str) -> bool:
    return any(all(word in line for word in words) for line in service.output.read_text().splitlines())


@pytest.mark.e2e
def test_failing_mailboxes_and_sinks_are_reported_and_delay_no_others(tmp_path: Path) -> None:
    port = free_port()
    with troubled(tmp_path) as mailboxes:
        config = write_config(
            tmp_path,
            mailboxes,
            sinks=[{"type": "jsonl", "path": str(tmp_path / "events.jsonl")}, broken_webhook()],
            metrics={"port": port},
        )
        with Service(config, ENV) as service:
            events = service.wait_for_events(MAILS)
            assert {event["data"]["mailbox"]["id"] for event in events} == {"good"}
            poller, relay = port + 1, port + 3
            for name, result in TROUBLES.items():
                series = f'mailhaul_polls_total{{mailbox="{name}",result="{result}"}}'
                eventually(partial(counted, poller, series), f"no {series}")
                eventually(partial(logged, service, name, result), f"no log line for {name}")
            eventually(
                lambda: (
                    'mailhaul_events_published_total{result="unavailable",sink="erp"} 0.0' not in scrape(relay)
                    and 'sink="erp"' in scrape(relay)
                ),
                "the broken webhook is not counted",
            )
            assert service.stop() == 0
        output = service.output.read_text()
        assert "Traceback" not in output
        for private in ("right", ENV["HOOK"], "@example"):
            assert private not in output


@pytest.mark.e2e
def test_check_prints_one_line_per_problem(tmp_path: Path) -> None:
    with troubled(tmp_path) as mailboxes:
        config = write_config(tmp_path, mailboxes, sinks=[broken_webhook()])
        done = mailhaul("check", "--config", str(config), "--json", env=ENV)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["good"]["ok"]
    for name in (*TROUBLES, "erp"):
        assert not findings[name]["ok"]
        assert "\n" not in findings[name]["detail"]
        assert len(findings[name]["detail"]) > 20


@pytest.mark.e2e
def test_drain_ingests_what_it_can_and_exits_1_if_a_mailbox_failed(tmp_path: Path) -> None:
    with troubled(tmp_path) as mailboxes:
        config = write_config(tmp_path, mailboxes)
        done = mailhaul("drain", "--config", str(config), "--json", env=ENV)
        assert done.returncode == 1, done.stderr
        report = json.loads(done.stdout)
        rows = {row["mailbox"]: row for row in report["mailboxes"]}
        assert rows["good"]["result"] == "success"
        assert {name: rows[name]["result"] for name in TROUBLES} == TROUBLES
        assert len(read_events(tmp_path / "events.jsonl")) == MAILS

        config = write_config(tmp_path, mailboxes[:1])
        again = mailhaul("drain", "--config", str(config), "--json", env=ENV)
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["totals"]["new"] == 0
        assert len(read_events(tmp_path / "events.jsonl")) == MAILS


@pytest.mark.e2e
def test_yaml_mistake_is_one_line_with_file_path_and_remedy(tmp_path: Path) -> None:
    config = tmp_path / "mailhaul.yaml"
    config.write_text(
        "store: file:///tmp/x\nledger: embedded\nmailboxes:\n  - id: a\n    host: pop.example.org\n    prot: 995\n"
    )
    for command in (["check"], ["drain"], ["up"], ["status"]):
        done = mailhaul(*command, "--config", str(config))
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        (line,) = [line for line in done.stderr.splitlines() if "prot" in line]
        assert str(config) in line
        assert "mailboxes[0].prot" in line
        assert "port" in line.replace("prot", "")
