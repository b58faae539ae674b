"""What the how-tos say is complete, and what they show works."""

from __future__ import annotations

import base64
import hmac
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest.adapters.sinks.signature import signature_headers, signing_key
from ingest.config.load import load

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs" / "howto"
ADD_A_SINK = (HOWTO / "add-a-sink.md").read_text()
# The newest kind of sink, and where its name stands that is not part of adding one.
EXAMPLE = "kafka"
ELSEWHERE = {
    "docs/howto/add-a-sink.md",
    "docs/howto/consume-events.md",
    "tests/support/kafka-pom.xml",
    "tests/unit/test_howto.py",
    # what the tests and benchmarks install, and in which order
    "CONTRIBUTING.md",
    # kinds of sink that a benchmark compares
    "tests/benchmarks/relay.py",
    # libraries that the image contains
    "tests/deploy/test_image_run.py",
    # libraries that no command imports unasked
    "tests/unit/cli/test_imports.py",
}
SEARCHED = ("docs", "examples", "helm", "ingest", "tests", "tools", "workers")


def _named() -> set[str]:
    """Every file that the checklist names, for the example."""
    names = re.findall(r"`((?:[\w.-]+/)*[\w.-]+)`", ADD_A_SINK.partition("## Checklist")[2])
    return {name.replace("NAME", EXAMPLE) for name in names}


def _files() -> list[Path]:
    found = [path for folder in SEARCHED for path in (ROOT / folder).rglob("*")]
    found += [*ROOT.glob("[!.]*"), *ROOT.glob("requirements/*.txt")]
    return [path for path in found if path.is_file()]


def test_the_checklist_for_a_sink_names_every_file_that_knows_one() -> None:
    knowing = set()
    for path in _files():
        if "__pycache__" in path.parts or path.suffix in {".png", ".eml"}:
            continue
        if EXAMPLE in path.read_text(encoding="utf-8", errors="replace").lower():
            knowing.add(str(path.relative_to(ROOT)))
    assert sorted(knowing - _named() - ELSEWHERE) == []


def test_the_checklist_for_a_sink_names_existing_files() -> None:
    paths = {name for name in _named() if "/" in name}
    assert not sorted(name for name in paths if not (ROOT / name).exists())


@pytest.mark.parametrize("sink", re.findall(r"`(\{type: .*?\})`", (HOWTO / "consume-events.md").read_text()))
def test_sinks_in_the_how_to_for_consumers_are_valid(sink: str, tmp_path: Path) -> None:
    config = {"store": "file:///store", "ledger": "embedded", "sinks": [yaml.safe_load(sink)], "mailboxes": []}
    path = tmp_path / "mailhaul.yaml"
    path.write_text(yaml.safe_dump(config))
    assert load(path, {}).sinks


def test_the_configuration_in_the_quick_start_is_valid(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "quickstart.md").read_text(), re.DOTALL)
    assert found is not None
    path = tmp_path / "mailhaul.yaml"
    path.write_text(found[1])
    assert load(path, {}).mailboxes


@pytest.mark.parametrize(("changed", "refused"), [({}, False), ({"body": b"other"}, True), ({"at": 301}, True)])
def test_the_check_of_a_webhooks_signature_takes_what_is_signed_and_nothing_else(
    changed: dict[str, Any],
    refused: bool,  # noqa: FBT001 - parametrized
) -> None:
    (code,) = re.findall(r"```python\n(key = .*?)```", (HOWTO / "consume-events.md").read_text(), re.DOTALL)
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    headers = signature_headers(signing_key(secret), "0f" * 16, int(time.time()) - changed.get("at", 0), b"{}")
    answers: list[int] = []
    scope = {"secret": secret, "headers": headers, "body": changed.get("body", b"{}"), "answers": answers}
    exec(code.replace("...", "answers.append(401)"), {"base64": base64, "hmac": hmac, "time": time, **scope})  # noqa: S102 - our own page
    assert answers == ([401] if refused else [])
