"""`mailhaul up`: run every process of the service on one machine, with a live view."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.live import Live
from structlog import get_logger

from ingest import logs
from ingest.adapters.ledger import connect
from ingest.adapters.ledger.brokers import broker_check
from ingest.adapters.ledger.embedded import EmbeddedLedger
from ingest.admin.usable import require_usable, require_usable_broker
from ingest.cli.children import (
    WORKERS,
    LogFiles,
    PlainLines,
    children,
    console_child,
    console_port,
    free_ports,
    metrics_ports,
    url_host,
)
from ingest.cli.common import INTERRUPTED, open_console
from ingest.cli.screen import Places, plain, render
from ingest.cli.stopping import Stopping, swallow_output_errors
from ingest.cli.supervisor import Supervisor
from ingest.cli.watch import Watch
from ingest.config import ConfigSource
from ingest.config.rules import console_installed
from ingest.demo.scene import Demonstration, demonstration
from ingest.errors import StartError
from ingest.usecases.backpressure import MemoryPressure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console, RenderableType

    from ingest.cli.supervisor import ChildState
    from ingest.cli.watch import Snapshot
    from ingest.config import Config

log = get_logger()

STOP_SECONDS = 8.0
LOOK_EVERY = 0.25
# Seconds between two snapshots; without a terminal, one line a second at most.
LIVE_EVERY, PLAIN_EVERY = 0.5, 1.0


def run_up(config: Path | None, folder: Path) -> int:
    """Run until Ctrl-C or SIGTERM; return the exit code.

    Args:
        config: path of the configuration; None for the demonstration.
        folder: of the demonstration.

    Raises:
        ConfigError: the configuration cannot be used.
        StartError: a port, folder or ledger cannot be used; the text says what to do.
    """
    with Stopping() as stopping:
        with ExitStack() as stack:
            if config is None:
                # The ledger first: whoever holds it owns the folder and may write to it.
                ledger = stack.enter_context(_embedded(folder.resolve() / "ledger"))
                _announce("starting a mail server with made-up mail")
                demo = stack.enter_context(demonstration(folder, console=console_installed()))
                source = ConfigSource(demo.config, os.environ)
            else:
                demo, source = None, ConfigSource(config, os.environ)
                ledger = stack.enter_context(_ledger(source.current()))
            log_folder = demo.folder / "logs" if demo else Path.cwd() / "mailhaul-logs"
            view = stack.enter_context(_view(source.current(), log_folder))
            _announce("waiting for the ledger to answer")
            with closing(connect(ledger.url, source.current().deployment)[0]) as connected:
                require_usable(connected)
            if (check_broker := broker_check(source.current().broker, ledger.url)) is not None:
                _announce("waiting for the broker to answer")
                require_usable_broker(check_broker)
            stopping.abrupt = False
            stack.enter_context(_Service.started(source, ledger, demo, view, stopping)).run()
        return INTERRUPTED if stopping.interrupted else 0


def _announce(step: str) -> None:
    """Print what the start is about to wait for; only on a terminal, where a person waits too."""
    if sys.stdout.isatty():
        with swallow_output_errors():
            open_console().print(f"{step} …", style="bright_black")


@dataclass(frozen=True, slots=True)
class _Ledger:
    url: str
    embedded: EmbeddedLedger | None

    def look(self) -> None:
        """Start an embedded ledger again that died. One that hangs is given a minute, then started anew."""
        if self.embedded is None or self.embedded.alive():
            return
        log.warning("ledger.unavailable", task="up")
        try:
            self.embedded.start()
        except StartError:
            self.embedded.restart()


@contextmanager
def _ledger(config: Config) -> Iterator[_Ledger]:
    if config.ledger_folder is None:
        yield _Ledger(config.ledger_url, None)
        return
    with _embedded(config.ledger_folder) as ledger:
        yield ledger


@contextmanager
def _embedded(folder: Path) -> Iterator[_Ledger]:
    _announce(f"starting the ledger in {folder}")
    with EmbeddedLedger(folder) as embedded:
        if not embedded.owned:
            raise StartError(
                f"another Mailhaul runs on the ledger in {folder}: stop it first, or look at it with "
                "`mailhaul status`"
            )
        yield _Ledger(embedded.url, embedded)


@dataclass(frozen=True, slots=True)
class _View:
    """The output of `up`. `logs` is the folder of log files beside the live view; None without a live view."""

    console: Console
    listen: Callable[[str, str], None]
    logs: Path | None


@contextmanager
def _view(config: Config, log_folder: Path) -> Iterator[_View]:
    console = open_console()
    if not console.is_terminal or console.is_dumb_terminal:
        logs.configure(config.log.format, config.log.level, sys.stderr)
        yield _View(console, PlainLines(sys.stdout), None)
        return
    try:
        files = LogFiles(log_folder)
        own: TextIO = (log_folder / "up.log").open("a", encoding="utf-8")
    except OSError as error:
        raise StartError(
            f"logs cannot be written to {log_folder} ({error.strerror}); start in another folder"
        ) from error
    with own:
        logs.configure(config.log.format, config.log.level, own)
        try:
            yield _View(console, files, log_folder)
        finally:
            logs.configure(config.log.format, config.log.level, sys.stderr)
            files.close()


class _Watcher:
    """Takes snapshots in a thread: a ledger or process that hangs must block neither the view nor the supervisor."""

    def __init__(
        self, ledger: _Ledger, watch: Watch, states: Callable[[], Sequence[ChildState]], every: float
    ) -> None:
        self.latest: Snapshot | None = None
        self._ledger, self._watch, self._states, self._every = ledger, watch, states, every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop; a snapshot that hangs is abandoned."""
        self._ended.set()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._ledger.look()
                self.latest = self._watch.snapshot(self._states())
            except Exception:  # boundary: an error in the view must not stop the service
                log.exception("watch.failed")
            self._ended.wait(self._every)


