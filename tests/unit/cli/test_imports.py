"""What a command imports: starting it must not cost what it does not use."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# Prints the modules that are imported when the command has ended.
_PROGRAM = """
import sys
from ingest.cli import main
sys.argv[0] = "mailhaul"
try:
    main()
except SystemExit as exit:
    assert not exit.code, exit.code
print(*sys.modules, sep="\\n", file=sys.stderr)
"""
_START = {"ingest", "ingest.cli", "ingest.errors"}
_UNUSED = ("authlib", "boto3", "botocore", "celery", "confluent_kafka", "joserfc", "kombu", "requests", "workers")
_UNUSED_OURS = ("ingest.demo", "ingest.testing", "ingest.adapters.tokens", "ingest.adapters.tracing")


def imported(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.split())


def of(modules: set[str], *packages: str) -> set[str]:
    return {name for name in modules if name.startswith(tuple(f"{package}." for package in packages))} | (
        modules & set(packages)
    )


@pytest.mark.parametrize("arguments", [["--version"], ["version"], ["--help"], ["failed", "--help"]])
def test_version_and_help_import_the_command_line_alone(arguments: list[str]) -> None:
    modules = imported(*arguments)
    ours = {name for name in of(modules, "ingest", "workers") if not name.startswith("ingest.cli.")}
    assert ours == _START
    assert not of(modules, *_UNUSED, "redis", "structlog", "yaml")  # typer itself imports pydantic


def imported_by(program: str) -> set[str]:
    program += "\nimport sys\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("command", ["check", "drain"])
def test_check_and_drain_import_only_what_their_configuration_needs(
    command: str, form: list[str], tmp_path: Path
) -> None:
    config = tmp_path / "mailhaul.yaml"
    config.write_text(
        f"store: file://{tmp_path}/store\n"
        f"ledger: {{embedded: {tmp_path}/ledger}}\n"
        f"sinks: [{{type: jsonl, path: {tmp_path}/events.jsonl}}]\n"
    )
    modules = imported(command, "--config", str(config), *form)
    assert "ingest.adapters.sinks.jsonl" in modules
    assert not of(modules, *_UNUSED, *_UNUSED_OURS, "ingest.adapters.sinks.amqp", "ingest.adapters.sinks.webhook")
    assert "ingest.admin.purge" not in modules
    assert not modules & {"ingest.cli.listings", "ingest.cli.screen", "ingest.cli.tree"}
    # structlog and redis import these themselves where they are installed; our code adds nothing to them.
    optional = ("rich", "pygments", "opentelemetry")
    assert of(modules, *optional) <= of(imported_by("import redis, structlog, typer"), *optional)


def test_parse_as_json_draws_nothing(tmp_path: Path) -> None:
    mail = tmp_path / "a.eml"
    mail.write_bytes(b"Subject: hello\r\n\r\nhello\r\n")
    modules = imported("parse", "--json", str(mail))
    assert not modules & {"ingest.cli.tree", "ingest.cli.screen"}
    assert "redis" not in modules
