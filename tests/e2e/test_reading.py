"""The sections `parse` and `scan` from configuration to event: a real clamd, a trusted mail server, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingest.adapters.dkim.keys import PublishedKeys
from ingest.config import ConfigSource
from ingest.demo.server import DemoServer
from ingest.metrics import Metrics
from ingest.testing.wakeups import MemoryWakeups
from ingest.wiring.build import build
from tests.support.clamav import FILE_MAX, SIGNATURE, VIRUS, Clamd
from tests.support.service import mailhaul, read_events, write_config

if TYPE_CHECKING:
    from pathlib import Path

ENV = {"SECRET": "right"}


def mail(subject: str, *attachments: bytes) -> bytes:
    said = b"dmarc=pass header.from=shop.example"
    fields = [
        *(b"Authentication-Results: %s; %s" % (server, said) for server in (b"mx.example.org", b"mx.google.com")),
        b"Subject: " + subject.encode(),
        b'Content-Type: multipart/mixed; boundary="b"',
    ]
    parts = [b"\r\n--b\r\nContent-Type: application/pdf\r\n\r\n" + content for content in attachments]
    return (
        b"\r\n".join(fields)
        + b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello."
        + b"".join(parts)
        + b"\r\n--b--\r\n"
    )


def drained(folder: Path, mails: list[bytes], **sections: Any) -> dict[str, Any]:
    """What the events say of these mails, by subject, after one `mailhaul drain`."""
    drop = folder / "drops" / "in"
    drop.mkdir(parents=True, exist_ok=True)
    for number, raw in enumerate(mails, len(list(drop.iterdir()))):
        (drop / f"{number}.eml").write_bytes(raw)
    with DemoServer(folder / "drops", {"in": "right"}) as server:
        auth = {"type": "password", "username": "in", "password": "env:SECRET"}
        box = {"id": "in", "host": "127.0.0.1", "port": server.port, "tls": "none", "auth": auth}
        config = write_config(folder, [{**box, "authserv_id": "mx.example.org"}], **sections)
        done = mailhaul("drain", "--config", str(config), env=ENV)
        assert done.returncode == 0, done.stderr + done.stdout
    return {event["data"]["headers"]["subject"]: event["data"] for event in read_events(folder / "events.jsonl")}


@pytest.mark.e2e
def test_infected_attachment_is_quarantined_and_a_stopped_clamd_delays_nothing(
    tmp_path: Path, own_clamd: Clamd
) -> None:
    scan = {"url": own_clamd.tcp_url, "policy": "quarantine", "max_bytes": FILE_MAX // 2}
    sent = mail("first", b"%PDF-1.4 harmless", b"%PDF-1.4 " + VIRUS, b"%PDF-1.4" + bytes(FILE_MAX))
    data = drained(tmp_path, [sent], scan=scan)["first"]
    assert [attachment["scan"] for attachment in data["attachments"]] == [
        {"status": "clean", "signature": None},
        {"status": "infected", "signature": SIGNATURE},
        {"status": "unscanned", "signature": None},
    ]
    assert data["scan"] == {"status": "infected", "infected": 1, "unscanned": 1}
    folder = tmp_path / "store" / data["manifest"].rpartition("/")[0]
    assert [path.name for path in (folder / "quarantine").iterdir()] == ["3-part-3.pdf"]
    assert (folder / "quarantine/3-part-3.pdf").read_bytes() == b"%PDF-1.4 " + VIRUS
    assert sorted(path.name for path in (folder / "attachments").iterdir()) == ["2-part-2.pdf", "4-part-4.pdf"]
    assert (folder / "raw.eml").read_bytes() == sent

    own_clamd.stop()
    data = drained(tmp_path, [mail("second", b"%PDF-1.4 " + VIRUS)], scan=scan)["second"]
    assert data["parse"]["status"] == "complete"
    assert data["scan"] == {"status": "unscanned", "infected": 0, "unscanned": 1}


@pytest.mark.e2e
def test_only_results_of_the_own_mail_server_count_and_limits_apply(tmp_path: Path) -> None:
    data = drained(tmp_path, [mail("s", *[b"%PDF"] * 5)], parse={"parts": 3})["s"]
    assert data["authentication"]["authserv_id"] == "mx.example.org"
    (result,) = data["authentication"]["results"]
    assert result == {"method": "dmarc", "result": "pass", "properties": {"header.from": "shop.example"}}
    assert data["authentication"]["dkim_verified"] is None
    assert data["scan"] is None
    parsed = data["parse"]
    assert (parsed["status"], parsed["defects"], parsed["reason"]) == ("partial", ["parts_limit"], None)
    assert parsed["skipped"].keys() == {"parts_limit"}
    assert len(data["attachments"]) == 2


def test_dkim_is_verified_only_if_enabled(tmp_path: Path) -> None:
    for dkim in (False, True):
        config = write_config(tmp_path, [], parse={"dkim": dkim, "dkim_bytes": "1MiB"})
        runtime = build(ConfigSource(config, {}), "redis://127.0.0.1:1/0", Metrics(), MemoryWakeups())
        assert isinstance(runtime.processor.authenticator.keys, PublishedKeys) == dkim
        assert runtime.processor.authenticator.dkim_bytes == 2**20
        runtime.close()


def test_check_contacts_the_scanner(tmp_path: Path, own_clamd: Clamd) -> None:
    config = write_config(tmp_path, [], scan=own_clamd.unix_url)
    done = mailhaul("check", "--json", "--config", str(config))
    assert done.returncode == 0, done.stdout
    own_clamd.stop()
    done = mailhaul("check", "--json", "--config", str(config))
    assert done.returncode == 1
    assert "clamd does not answer" in done.stdout