class _Service:
    """The child processes, their output, and the view."""

    def __init__(
        self, source: ConfigSource, ledger: _Ledger, demo: Demonstration | None, view: _View, stopping: Stopping
    ) -> None:
        config = source.current()
        self._demo, self._view, self._stopping = demo, view, stopping
        port = free_ports(config, may_move=demo is not None)
        console = console_port(config, may_move=demo is not None)
        processes = children(source, ledger.url, port)
        if console is not None:
            processes.append(console_child(source, ledger.url, console, port))
        self._supervisor = Supervisor(processes, view.listen)
        self._book, events = connect(ledger.url, config.deployment)
        ports = metrics_ports(port)
        watch = Watch(
            self._book,
            events,
            lambda: source.current().mailboxes_by_id().values(),
            [sink.name for sink in config.sinks],
            url_host(config.metrics.address),
            {name: ports[name] for name in WORKERS},
            MemoryPressure(self._book, config.workers.stop_polling_at).update,
        )
        self._watch = watch
        self._watcher = _Watcher(ledger, watch, self._supervisor.states, LIVE_EVERY if view.logs else PLAIN_EVERY)
        self._places = _places(config, demo, view.logs, port, console)

    @classmethod
    @contextmanager
    def started(
        cls, source: ConfigSource, ledger: _Ledger, demo: Demonstration | None, view: _View, stopping: Stopping
    ) -> Iterator[_Service]:
        service = cls(source, ledger, demo, view, stopping)
        try:
            yield service
        finally:
            service.end()

    def run(self) -> None:
        """Run until a signal asks to stop."""
        if self._view.logs is not None:
            self._run_live()
        else:
            self._run_plain()

    def _run_live(self) -> None:
        console = self._view.console
        view = _LiveView(self._watcher, self._places, console)
        # The alternate screen survives resizing; the last view is left on the normal one.
        with Live(console=console, screen=True, auto_refresh=False) as live:
            self._loop(lambda: live.update(view, refresh=True))
        console.print(view)

    def _run_plain(self) -> None:
        for name, place in self._places.rows:
            self._view.listen(name, place)
        shown = ""

        def show() -> None:
            nonlocal shown
            line = plain(self._watcher.latest) if self._watcher.latest else ""
            if line != shown:
                self._view.listen("mailhaul", line)
                shown = line

        self._loop(show)

    def _loop(self, show: Callable[[], None]) -> None:
        while not self._stopping.asked:
            self._supervisor.look()
            if self._demo is not None:
                self._demo.tick()
            show()
            self._stopping.wait(LOOK_EVERY)

    def end(self) -> None:
        """Stop the children and close everything."""
        with swallow_output_errors():
            self._view.console.print("stopping …", style="bright_black")
        clean = self._supervisor.stop(STOP_SECONDS, lambda: self._stopping.again)
        self._watcher.end()
        self._watch.close()
        self._book.close()
        words = "stopped; start again to continue" if clean else "stopped; some processes had to be killed"
        with swallow_output_errors():
            self._view.console.print(words)


@dataclass(frozen=True, slots=True)
class _LiveView:
    """The latest snapshot, rendered for the current size of the terminal."""

    watcher: _Watcher
    places: Places
    console: Console

    def __rich__(self) -> RenderableType:
        snapshot = self.watcher.latest
        if snapshot is None:
            return "starting: waiting for the ledger and the first answers …"
        return render(snapshot, self.places, self.console.height)


def _places(
    config: Config, demo: Demonstration | None, log_folder: Path | None, port: int, console: int | None
) -> Places:
    store = config.store.url.removeprefix("file://")
    address = url_host(config.metrics.address)
    rows = [
        ("objects", store),
        ("metrics", f"http://{address}:{port}/metrics, workers on {port + 1} to {port + len(WORKERS)}"),
    ]
    if console is not None and config.console is not None:
        rows.insert(0, ("console", f"http://{url_host(config.console.address)}:{console}/"))
    if log_folder is not None:
        rows.append(("logs", str(log_folder)))
    if demo is not None:
        rows.append(
            ("your own", f"mailhaul up --config my.yaml, a copy of {shlex.quote(os.path.relpath(demo.config))}")
        )
    rows.append(("to stop", "Ctrl-C; the next start continues"))
    return Places(rows)
