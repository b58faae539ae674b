"""Conditions of sinks, from the configuration to the receiver."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.habits import HABITS
from tests.support.service import mailhaul, read_events, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dovecot import Dovecot
    from tests.support.valkey import Valkey

pytestmark = pytest.mark.dovecot
INVOICES = "event == 'received' && documents.exists(d, d.kind == 'invoice')"
SENT = ("plain-pdf", "xml-invoice", "bounce-of-postfix", "hybrid-pdf")


@pytest.fixture
def config(tmp_path: Path, valkey: Valkey, dovecot_server: Dovecot) -> Path:
    valkey.flush()
    if not dovecot_server.has_user("rules"):
        dovecot_server.add_user("rules", "secret")
        for habit in HABITS:
            if habit.name in SENT:
                dovecot_server.deliver("rules", habit.raw)
    return written(tmp_path, valkey, dovecot_server, INVOICES)


def written(folder: Path, valkey: Valkey, dovecot: Dovecot, where: str) -> Path:
    auth = {"type": "password", "username": "rules", "password": "env:POP_SECRET"}
    box = {"id": "rules", "host": "127.0.0.1", "port": dovecot.pop3_port, "tls": "none", "auth": auth}
    sinks = [
        {"type": "jsonl", "name": "all", "path": str(folder / "all.jsonl")},
        {"type": "jsonl", "name": "invoices", "path": str(folder / "invoices.jsonl"), "where": where},
    ]
    return write_config(folder, [box], ledger=valkey.url, sinks=sinks)


def run(*arguments: str, config: Path) -> tuple[int, str, str]:
    done = mailhaul(*arguments, "--config", str(config), env={"POP_SECRET": "secret"})
    return done.returncode, done.stdout, done.stderr


def test_sink_gets_the_events_that_fulfil_its_condition(config: Path, tmp_path: Path) -> None:
    code, _, errors = run("drain", config=config)
    assert code == 0, errors
    assert len(read_events(tmp_path / "all.jsonl")) == 4
    kinds = [
        {document["kind"] for document in event["data"]["documents"]}
        for event in read_events(tmp_path / "invoices.jsonl")
    ]
    assert len(kinds) == 2
    assert all("invoice" in each for each in kinds)

    code, printed, errors = run("rules", "test", "--since", "30d", "--json", config=config)
    assert code == 0, errors
    found = json.loads(printed)["sink:invoices"]
    assert (found["matched"], found["others"], found["failed"], len(found["examples"])) == (2, 2, 0, 2)

    code, printed, errors = run("rules", "test", "--where", "automatic != null", config=config)
    assert code == 0, errors
    assert printed.split()[:7] == ["matched", "others", "failed", "--where", "1", "3", "0"]

    code, printed, errors = run("rules", "test", "--where", "documents.exists(d, d.knd == 'x')", config=config)
    assert code == 0, errors
    assert '  4 failed: Key not found in map : "knd"\nWhere a condition fails, its rule applies' in printed

    code, printed, errors = run("rules", "test", "--mailbox", "none", config=config)
    assert (code, printed) == (0, "")
    assert "no message is stored" in errors

    code, printed, errors = run("replay", "--all", "--sink", "invoices", config=config)
    assert code == 0, errors
    assert printed == "2 events went to invoices\n2 events are not for invoices (`where`, `quarantined`)\n"


def test_wrong_condition_is_reported_with_its_place(
    config: Path, tmp_path: Path, valkey: Valkey, dovecot_server: Dovecot
) -> None:
    code, _, errors = run("rules", "test", "--where", "subject == 'x'", config=config)
    assert code == 2
    assert "--where: line 1, column 1: undeclared reference to 'subject'" in errors
    wrong = written(tmp_path, valkey, dovecot_server, "true &&")
    code, _, errors = run("drain", config=wrong)
    assert code == 2
    assert "sinks[1].where: line 1, column 8: Syntax error" in errors


def test_message_in_quarantine_waits_until_it_is_handed_on(config: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(config.read_text())
    values["rules"] = [
        {"name": "label", "when": "documents.exists(d, d.kind == 'invoice')", "labels": ["invoice"]},
        {"name": "hold", "when": "'invoice' in labels", "quarantine": True},
    ]
    values["sinks"].append({"type": "jsonl", "name": "held", "path": str(tmp_path / "held"), "quarantined": "only"})
    config.write_text(yaml.safe_dump(values))
    code, _, errors = run("drain", config=config)
    assert code == 0, errors
    assert len(read_events(tmp_path / "all.jsonl")) == 2
    held = [event["data"] for event in read_events(tmp_path / "held")]
    assert [(data["labels"], data["quarantine"]) for data in held] == [(["invoice"], {"rule": "hold"})] * 2

    code, printed, errors = run("rules", "test", "--json", config=config)
    assert code == 0, errors
    found = {name: each["matched"] for name, each in json.loads(printed).items()}
    assert found == {"rule:label": 2, "rule:hold": 2, "sink:invoices": 0, "sink:held": 2}

    assert "2 messages of the last 30 days are in quarantine" in run("status", config=config)[1]

    code, printed, errors = run("replay", "--all", "--sink", "all", "--quarantined", config=config)
    assert code == 0, errors
    assert "quarantine" not in run("status", config=config)[1]
    assert printed == "2 events went to all\n2 events are not for all (`where`, `quarantined`)\n"
    assert len(read_events(tmp_path / "all.jsonl")) == 4


def test_wrong_rule_is_reported_with_its_place(config: Path) -> None:
    values = yaml.safe_load(config.read_text())
    values["rules"] = [{"name": "x", "when": "size(attachments) > 'x'", "labels": ["x"]}]
    config.write_text(yaml.safe_dump(values))
    code, _, errors = run("rules", "test", config=config)
    assert code == 2
    assert "rules[0].when: line 1, column 19" in errors
