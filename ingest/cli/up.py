"""`mailhaul up`: every process of the design on one machine, and a view of what they do."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from ingest import logs
from ingest.adapters.embedded import EmbeddedLedger
from ingest.adapters.ledger import connect
from ingest.cli.demonstration import Demonstration, demonstration
from ingest.cli.screen import Places, plain, render
from ingest.cli.supervisor import Child, Supervisor
from ingest.cli.watch import Watch
from ingest.config import ConfigSource
from ingest.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from ingest.cli.watch import Snapshot
    from ingest.config import Config

# What each process is started as; its metrics are on the first port plus its place here.
PROCESSES = {
    "exporter": ("exporter",),
    "poller": ("worker", "poll"),
    "processor": ("worker", "process"),
    "relay": ("worker", "relay"),
    "scheduler": ("scheduler",),
}
WORKERS = ("poller", "processor", "relay")
STOP_SECONDS = 8.0
LOOK_EVERY = 0.25
SNAPSHOT_EVERY = 0.5


def run_up(config: Path | None, folder: Path) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit code.

    Args:
        config: a configuration of one's own, or None for the demonstration.
        folder: the demonstration's.

    Raises:
        ConfigError: the configuration cannot be used.
        StartError: something that is needed cannot be had; the text says what to do.
    """
    stopping = _Stopping()
    with ExitStack() as stack:
        demo = stack.enter_context(demonstration(folder)) if config is None else None
        source = ConfigSource(demo.config if demo else config, os.environ)
        logs.configure(source.current().log.format, source.current().log.level, sys.stderr)
        ledger = stack.enter_context(_ledger(source.current()))
        service = stack.enter_context(_Service.started(source, ledger, demo, stopping))
        service.run()
    return 0


class _Stopping:
    """Ctrl-C and SIGTERM: the first asks for a clean end, the second wants it now."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.now: Callable[[], None] = lambda: None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._ask())

    def _ask(self) -> None:
        if self.asked.is_set():
            self.now()
        self.asked.set()


@dataclass(frozen=True, slots=True)
class _Ledger:
    url: str
    embedded: EmbeddedLedger | None

    def look(self) -> None:
        """Start an embedded ledger again that died."""
        if self.embedded is not None and not self.embedded.alive():
            self.embedded.start()


@contextmanager
def _ledger(config: Config) -> Iterator[_Ledger]:
    if config.ledger_folder is None:
        yield _Ledger(config.ledger_url, None)
        return
    with EmbeddedLedger(config.ledger_folder) as embedded:
        if not embedded.owned:
            raise StartError(
                f"another Mailhaul runs on the ledger in {config.ledger_folder}: stop it first, or look at it with "
                "`mailhaul status`"
            )
        yield _Ledger(embedded.url, embedded)


class _Service:
    """The children, what they print, and what is shown of them."""

    def __init__(
        self, source: ConfigSource, ledger: _Ledger, demo: Demonstration | None, stopping: _Stopping
    ) -> None:
        config = source.current()
        self._ledger, self._demo, self._stopping = ledger, demo, stopping
        self._console = Console()
        self._logs = demo.folder / "logs" if demo else Path.cwd() / "mailhaul-logs"
        self._lock = threading.Lock()
        port = _free_ports(config, may_move=demo is not None)
        self.supervisor = Supervisor(_children(source, ledger.url, port), self._listen)
        book, events = connect(ledger.url)
        self._close = book.close
        numbers = {name: port + offset for offset, name in enumerate(PROCESSES)}
        self.watch = Watch(
            book,
            events,
            lambda: source.current().mailboxes_by_id().values(),
            [sink.name for sink in config.sinks],
            config.metrics.address,
            [numbers[name] for name in WORKERS],
        )
        self.places = _places(config, demo, self._logs if self._console.is_terminal else None, port)

    @classmethod
    @contextmanager
    def started(
        cls, source: ConfigSource, ledger: _Ledger, demo: Demonstration | None, stopping: _Stopping
    ) -> Iterator[_Service]:
        service = cls(source, ledger, demo, stopping)
        stopping.now = service.supervisor.kill
        try:
            yield service
        finally:
            service.end()

    def run(self) -> None:
        """Until somebody asks for the end."""
        if self._console.is_terminal:
            self._logs.mkdir(parents=True, exist_ok=True)
            with Live(console=self._console, auto_refresh=False, transient=False) as live:
                self._loop(lambda snapshot: live.update(self._rendered(snapshot), refresh=True))
            return
        for name, place in self.places.rows:
            print(f"{name}: {place}", flush=True)  # noqa: T201 - this is the output
        shown = ""

        def show(snapshot: Snapshot) -> None:
            nonlocal shown
            line = plain(snapshot)
            if line != shown:
                print(f"mailhaul {line}", flush=True)  # noqa: T201 - this is the output
                shown = line

        self._loop(show)

    def end(self) -> None:
        """Stop the children and let go of everything."""
        if self._console.is_terminal:
            self._console.print("stopping …", style="bright_black")
        clean = self.supervisor.stop(STOP_SECONDS)
        self.watch.close()
        self._close()
        words = "stopped; start again to carry on" if clean else "stopped; some processes had to be killed"
        print(words, flush=True)  # noqa: T201 - this is the output

    def _loop(self, show: Callable[[Snapshot], None]) -> None:
        due = 0.0
        while not self._stopping.asked.is_set():
            self._ledger.look()
            self.supervisor.look()
            if self._demo is not None:
                self._demo.tick()
            if time.monotonic() >= due:
                show(self.watch.snapshot(self.supervisor.states()))
                due = time.monotonic() + SNAPSHOT_EVERY
            self._stopping.asked.wait(LOOK_EVERY)

    def _rendered(self, snapshot: Snapshot) -> RenderableType:
        return render(snapshot, self.places, self._console.height)

    def _listen(self, name: str, line: str) -> None:
        """A child's line: to a file beside the live view, else to our own output."""
        with self._lock:
            if self._console.is_terminal:
                with (self._logs / f"{name}.log").open("a") as file:
                    file.write(line + "\n")
            else:
                print(f"{name}: {line}", flush=True)  # noqa: T201 - this is the output


