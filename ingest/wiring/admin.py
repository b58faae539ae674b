"""What a person runs, built over a runtime. Each use case is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ingest.admin.check import Check
    from ingest.admin.imports import Import
    from ingest.admin.replay import Replay
    from ingest.admin.reprocess import Reprocess
    from ingest.ports.sink import Sink
    from ingest.wiring.runtime import Runtime


def check(runtime: Runtime) -> Check:
    """Return what tries each part of the service."""
    from ingest.admin.check import Check

    return Check(
        ledger=runtime.ledger,
        store=runtime.store,
        layout=runtime.layout,
        sinks=list(runtime.sinks.values()),
        scanner=runtime.scanner,
        connect=runtime.connect,
        credentials=runtime.credentials,
        events=runtime.events,
        broker=runtime.check_broker,
        passwords=runtime.passwords,
        signer=runtime.open_signer,
        login=runtime.check_login,
    )


def importer(runtime: Runtime) -> Import:
    """Return what imports mail from files."""
    from ingest.admin.imports import Import

    return Import(
        archive=runtime.fetcher.archive,
        ledger=runtime.ledger,
        events=runtime.events,
        rebuilder=runtime.rebuilder,
        keeper=runtime.keeper,
        pipeline=runtime.pipeline,
        uploads=runtime.uploads,
        pressure=runtime.poll_pressure,
        now=runtime.now,
    )


def replay(
    runtime: Runtime,
    *,
    sinks: Mapping[str, Sink] | None = None,
    released: Callable[[Collection[str]], None] | None = None,
    direct: bool = True,
    allows: Callable[[str], bool] = lambda _: True,
) -> Replay:
    """Return what republishes events, to the runtime's sinks if none are given; see `Replay`."""
    from ingest.admin.replay import Replay

    return Replay(
        store=runtime.store,
        layout=runtime.layout,
        ledger=runtime.ledger,
        events=runtime.events,
        configured=runtime.mailboxes(),
        sinks=runtime.sinks if sinks is None else sinks,
        watermark=runtime.watermark.read,
        workers=runtime.uploads,
        clock=runtime.monotonic,
        released=released,
        direct=direct,
        allows=allows,
    )


def reprocess(
    runtime: Runtime, *, allows: Callable[[str], bool] = lambda _: True, hands_over: bool = False
) -> Reprocess:
    """Return what reads messages again; see `Reprocess`."""
    from ingest.admin.reprocess import Reprocess
    from ingest.usecases.process.reprocessing import Reprocessor

    return Reprocess(
        reprocessor=Reprocessor(runtime.processor, runtime.now),
        ledger=runtime.ledger,
        events=runtime.events,
        rebuilder=runtime.rebuilder,
        keeper=runtime.keeper,
        pipeline=runtime.pipeline,
        configured=runtime.mailboxes(),
        store_id=runtime.store_identity.read,
        pressure=runtime.poll_pressure,
        allows=allows,
        hands_over=hands_over,
    )
