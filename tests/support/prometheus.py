"""A real Prometheus, run from a folder of its own on loopback."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest

from tests.support.servers import find_program, free_port, missing
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


class Sample(NamedTuple):
    """One series of an answer and its value now."""

    labels: dict[str, str]
    value: float


class Series(NamedTuple):
    """One series of an answer: times (seconds since 1970) and values."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


def find_prometheus() -> Path | None:
    """Return the program; None if it is not installed."""
    return find_program("prometheus")


class Prometheus:
    """Scrapes targets every second.

    Args:
        folder: made if missing; holds configuration, log and data.
        targets: `host:port` each, whose `/metrics` is scraped.
        rules: a file of rules, evaluated every second.
    """

    def __init__(self, folder: Path, targets: Sequence[str], rules: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._targets = list(targets)
        self._rules = rules
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def log(self) -> str:
        """The content of its log."""
        return (self._folder / "prometheus.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers queries."""
        program = find_prometheus()
        assert program is not None
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self._rules)] if self._rules else [],
            "scrape_configs": [{"job_name": "test", "static_configs": [{"targets": self._targets}]}],
        }
        path = self._folder / "prometheus.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={path}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(self._is_ready, lambda: self.log)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def query(self, expression: str) -> list[Sample]:
        """Return the current instant vector of an expression; `__name__` is among the labels."""
        answer = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        return [Sample(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def query_range(self, expression: str, seconds: float, step: float = 1.0) -> list[Series]:
        """Return the values of an expression in the last so many seconds, every `step` seconds."""
        now = time.time()
        asked = {"query": expression, "start": now - seconds, "end": now, "step": step}
        answer = self._get(f"/api/v1/query_range?{urllib.parse.urlencode(asked)}")
        return [
            Series(row["metric"], [(float(at), float(value)) for at, value in row["values"]])
            for row in answer["data"]["result"]
        ]

    def rule_errors(self) -> dict[str, str]:
        """Return the error of the last evaluation of each failed rule, by name."""
        groups = self._get("/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert rules, "there are no rules"
        return {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] == "err"}

    def wait_until_up(self, timeout: float = PATIENCE) -> None:
        """Wait until the last scrape of every target has succeeded."""
        eventually(self._all_up, lambda: f"{self.query('up')}; {self.log}", timeout=timeout)

    def _all_up(self) -> bool:
        up = {sample.labels["instance"] for sample in self.query("up == 1")}
        return up == set(self._targets)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Prometheus ended by itself: {self.log}"
        try:
            self._get("/api/v1/query?query=1")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
            return json.load(answer)


@pytest.fixture
def prometheus_for(tmp_path: Path) -> Iterator[Callable[[Sequence[str]], Prometheus]]:
    """Return a function that starts a Prometheus for given targets; it is stopped after the test."""
    if find_prometheus() is None:
        missing("prometheus", "Prometheus")
    started: list[Prometheus] = []

    def start(targets: Sequence[str]) -> Prometheus:
        server = Prometheus(tmp_path / f"prometheus-{len(started)}", targets)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()