def _children(source: ConfigSource, ledger: str, port: int) -> list[Child]:
    config = ["--config", str(source.path)] if source.path else []
    log_format = source.current().log.format
    environment = {
        "MAILHAUL_LEDGER": ledger,
        # Their output is a pipe to us, and what comes out of it is for people.
        "MAILHAUL_LOG__FORMAT": "text" if log_format == "auto" else log_format,
    }
    return [
        Child(
            name,
            [sys.executable, "-m", "ingest.cli", *command, *config],
            {**environment, "MAILHAUL_METRICS__PORT": str(port + offset)},
            order=0 if name == "scheduler" else 1,
        )
        for offset, (name, command) in enumerate(PROCESSES.items())
    ]


def _free_ports(config: Config, *, may_move: bool) -> int:
    """The first of as many free ports in a row as there are processes that serve metrics."""
    wanted = config.metrics.port
    count = len(PROCESSES) - 1
    for first in range(wanted, wanted + (1000 if may_move else 1), count):
        if all(_is_free(config.metrics.address, first + offset) for offset in range(count)):
            return first
    raise StartError(
        f"metrics need the ports {wanted} to {wanted + count - 1} on {config.metrics.address}, and one of them is "
        "taken; set metrics.port to the first of four free ones"
    )


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _places(config: Config, demo: Demonstration | None, log_folder: Path | None, port: int) -> Places:
    address = f"[{config.metrics.address}]" if ":" in config.metrics.address else config.metrics.address
    store = config.store.url.removeprefix("file://")
    rows = [
        ("objects", store),
        ("metrics", f"http://{address}:{port}/metrics, workers on {port + 1} to {port + len(WORKERS)}"),
    ]
    if log_folder is not None:
        rows.append(("logs", str(log_folder)))
    if demo is not None:
        copied = shlex.quote(os.path.relpath(demo.config))
        rows.append(("your own", f"cp {copied} my.yaml; edit it; mailhaul up --config my.yaml"))
    rows.append(("to stop", "Ctrl-C; the next start carries on"))
    return Places(rows)
