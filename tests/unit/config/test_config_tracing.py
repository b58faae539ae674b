"""The section `tracing`: off by default, few options, and errors at the start name what is missing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ingest.config.load import load
from ingest.config.sections import TracingSection
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.config import Config


EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


def read(folder: Path, **sections: Any) -> Config:
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump({"store": "file:///s", "ledger": "embedded", **sections}))
    return load(path, {})


def problem(folder: Path, tracing: object) -> str:
    with pytest.raises(ConfigError) as raised:
        read(folder, tracing=tracing)
    (found,) = raised.value.problems
    return found


def test_nothing_is_traced_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert read(tmp_path).tracing is None


def test_an_empty_section_leaves_everything_to_opentelemetrys_own_variables(tmp_path: Path) -> None:
    assert read(tmp_path, tracing={}).tracing == TracingSection(endpoint=None, sample=None)


@pytest.mark.parametrize("missing", ["opentelemetry.exporter.otlp.proto.http", EXPORTER])
def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delitem(sys.modules, EXPORTER, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    found = problem(tmp_path, {"sample": 0.5})
    assert found.startswith(f"{tmp_path / 'c.yaml'}:3: tracing: ")
    assert "pip install 'mailhaul[tracing]'" in found
    assert read(tmp_path).tracing is None


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"sample": 1.5}, "must be 1.0 or less"),
        ({"sample": -0.1}, "must be 0.0 or more"),
        ({"endpoint": "collector:4318"}, "https:// or http://"),
        ({"endpoint": "http://user:hunter2@collector:4318"}, "neither user nor password"),
        ({"protocol": "grpc"}, "is not an option"),
    ],
)
def test_mistake_is_reported(tmp_path: Path, section: dict[str, object], words: str) -> None:
    found = problem(tmp_path, section)
    assert words in found
    assert "hunter2" not in found


def test_tracing_is_imported_only_if_configured() -> None:
    """redis-py imports parts of OpenTelemetry itself where it is installed; those do not count."""
    program = (
        "import sys, ingest.cli.app, workers.worker, ingest.cli.up, ingest.cli.runtime;"
        "from ingest.config.model import Config; from ingest.wiring.build import _open_tracer;"
        "from ingest.ports.tracing import NO_TRACING;"
        "config = Config.model_validate({'store': 'file:///s', 'ledger': 'embedded'});"
        "assert _open_tracer(config) is NO_TRACING;"
        "ours = ('opentelemetry.exporter', 'ingest.adapters.tracing');"
        "sys.exit(any(name.startswith(ours) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
