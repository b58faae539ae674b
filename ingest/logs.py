"""Logs: one event per line, JSON in containers, readable on a terminal, and nothing private in either.

What may be logged is declared here, and everything else is left out by the last step before writing, whoever logs:

- an event is a name such as `poll.done`, never a sentence;
- a field is one of `FIELDS`, and its value a number or a token (no spaces, no `@`), so that an address or a subject
  does not pass even in a field that is declared;
- an exception is its class, its code if it is ours, and where it was raised: its text quotes servers and messages;
- what a library logs is the name of its logger, where it was logged, and its template without the values.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog

from ingest.errors import MailhaulError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["auto", "json", "text"]
Level = Literal["debug", "info", "warning", "error"]

FIELDS = frozenset(
    {
        "action",
        "attachments",
        "count",
        "day",
        "defects",
        "deleted",
        "duplicate",
        "epoch",
        "error",
        "event_id",
        "failed",
        "left_out",
        "listed",
        "mailbox",
        "mailboxes",
        "message",
        "new",
        "number",
        "fetched_bytes",
        "oversize",
        "part",
        "problem",
        "problems",
        "queue",
        "reopened",
        "result",
        "rule",
        "seconds",
        "sink",
        "sinks",
        "size_bytes",
        "statement",
        "stored",
        "task",
        "republished",
        "tries",
        "user",
    }
)
HIDDEN = "(hidden)"
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_TOKEN = re.compile(r"[A-Za-z0-9._:/+-]{0,128}")
# Loggers to which Celery would otherwise attach handlers of its own, which write everything.
_DETACHED = ("celery.task", "multiprocessing")
_OURS = "mailhaul"
_FRAMES = 12
_TEMPLATE = 200


def configure(format: Format, level: Level, stream: TextIO) -> None:  # noqa: A002 - as the option is called
    """Set up all logging of this process, libraries' (from WARNING on) and uncaught exceptions included.

    Args:
        format: `auto` is text where the stream is a terminal, else JSON.
        level: the least of our own events that is written.
        stream: where to.
    """
    text = format == "text" or (format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(_renderer(stream, text=text)))
    # Where a line cannot be written, the standard library would print what it was about, traceback and all.
    logging.raiseExceptions = False
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in _DETACHED:
        _attach(logging.getLogger(name), handler)
    ours = logging.getLogger(_OURS)
    _attach(ours, handler)
    ours.setLevel(logging.DEBUG)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _keep_declared, _stamp, _hand_over],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Through the standard library, whose locks are made anew after a fork.
        logger_factory=lambda *_: ours,
    )
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _formatter(renderer: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, _reduce_foreign, _stamp],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        # The exception was reduced already; left on the record, its text would be appended.
        keep_exc_info=False,
        keep_stack_info=False,
        # The values stay apart from the template, which is not private.
        use_get_message=False,
        pass_foreign_args=True,
    )


_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)


def _hand_over(logger: WrappedLogger, name: str, event: EventDict) -> Any:
    return structlog.stdlib.ProcessorFormatter.wrap_for_formatter(logger, name, event)


def _attach(logger: logging.Logger, handler: logging.Handler) -> None:
    logger.handlers = [handler]
    logger.propagate = False


def _renderer(stream: TextIO, *, text: bool) -> Processor:
    if text:
        return structlog.dev.ConsoleRenderer(colors=stream.isatty() and "NO_COLOR" not in os.environ)
    return structlog.processors.JSONRenderer()


def _keep_declared(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Only what is declared above passes."""
    name = event.pop("event")
    kept: EventDict = {
        "event": name if isinstance(name, str) and _NAME.fullmatch(name) else HIDDEN,
        "level": event.pop("level"),
    }
    exception = _exception(event.pop("exc_info", None))
    hidden = sorted(key for key in event if key not in FIELDS)
    kept.update({key: _value(value) for key, value in event.items() if key in FIELDS})
    if exception is not None:
        kept.update(_reduced(exception))
    if hidden:
        kept["hidden"] = hidden
    return kept


def _value(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value) if isinstance(value, str) and _TOKEN.fullmatch(value) else HIDDEN


def _reduce_foreign(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """What a library logs. Its message is a template only where values were to be put into it."""
    record: logging.LogRecord = event["_record"]
    reduced: EventDict = {
        "event": "library",
        "level": event["level"],
        "library": record.name,
        "at": f"{record.filename}:{record.lineno}",
        "_record": record,
        "_from_structlog": False,
    }
    if event.get("positional_args") and isinstance(record.msg, str):
        reduced["template"] = record.msg[:_TEMPLATE]
    exception = _exception(event.get("exc_info"))
    return reduced if exception is None else {**reduced, **_reduced(exception)}


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _reduced(exception: BaseException) -> dict[str, object]:
    """Classes and places of an exception and its causes, the one that was caught first; no texts."""
    chain = list(_chain(exception))
    reduced: dict[str, object] = {
        "raised": [type(each).__name__ for each in chain],
        "trace": [place for each in chain[-1:] for place in _places(each.__traceback__)],
    }
    if isinstance(exception, MailhaulError):
        reduced["code"] = exception.code
    return reduced


def _chain(exception: BaseException) -> Iterator[BaseException]:
    met: set[int] = set()
    current: BaseException | None = exception
    while current is not None and id(current) not in met:
        met.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _places(trace: TracebackType | None) -> Iterator[str]:
    # Not `extract_tb`, which reads source lines; only numbers are wanted, the innermost last.
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(trace)]
    for code, line in frames[-_FRAMES:]:
        yield f"{'/'.join(PurePath(code.co_filename).parts[-3:])}:{line} {code.co_name}"


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger().error("process.crashed", exc_info=error)


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        structlog.get_logger().error("thread.crashed", exc_info=arguments.exc_value)
