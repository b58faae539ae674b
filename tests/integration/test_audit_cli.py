"""`mailhaul audit` with a real ledger and a real S3 server: whatever is tampered with is found, and nothing else."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from ingest.adapters.signing import load_public_key
from ingest.config import ConfigSource
from ingest.demo.mails import Kind, sample
from ingest.demo.server import DemoServer
from ingest.metrics import Metrics
from ingest.ports.wakeups import NoWakeups
from ingest.wiring.build import build
from tests.support.audited import OTHER, SECRET, private, public
from tests.support.service import mailhaul, write_config

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from ingest.domain.statement import Statement
    from tests.support.s3 import S3Server
    from tests.support.valkey import Valkey

MAILS = 3
KEY_ID = load_public_key(public(SECRET), "test").key_id


@dataclass
class Archive:
    """A mailbox that was drained into a bucket."""

    config: Path
    bucket: str
    client: S3Client
    env: dict[str, str]
    ledger: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return mailhaul(*arguments, "--config", str(self.config), env=self.env)

    def write_in(self, days: int) -> list[Statement]:
        """Write the statements that are due in so many days, as if the clocks of machine and store showed that."""
        runtime = build(ConfigSource(self.config, self.env), self.ledger, Metrics(), NoWakeups())
        runtime.now = lambda: datetime.now(UTC) + timedelta(days=days)
        try:
            writer = replace(runtime.statements, store_time=lambda: runtime.now().timestamp())
            written = list(writer.write(runtime.mailboxes().values(), lambda: False))
        finally:
            runtime.close()
        assert all(one.error is None for one in written)
        return [one.statement for one in written if one.statement is not None]

    def verify(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        done = self.run("audit", "verify", "--json", *arguments)
        assert "Traceback" not in done.stderr
        [report] = json.loads(done.stdout)
        return done.returncode, report

    def found(self) -> set[tuple[str, str]]:
        code, report = self.verify()
        assert code == (1 if report["findings"] else 0)
        return {(one["kind"], one["where"].rpartition("/")[2]) for one in report["findings"]}

    def keys(self, end: str) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=self.bucket)["Contents"]
        return sorted(one["Key"] for one in listed if one["Key"].endswith(end))

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)


@pytest.fixture
def archive(tmp_path: Path, valkey: Valkey, s3_server: S3Server) -> Iterator[Archive]:
    valkey.flush()
    bucket = s3_server.make_bucket(f"audit-{tmp_path.name[-20:].strip('_').replace('_', '-').lower()}")
    drop = tmp_path / "drops" / "invoices"
    drop.mkdir(parents=True)
    for index in range(MAILS):
        (drop / f"{index}.eml").write_bytes(sample(index, "invoices", Kind.PDF_INVOICE).raw)
    for name, key in (("audit", SECRET), ("other", OTHER)):
        (tmp_path / f"{name}.pem").write_text(private(key))
        (tmp_path / f"{name}-public.pem").write_text(public(key))
    with DemoServer(tmp_path / "drops", {"invoices": "right"}) as server, closing(s3_server.client()) as client:
        auth = {"type": "password", "username": "invoices", "password": "env:SECRET"}
        box = {"id": "invoices", "host": "127.0.0.1", "port": server.port, "tls": "none", "auth": auth}
        store = {**s3_server.store(bucket), "access_key": "env:ACCESS", "secret_key": "env:SECRET_KEY"}
        config = write_config(
            tmp_path, [box], ledger=valkey.url, store=store, audit={"key": f"file:{tmp_path}/audit.pem"}
        )
        owner = s3_server.owner
        env = {"SECRET": "right", "ACCESS": owner.access_key, "SECRET_KEY": owner.secret_key}
        made = Archive(config, bucket, client, env, valkey.url)
        assert made.run("drain").returncode == 0
        yield made


def test_each_kind_of_tampering_is_found_on_a_real_server(archive: Archive) -> None:
    first = archive.run("audit", "write")
    assert (first.returncode, first.stderr) == (0, "")
    assert ": nothing; sha256 " in first.stdout  # about yesterday; the mail came today
    # A day is written an hour after its end (`grace`): in the hour after midnight there is one statement fewer.
    of_mail, after, *_ = dropwhile(lambda one: not one.counts, archive.write_in(3))
    assert of_mail.counts["stored"] == of_mail.counts["processed"] == MAILS
    code, report = archive.verify("--key", str(archive.config.parent / "audit-public.pem"))
    assert (code, report["messages"], report["findings"]) == (0, MAILS, [])
    assert report["objects"] >= 4 * MAILS

    attachment, manifest = archive.keys(".pdf")[0], archive.keys("/message.json")[0]
    entries = archive.keys(".jsonl")[0]
    kept = {key: archive.get(key) for key in (attachment, manifest, entries)}
    about_mail, about_after = (
        archive.keys(f"_audit/invoices/{one.day:%Y/%m/%d}.json")[0] for one in (of_mail, after)
    )
    kept |= {key: archive.get(key) for key in (about_mail, about_after)}

    def restore() -> None:
        for key, content in kept.items():
            archive.put(key, content)

    name = attachment.rpartition("/")[2]
    archive.delete(attachment)
    assert archive.found() == {("missing", name)}
    archive.put(attachment, kept[attachment][::-1])
    assert archive.found() == {("altered", name)}
    restore()
    archive.put(manifest, kept[manifest].replace(b"mailhaul.message/", b"mailhaul.massage/"))
    assert ("altered", "message.json") in archive.found()
    restore()
    extra = manifest.replace("message.json", "attachments/9-extra.pdf")
    archive.put(extra, b"%PDF")
    assert archive.found() == {("added", "9-extra.pdf")}
    archive.delete(extra)
    archive.delete(about_mail)  # a statement, with what it says of its messages
    assert ("missing", str(of_mail.day)) in archive.found()
    restore()
    archive.put(about_mail, kept[about_mail].replace(b'"stored":3', b'"stored":2'))
    assert {kind for kind, _ in archive.found()} == {"signature", "altered"}
    restore()
    archive.write_in(4)
    archive.delete(about_after)  # a day without mail
    assert archive.found() == {("missing", str(after.day))}
    restore()
    assert archive.found() == set()


def test_statements_are_shown_to_people_and_programs(archive: Archive) -> None:
    archive.write_in(2)
    days = archive.run("audit", "show", "--json").stdout.splitlines()
    [day] = [one["day"] for one in map(json.loads, days) if one["counts"]]
    assert archive.run("audit", "show").stdout.split("\n")[2].split() == [
        *(day, "3", "3", "3", "0", "0", "0", "0", "3", "0", KEY_ID),  # the watermark is that of the drain
    ]
    one = archive.run("audit", "show", "--mailbox", "invoices", "--day", day, "--entries")
    assert one.returncode == 0
    assert f"Statement about {day} (UTC), mailbox invoices" in one.stdout
    assert "3 listed, 0 of them not fetched" in one.stdout
    assert one.stdout.count("stored processed") == MAILS
    missing = archive.run("audit", "show", "--day", "2001-01-01")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no statement about 2001-01-01" in missing.stderr


def recorded(archive: Archive) -> set[str]:
    """What the ledger has about runs, for the alert."""
    with closing(Redis.from_url(archive.ledger, decode_responses=True)) as client:
        return {str(name) for key in client.keys("*:tasks") for name in client.hkeys(key)}


def test_keys_days_and_mailboxes_that_cannot_be_used_are_named(archive: Archive) -> None:
    folder = archive.config.parent
    (folder / "audit.pem").write_text("not a key")
    done = archive.run("audit", "write")
    assert (done.returncode, "is no Ed25519 private key" in done.stderr) == (1, True)
    assert "not a key" not in done.stderr + done.stdout
    assert recorded(archive) == {"statements:unfinished"}
    (folder / "audit.pem").write_text(private(SECRET))
    assert archive.run("audit", "write").returncode == 0
    assert recorded(archive) == {"statements:succeeded"}
    archive.write_in(2)
    code, report = archive.verify("--key", str(folder / "other-public.pem"))
    assert (code, {one["kind"] for one in report["findings"]}) == (1, {"signature"})
    for arguments, words in (
        (["verify", "--key", str(folder / "nowhere.pem")], "nowhere.pem: cannot be read"),
        (["verify", "--key", str(archive.config)], "is no Ed25519 public key"),
        (["verify", "--since", "yesterday"], "--since yesterday: write a day"),
        (["show", "--mailbox", "invoice"], "did you mean invoices?"),
    ):
        done = archive.run("audit", *arguments)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
