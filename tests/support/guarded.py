"""A guarded process without the process: what a reader does is then measured, and may be debugged."""

from __future__ import annotations

import io
from importlib import import_module
from typing import TYPE_CHECKING, Self

from ingest.containers import confined
from ingest.containers.guard import Confinement, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator


class InThisProcess:
    """Takes the place of `ingest.containers.guard.Guarded`, without its limits on memory and time."""

    def __init__(
        self, module: str, file: int, confinement: Confinement, arguments: tuple[str, ...], secret: bytes = b""
    ) -> None:
        assert not secret
        self._work = import_module(module)._work
        self._file, self._arguments = file, list(arguments)
        self.outcome, self.waited = Outcome.STOPPED, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        frames: list[tuple[int, bytes]] = []
        try:
            self._work(
                io.BufferedReader(confined._Input(self._file)),
                lambda kind, payload: frames.append((kind, bytes(payload))),
                self._arguments,
            )
        except Exception:  # noqa: BLE001 - as `confined.run` does
            self.outcome = Outcome.BROKEN
        else:
            self.outcome = Outcome.DONE
        yield from frames
