"""The configuration as the files say now, for processes that stay up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from structlog import get_logger

from ingest.config import document
from ingest.config.load import folder_of, load
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ingest.config.model import Config

log = get_logger()

# Seconds between two looks at the files; asked for far more often than that.
LOOK_EVERY = 1.0

_Version = tuple[tuple[str, int, int, int], ...]


class ConfigSource:
    """Reads the configuration again when one of its files changed; a broken one is told of and not used.

    Args:
        path: a YAML file, a folder of them, or None where variables say everything.
        environ: environment variables.
        clock: monotonic seconds.

    Attributes:
        folder: what relative paths are relative to.
        environ: as given.
        path: as given.
        problems: what is wrong with the files as they are now; empty when they are in use.

    Raises:
        ConfigError: there is no good configuration to begin with.
    """

    def __init__(
        self, path: Path | None, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder_of(path)
        self.environ = environ
        self.problems: list[str] = []
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._looked = clock()
        # Taken before the files are read: what changes meanwhile is seen at the next look.
        self._version = self._now()
        self._config = load(path, environ)

    def current(self) -> Config:
        """The last good configuration, the same object until the files change."""
        with self._lock:
            if self._clock() - self._looked >= LOOK_EVERY:
                self._looked = self._clock()
                self._look()
            return self._config

    def _look(self) -> None:
        version = self._now()
        if version == self._version:
            return
        self._version = version
        try:
            self._config = load(self.path, self.environ)
        except ConfigError as error:
            self.problems = error.problems
            log.warning("config.invalid", problems=len(error.problems))
        else:
            self.problems = []
            log.info("config.changed", mailboxes=len(self._config.mailboxes))

    def _now(self) -> _Version:
        if self.path is None:
            return ()
        try:
            stats = [(str(file), file.stat()) for file in document.files_of(self.path)]
        except OSError:
            return ()  # gone, for a moment or for good; loading says so
        return tuple((name, stat.st_mtime_ns, stat.st_ino, stat.st_size) for name, stat in stats)
