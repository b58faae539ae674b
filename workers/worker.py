"""The processes that consume wake-ups: poller, processor and relay."""

from __future__ import annotations

import threading
import warnings
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import bootsteps, signals
from celery.exceptions import SecurityWarning
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from typing_extensions import override

from ingest.errors import StartError
from ingest.ports.wakeups import Queue
from workers import tasks
from workers.app import queue_name
from workers.lifecycle import Process, trying_parts
from workers.pages import Heartbeat, serving
from workers.shared_metrics import shared_metrics
from workers.stopping import StopFlag
from workers.usage import UsageCollector
from workers.wakeups import CeleryWakeups
from workers.watchdog import watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from celery import Celery
    from celery.worker import WorkController

    from ingest.config import Config
    from ingest.metrics import Metrics

# Seconds after which the processing of a message is interrupted; this counts as a try.
PROCESS_SOFT_LIMIT = 300
PROCESS_HARD_LIMIT = 330
# KiB of memory above which a child is replaced after its task.
PROCESS_MEMORY_KIB = 512 * 1024


def import_stage(role: str) -> None:
    """Import what a worker needs for its first wake-up; children of a prefork pool inherit it."""
    match Queue(role):
        case Queue.POLL:
            import ingest.pop3
            import ingest.usecases.poll.stage
        case Queue.PROCESS:
            import ingest.usecases.process.processor
            import ingest.usecases.process.stage
        case Queue.RELAY:
            import ingest.usecases.deliver.stage  # noqa: F401


def run_worker(role: str, config_path: Path | None) -> None:
    """Consume one queue until SIGTERM.

    Args:
        role: `poll`, `process` or `relay`.
        config_path: a file or folder, or None for the environment alone.

    Raises:
        ConfigError: the configuration cannot be used.
        StartError: the metrics port is taken, or the embedded ledger does not start.
    """
    queue = Queue(role)
    with ExitStack() as stack:
        if queue is Queue.PROCESS:
            stack.enter_context(shared_metrics())
        process = stack.enter_context(Process.started(config_path))
        heartbeat = Heartbeat()
        registry = _exposed(queue, process.metrics)
        registry.register(UsageCollector(role))
        readiness = stack.enter_context(trying_parts(process, store=True))
        stack.enter_context(serving(process.config, registry, heartbeat, readiness))
        _expect_series(queue, process.config, process.metrics)
        _after_fork(process.app, lambda: stack.enter_context(readiness.watching()))
        _consume(process, queue, heartbeat)


def _after_fork(app: Celery, start: Callable[[], object]) -> None:
    """Call a function when the children of the worker exist, if it has any, and before it connects to the broker.

    A thread that imports a module or holds a lock while the worker forks would block the child for ever.
    """

    class Step(bootsteps.StartStopStep):
        requires = ("celery.worker.components:Pool",)

        @override
        def start(self, parent: Any) -> None:
            start()

    app.steps["worker"].add(Step)


def _consume(process: Process, queue: Queue, heartbeat: Heartbeat) -> None:
    stop = StopFlag()
    tasks.register(process.app, queue, process.runtime, stop)

    def stopping(**_: Any) -> None:
        stop.set()

    signals.worker_shutting_down.connect(stopping, weak=False)
    if queue is Queue.PROCESS:
        process.app.conf.update(
            task_soft_time_limit=PROCESS_SOFT_LIMIT,
            task_time_limit=PROCESS_HARD_LIMIT,
            worker_max_memory_per_child=PROCESS_MEMORY_KIB,
        )
        signals.worker_process_shutdown.connect(lambda **_: process.end_child(), weak=False)
    if queue is Queue.RELAY:
        deliver = partial(tasks.deliver_unasked, process.runtime, stop)
        threading.Thread(target=deliver, name="unasked-delivery", daemon=True).start()
    worker = _make_worker(process, queue)
    # Started before the worker is ready: a worker that waits for its broker must have a heartbeat too.
    watch(queue, CeleryWakeups(process.app), heartbeat)
    worker.start()
    if worker.exitcode:
        raise StartError(f"the {queue} worker ended with code {worker.exitcode}; its log says why")


def _make_worker(process: Process, queue: Queue) -> WorkController:
    workers = process.config.workers
    concurrency = {
        Queue.POLL: workers.poll_threads,
        Queue.PROCESS: workers.processes,
        Queue.RELAY: workers.relay_threads,
    }
    # Celery warns about pickle in a worker that runs as root; this one accepts JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    return process.app.Worker(
        queues=[queue_name(process.app, queue)],
        pool="prefork" if queue is Queue.PROCESS else "threads",
        concurrency=concurrency[queue],
        hostname=f"{queue}@%h",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
        loglevel="WARNING",
    )


def _exposed(queue: Queue, metrics: Metrics) -> CollectorRegistry:
    if queue is not Queue.PROCESS:
        return metrics.registry
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus-client has no types here
    return registry


def _expect_series(queue: Queue, config: Config, metrics: Metrics) -> None:
    if queue is Queue.POLL:
        mailboxes = config.mailboxes_by_id()
        metrics.expect_polls(mailboxes, {box.server.label for box in mailboxes.values()})
    if queue is Queue.RELAY:
        metrics.expect_sinks(sink.name for sink in config.sinks)
