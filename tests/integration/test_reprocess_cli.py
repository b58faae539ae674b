"""`mailhaul reprocess` with a real ledger and store: an option is changed, and consumers get what follows from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.bench import mail, message_key
from tests.support.service import mailhaul, read_events, write_config

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.s3 import S3Server
    from tests.support.valkey import Valkey

COLOURED = mail("coloured").replace(b"MIME-Version", b"X-Colour: red\r\nMIME-Version")
MAILS = {"plain": mail("plain", attachment=b"%PDF-1.7"), "coloured": COLOURED}
BOX: dict[str, Any] = {
    "id": "invoices",
    "host": "127.0.0.1",
    "tls": "none",
    "enabled": False,
    "auth": {"type": "password", "username": "invoices", "password": "env:POP_SECRET"},
}


def objects(server: S3Server, bucket: str) -> dict[str, bytes]:
    client = server.client()
    listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    found = {one["Key"]: client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed}
    client.close()
    return {key: data for key, data in found.items() if "_state/" not in key}


def configured(folder: Path, valkey: Valkey, server: S3Server, bucket: str) -> Callable[..., None]:
    store = {"url": f"s3://{bucket}", "endpoint": server.endpoint, "path_style": True, "region": "us-east-1"}
    path = write_config(folder, [BOX], ledger=valkey.url, store=store)

    def change(**sections: Any) -> None:
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **sections}))

    return change


def test_changed_option_updates_the_message_that_it_concerns_and_its_purge_leaves_nothing(
    tmp_path: Path, valkey: Valkey, s3_server: S3Server
) -> None:
    valkey.flush()
    bucket = s3_server.make_bucket("reprocessed")
    change = configured(tmp_path, valkey, s3_server, bucket)
    environment = {"POP_SECRET": "secret", **s3_server.environment}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return mailhaul(*arguments, "--config", str(tmp_path / "mailhaul.yaml"), env=environment)

    for name, raw in MAILS.items():
        (tmp_path / f"{name}.eml").write_bytes(raw)
    assert run("import", "--mailbox", "invoices", *(str(tmp_path / f"{name}.eml") for name in MAILS)).returncode == 0
    before = objects(s3_server, bucket)

    change(parse={"headers": ["x-colour"]})
    key = message_key("invoices", COLOURED)
    done = run("reprocess", "--mailbox", "invoices", "--dry-run")
    assert done.stdout == (
        f"{key} in invoices\n  headers.extra.x-colour: nothing -> [red]\n"
        "2 messages read again: 1 would change, 1 unchanged\n"
    ), done.stderr
    assert objects(s3_server, bucket) == before
    done = run("reprocess", "--all", "--json")
    assert (done.returncode, json.loads(done.stdout)["updated"]) == (0, 1)
    events = read_events(tmp_path / "events.jsonl")
    assert [event["type"].split(".")[3] for event in events] == ["received", "received", "updated"]
    assert events[-1]["data"]["update"]["changes"] == [
        {"path": "headers.extra.x-colour", "kind": "changed", "before": None, "after": ["red"]}
    ]
    after = objects(s3_server, bucket)
    (folder,) = {name.rpartition("/")[0] for name in before if f"/{key}/" in name}
    new = {name: data for name, data in after.items() if before.get(name) != data}
    assert new.keys() == {f"{folder}/message.json", f"{folder}/updates/1/previous.json"}
    assert new[f"{folder}/updates/1/previous.json"] == before[f"{folder}/message.json"]
    assert "0 changed, 2 unchanged" in run("reprocess", "--since", "1h").stdout

    assert run("purge", "message", key, "--yes").returncode == 0
    left = {name: len(data) > 0 for name, data in objects(s3_server, bucket).items() if f"/{key}/" in name}
    assert left == {f"{folder}/message.json": True, f"{folder}/raw.eml": False}
    done = run("reprocess", "--all")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (
        0,
        ["1 message skipped: purged, or the manifest cannot be read"],
    )


def test_messages_have_to_be_chosen_and_mailboxes_configured(
    tmp_path: Path, valkey: Valkey, s3_server: S3Server
) -> None:
    valkey.flush()
    configured(tmp_path, valkey, s3_server, "mail")
    environment = {"POP_SECRET": "secret", **s3_server.environment}
    config = ("--config", str(tmp_path / "mailhaul.yaml"))
    for arguments, words in [((), "choose messages"), (("--mailbox", "invoice"), "did you mean invoices?")]:
        done = mailhaul("reprocess", *arguments, *config, env=environment)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
