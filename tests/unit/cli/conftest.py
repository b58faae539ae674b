"""Commands over the in-memory twins."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from ingest.cli.app import app
from tests.support.bench import Bench, bench, mail, mailbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typer.testing import Result

    from ingest.wiring.runtime import Runtime

    Run = Callable[..., Result]


@pytest.fixture
def b() -> Iterator[Bench]:
    with bench(mailbox("a"), mailbox("b")) as made:
        made.maildrops["a"].messages[b"u1"] = mail("1")
        yield made


@pytest.fixture
def run(b: Bench, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with the bench's runtime; it answers questions with `answer`."""

    @contextmanager
    def opened(_: object) -> Iterator[Runtime]:
        yield b.runtime

    monkeypatch.setattr("ingest.cli.runtime.open_runtime", opened)
    monkeypatch.setenv("COLUMNS", "240")

    def invoke(*arguments: str, code: int = 0, answer: str | None = None) -> Result:
        with capture_logs():  # which commands print to standard error
            done = CliRunner().invoke(app, list(arguments), input=answer)
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return invoke
