"""Log lines carry what is declared and nothing else, whoever writes them."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from ingest import logs
from ingest.errors import MaildropAuthError
from ingest.usecases.poll.report import PollCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

METHODS = {"debug", "info", "warning", "error", "exception", "critical", "write"}
ROOT = Path(__file__).parents[2]
SECRET = "bob@example.org"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """JSON lines from debug on; everything as it was afterwards."""
    loggers = [logging.getLogger(name) for name in (None, "mailhaul", "celery.task", "multiprocessing")]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    configured = structlog.get_config()
    hooks, raising = (sys.excepthook, threading.excepthook), logging.raiseExceptions
    written = io.StringIO()
    # So that `force=True` closes no handler of pytest's.
    loggers[0].handlers = []
    logs.configure("json", "debug", written)
    yield written
    structlog.configure(**configured)
    sys.excepthook, threading.excepthook = hooks
    logging.raiseExceptions = raising
    for logger, level, handlers, propagate in before:
        logger.level, logger.handlers, logger.propagate = level, handlers, propagate


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    assert SECRET not in stream.getvalue()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail() -> None:
    try:
        int(SECRET)
    except ValueError as error:
        raise MaildropAuthError(f"-ERR no such user {SECRET}") from error


def test_an_event_is_one_line_with_its_fields_and_a_time_in_utc(stream: io.StringIO) -> None:
    structlog.get_logger().info("poll.done", mailbox="invoices-de", listed=3, seconds=0.5, error=None)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "poll.done",
        "level": "info",
        "mailbox": "invoices-de",
        "listed": 3,
        "seconds": 0.5,
        "error": None,
    }


def test_a_field_that_is_not_declared_is_named_and_left_out(stream: io.StringIO) -> None:
    structlog.get_logger().info("poll.done", subject=SECRET, mailbox="a")
    (line,) = lines(stream)
    assert (line["hidden"], line["mailbox"]) == (["subject"], "a")


@pytest.mark.parametrize("value", [SECRET, "Your invoice", "a\nb", "Rechnung.pdf;x", [SECRET], {"a": SECRET}, b"x"])
def test_a_value_that_is_no_number_and_no_token_is_hidden_in_any_field(stream: io.StringIO, value: object) -> None:
    structlog.get_logger().info("poll.done", error=value)
    assert lines(stream)[0]["error"] == logs.HIDDEN


def test_an_event_that_is_a_sentence_is_hidden(stream: io.StringIO) -> None:
    structlog.get_logger().info(f"Mail from {SECRET}")
    assert lines(stream)[0]["event"] == logs.HIDDEN


def test_an_exception_is_classes_places_and_code(stream: io.StringIO) -> None:
    try:
        fail()
    except MaildropAuthError:
        structlog.get_logger().exception("poll.bug", mailbox="a")
    (line,) = lines(stream)
    assert line["raised"] == ["MaildropAuthError", "ValueError"]
    assert line["code"] == "auth"
    assert line["trace"][0].startswith("tests/unit/test_logs.py:")
    assert line["trace"][0].endswith(" fail")


def test_what_a_library_logs_loses_its_values_and_keeps_its_template(stream: io.StringIO) -> None:
    try:
        fail()
    except MaildropAuthError as error:
        logging.getLogger("celery.app.trace").exception("Task %s raised: %r", SECRET, error)  # noqa: TRY401 - as it does
        logging.getLogger("redis").warning("%(who)s is unavailable", {"who": SECRET}, stack_info=True)
    task, redis = lines(stream)
    assert (task["library"], task["template"], task["level"]) == ("celery.app.trace", "Task %s raised: %r", "error")
    assert task["raised"] == ["MaildropAuthError", "ValueError"]
    assert (redis["event"], redis["template"]) == ("library", "%(who)s is unavailable")
    assert redis["at"].startswith("test_logs.py:")


@pytest.mark.parametrize("name", ["urllib3", "celery.task", "multiprocessing", "mailhaul"])
def test_a_library_that_formats_by_itself_is_reduced_to_its_place(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).error(f"no answer from {SECRET}")  # noqa: G004 - the bad habit under test
    (line,) = lines(stream)
    assert "template" not in line
    assert line["library"] == name


def test_a_message_that_cannot_be_formatted_says_nothing_on_the_side(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("x").error("%d", SECRET)
    assert [line["template"] for line in lines(stream)] == ["%d"]
    stream.close()
    structlog.get_logger().error("poll.done", exc_info=ValueError(SECRET))
    assert SECRET not in "".join(capsys.readouterr())


def test_libraries_are_heard_from_warning_on_and_we_from_the_level_configured(stream: io.StringIO) -> None:
    logging.getLogger("botocore").info("hello")
    logs.configure("json", "warning", stream)
    structlog.get_logger().info("poll.done")
    structlog.get_logger().warning("poll.failed")
    assert [line["event"] for line in lines(stream)] == ["poll.failed"]


def test_our_level_holds_when_celery_sets_another_on_the_root(stream: io.StringIO) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    structlog.get_logger().info("poll.done")
    assert len(lines(stream)) == 1


def test_what_nobody_caught_is_reduced_as_well(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError(SECRET)
    sys.excepthook(ValueError, error, None)

    def crash() -> None:
        raise error

    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    assert [(line["event"], line["raised"]) for line in lines(stream)] == [
        ("process.crashed", ["ValueError"]),
        ("thread.crashed", ["ValueError"]),
    ]
    assert SECRET not in capsys.readouterr().err


def test_interrupt_and_exit_are_no_crashes(stream: io.StringIO) -> None:
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    threading.excepthook(threading.ExceptHookArgs((SystemExit, SystemExit(), None, thread)))
    assert lines(stream) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("form", "written", "json_lines", "colours"),
    [
        ("auto", Terminal(), False, True),
        ("auto", io.StringIO(), True, False),
        ("json", Terminal(), True, False),
        ("text", io.StringIO(), False, False),
    ],
)
@pytest.mark.usefixtures("stream")
def test_auto_is_text_on_a_terminal_and_json_elsewhere(
    monkeypatch: pytest.MonkeyPatch, *, form: logs.Format, written: io.StringIO, json_lines: bool, colours: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    logs.configure(form, "info", written)
    structlog.get_logger().info("poll.done", mailbox="a", subject=SECRET)
    try:
        fail()
    except MaildropAuthError:
        structlog.get_logger().exception("poll.bug")
        logging.getLogger("x").exception("no %s", SECRET)
    text = written.getvalue()
    assert text.startswith("{") is json_lines
    assert ("\x1b[" in text) is colours
    assert "poll.done" in text
    assert len(text.splitlines()) == 3
    assert SECRET not in text


def test_every_log_call_uses_declared_names() -> None:
    """So that nothing is hidden by mistake: the guard is the last resort, not the plan."""
    calls = [
        call for part in ("ingest", "workers") for path in (ROOT / part).rglob("*.py") for call in log_calls(path)
    ]
    assert len(calls) > 10
    assert {field for _, fields, _ in calls for field in fields} >= logs.FIELDS, "declared, and logged by nobody"
    for event, fields, place in calls:
        assert set(fields) <= logs.FIELDS, (
            f"{place}: declare {set(fields) - logs.FIELDS} in ingest/logs.py, or rename"
        )
        assert event is None or "." in event, place


def names_of(keyword: ast.keyword) -> Iterable[str]:
    """The field that an argument is, or those in it: the counts of a poll are the only mapping that is logged."""
    if keyword.arg is not None:
        return (keyword.arg,)
    assert ast.unparse(keyword.value) == "report.counts()"
    return PollCounts().counts()


def log_calls(path: Path) -> Iterator[tuple[str | None, list[str], str]]:
    """Event (None where it is a variable), field names and place of each call of `log` or `write`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)):
            continue
        owner = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        method = node.func.attr if isinstance(node.func, ast.Attribute) else "write"
        if not isinstance(owner, ast.Name) or owner.id not in {"log", "write"} or method not in METHODS:
            continue
        event = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        fields = [name for keyword in node.keywords for name in names_of(keyword) if name != "exc_info"]
        yield (str(event) if event is not None else None), fields, f"{path.name}:{node.lineno}"
