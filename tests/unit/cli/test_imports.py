"""What a command imports: starting it must not cost what it does not use."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ingest.cli.common import UNUSABLE
from ingest.cli.processes import run_alone
from tests.support.servers import free_port
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

# Prints the modules that are imported when the command has ended.
_PROGRAM = """
import sys
from ingest.cli import main
sys.argv[0] = "mailhaul"
expected = int(sys.argv.pop(1))
try:
    main()
except SystemExit as exit:
    code = exit.code if isinstance(exit.code, int | None) else 1
    assert (code or 0) == expected, exit.code
print(*sys.modules, sep="\\n", file=sys.stderr)
"""
# The last two for the choices of `import --mbox`.
_START = {"ingest", "ingest.cli", "ingest.errors", "ingest.mailfiles", "ingest.mailfiles.mbox"}
_UNUSED = ("authlib", "boto3", "botocore", "celery", "confluent_kafka", "joserfc", "kombu", "requests", "workers")
# Each takes a start 30 to 100 ms, and what needs it is not done, or not yet done, when a process starts.
_HEAVY = (
    *("asn1crypto", "chardet", "cryptography.hazmat", "dns", "olefile", "opentelemetry.sdk", "pydantic_settings"),
    *("pygments", "rich.console", "scramp", "urllib3"),
)
# The models of what a message contains: of these processors alone make any, and others when they have to.
_CONTENT = tuple(f"ingest.domain.{name}" for name in ("cloudevents", "invoice", "mail", "manifest", "marks"))
_UNUSED_OURS = (
    "ingest.adapters.ledger.cluster",
    "ingest.demo",
    "ingest.testing",
    "ingest.adapters.tokens",
    "ingest.adapters.tracing",
)


def imported(*arguments: str, code: int = 0) -> set[str]:
    program = [sys.executable, "-c", _PROGRAM, str(code), *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=PATIENCE)
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
    assert not of(modules, *_HEAVY, "rich", "python_socks")


def test_parse_as_json_draws_nothing(tmp_path: Path) -> None:
    mail = tmp_path / "a.eml"
    mail.write_bytes(b"Subject: hello\r\n\r\nhello\r\n")
    modules = imported("parse", "--json", str(mail))
    assert not modules & {"ingest.cli.tree", "ingest.cli.screen"}
    assert "redis" not in modules


def test_health_imports_neither_models_nor_a_client(tmp_path: Path) -> None:
    config = tmp_path / "mailhaul.yaml"
    config.write_text(f"store: file:///s\nledger: embedded\nmetrics: {{port: {free_port()}}}\n")
    modules = imported("health", "--config", str(config), code=1)
    ours = {name for name in of(modules, "ingest", "workers") if name not in _START}
    assert ours == {
        "ingest.cli.health",
        "ingest.config",
        *(f"ingest.config.{name}" for name in ("document", "environment", "loaders", "metrics_address")),
    }
    assert not of(modules, *_UNUSED, *_HEAVY, "pydantic", "redis", "structlog", "typer", "http", "email", "ssl")


@pytest.mark.parametrize(
    "command",
    [["worker", "poll"], ["worker", "process"], ["worker", "relay"], ["scheduler"], ["exporter"]],
    ids=" ".join,
)
def test_process_of_the_service_starts_without_the_command_line(command: list[str]) -> None:
    """That would be a third of the CPU of its start."""
    modules = imported_by(
        "import sys, types, workers\n"
        "for module in ('lifecycle', 'worker'):\n"
        "    setattr(workers, module, types.ModuleType(f'workers.{module}'))\n"
        "    sys.modules[f'workers.{module}'] = getattr(workers, module)\n"
        "    for name in ('import_stage', 'run_worker', 'run_scheduler', 'run_exporter'):\n"
        "        setattr(getattr(workers, module), name, lambda *given: print(given[-1]))\n"
        "from ingest.cli import main\n"
        f"sys.argv = ['mailhaul', *{command}, '--config', 'the-configuration']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    assert "the-configuration" in modules
    assert "ingest.cli.processes" in modules
    assert not of(modules, "typer", "ingest.cli.app", "ingest.cli.common", "ingest.cli.supervisor")


@pytest.mark.parametrize("wrong", [["--config"], ["--config", "a", "b"], ["--nonsense"], ["--help"]], ids=" ".join)
@pytest.mark.parametrize("command", [["worker", "poll"], ["scheduler"]], ids=" ".join)
def test_other_arguments_of_a_process_are_left_to_the_command_line(command: list[str], wrong: list[str]) -> None:
    run_alone([*command, *wrong])


def test_mistake_in_a_process_is_printed_as_by_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAILHAUL_DEBUG", raising=False)
    with pytest.raises(SystemExit) as ended:
        run_alone(["scheduler", "--config", str(tmp_path / "missing.yaml")])
    assert ended.value.code == UNUSABLE
    assert capsys.readouterr().err.startswith("error: ")


def test_processes_start_without_what_only_some_configurations_need() -> None:
    modules = imported_by(
        "from ingest.cli.importing import fast_imports\n"
        "with fast_imports():\n    import workers.exporter, workers.schedule, workers.worker"
    )
    unused = [name for name in _UNUSED if name not in {"celery", "kombu", "workers"}]
    assert not of(modules, *unused, *_UNUSED_OURS, *_HEAVY, "colorama", "python_socks", "rich", "typer")


def test_processes_scan_no_packages_for_plugins_while_they_import() -> None:
    modules = imported_by(
        "from importlib import metadata\n"
        "from ingest.cli.importing import fast_imports, without_plugins\n"
        "metadata.distributions = lambda **_: 1 / 0\n"
        "real = metadata.entry_points\n"
        "with fast_imports(), without_plugins():\n    import workers.exporter, workers.schedule, workers.worker\n"
        "assert metadata.entry_points is real"
    )
    assert {"kombu.matcher", "kombu.serialization"} <= modules


def test_fast_imports_hide_packages_only_while_they_run() -> None:
    """What is hidden must still be found afterwards, by a command that draws tables or a tracer."""
    modules = imported_by(
        "from ingest.cli.importing import fast_imports\nimport gc\nwith fast_imports():\n    import structlog\n"
        "assert gc.isenabled()\nimport rich.console, opentelemetry.sdk.metrics"
    )
    assert {"structlog", "rich.console", "opentelemetry.sdk.metrics"} <= modules


def test_console_can_be_imported_by_fast_imports() -> None:
    """FastAPI has needs of its own, such as the metrics of OpenTelemetry where that is installed."""
    modules = imported_by(
        "from ingest.cli.importing import fast_imports\nwith fast_imports():\n    import ingest.console.run"
    )
    assert "fastapi" in modules


def test_asynchronous_client_of_redis_can_be_imported_after_fast_imports() -> None:
    modules = imported_by(
        "from ingest.cli.importing import fast_imports\nwith fast_imports():\n    import redis\n"
        "import redis.asyncio\nassert redis.asyncio.Redis and redis.asyncio.Sentinel\n"
        "from redis.asyncio.observability import recorder"
    )
    assert "redis.asyncio.client" in modules


def imported_by(program: str) -> set[str]:
    program += "\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("role", "needed", "not_needed"),
    [
        ("poll", ["ingest.pop3.connector", "ingest.usecases.poll.stage"], ["ingest.usecases.process.processor"]),
        ("process", ["ingest.usecases.process.processor"], ["ingest.pop3", "ingest.usecases.poll.stage"]),
        (
            "relay",
            ["ingest.usecases.deliver.stage"],
            ["ingest.pop3", "ingest.usecases.poll.stage", "ingest.mime"],
        ),
    ],
)
def test_worker_imports_its_own_stage_alone_before_it_starts(
    role: str, needed: list[str], not_needed: list[str]
) -> None:
    """Children of a prefork pool inherit what their parent has imported, and would otherwise import it each."""
    modules = imported_by(f"from workers.worker import import_stage\nimport_stage({role!r})")
    assert modules.issuperset(needed)
    assert not of(modules, *not_needed, "celery.beat", "workers.exporter")
    assert not of(modules, *([] if role == "process" else _CONTENT))


def test_scheduler_and_exporter_import_no_stage() -> None:
    modules = imported_by("import workers.exporter, workers.lifecycle, workers.schedule")
    stages = [f"ingest.usecases.{stage}" for stage in ("poll.stage", "process.stage", "process.processor", "deliver")]
    assert not of(modules, *stages, "ingest.containers", "ingest.invoices", "ingest.mime", "ingest.pop3", *_CONTENT)
    assert not of(modules, "celery.worker", "ingest.admin.check", "ingest.domain.grant", "workers.worker")
