"""The commands that need no service: their output, and exit codes that mean something."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

import jsonschema
import pytest

from ingest.demo.mails import Kind, sample
from tests.support.service import mailhaul

if TYPE_CHECKING:
    from pathlib import Path


def test_parse_prints_one_manifest_a_line(tmp_path: Path) -> None:
    mails = [sample(index, "m", kind) for index, kind in enumerate((Kind.PDF_INVOICE, Kind.FORWARDED))]
    files = []
    for index, made in enumerate(mails):
        files.append(tmp_path / f"{index}.eml")
        files[-1].write_bytes(made.raw)
    done = mailhaul("parse", "--json", *map(str, files))
    assert done.returncode == 0, done.stderr
    manifests = [json.loads(line) for line in done.stdout.splitlines()]
    for made, manifest in zip(mails, manifests, strict=True):
        named = {attachment["filename"] for attachment in manifest["attachments"]}
        assert {attachment.filename for attachment in made.attachments} <= named


def test_parse_extracts_attachments_byte_for_byte(tmp_path: Path) -> None:
    made = sample(0, "m", Kind.ZIP_INVOICES)
    (tmp_path / "a.eml").write_bytes(made.raw)
    done = mailhaul("parse", str(tmp_path / "a.eml"), "--extract", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    (attachment,) = made.attachments
    assert attachment.filename in done.stdout
    written = [each.read_bytes() for each in sorted((tmp_path / "out").iterdir())]
    assert attachment.content in written
    with zipfile.ZipFile(io.BytesIO(attachment.content)) as archive:
        assert all(archive.read(name) in written for name in archive.namelist())


def test_parse_reports_an_unreadable_file_and_reads_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(sample(0, "m").raw)
    done = mailhaul("parse", "--json", str(tmp_path / "missing.eml"), str(tmp_path / "a.eml"))
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 1
    (line,) = done.stderr.splitlines()
    assert "missing.eml" in line
    assert "no such file" in line


def test_config_schema_is_a_valid_json_schema() -> None:
    done = mailhaul("config", "schema")
    assert done.returncode == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(done.stdout))


@pytest.mark.parametrize("command", ["drain", "check", "status", "up"])
def test_missing_configuration_is_reported_in_one_line(command: str, tmp_path: Path) -> None:
    done = mailhaul(command, "--config", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "none.yaml" in line


def test_check_rejects_an_unconfigured_mailbox(tmp_path: Path) -> None:
    config = tmp_path / "mailhaul.yaml"
    config.write_text(f"store: file://{tmp_path}/store\nledger: embedded\n")
    done = mailhaul("check", "--config", str(config), "nobody")
    assert done.returncode == 2
    assert "nobody" in done.stderr


def test_status_of_an_empty_ledger(tmp_path: Path) -> None:
    config = tmp_path / "mailhaul.yaml"
    config.write_text(f"store: file://{tmp_path}/store\nledger: embedded\n")
    done = mailhaul("status", "--config", str(config), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {
        "open": 0,
        "failed": 0,
        "events": 0,
        "dead_letters": 0,
        "quarantined": 0,
    }


def test_second_up_on_the_same_ledger_exits_with_2(tmp_path: Path) -> None:
    from ingest.adapters.ledger.embedded import EmbeddedLedger  # noqa: PLC0415 - only here

    config = tmp_path / "mailhaul.yaml"
    config.write_text(f"store: file://{tmp_path}/store\nledger: {{embedded: {tmp_path}/ledger}}\n")
    with EmbeddedLedger(tmp_path / "ledger"):
        done = mailhaul("up", "--config", str(config))
    assert done.returncode == 2
    assert "another Mailhaul" in done.stderr
