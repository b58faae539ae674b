"""The current configuration, reloaded when its files change, for long-running processes."""

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

# Seconds between two checks of the files; `current` is called far more often.
CHECK_EVERY = 1.0

_Version = tuple[tuple[str, int, int, int], ...]


class ConfigSource:
    """Reloads the configuration when one of its files changes; an invalid one is logged and not used.

    Args:
        path: a YAML file, a folder of them, or None where variables say everything.
        environ: environment variables.
        clock: monotonic seconds.

    Attributes:
        folder: the folder that relative paths are relative to.
        environ: as given.
        path: as given.
        problems: what is wrong with the files as they are now; empty if they are in use.

    Raises:
        ConfigError: the configuration is invalid at the start.
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
        self._checked = clock()
        # Taken before the files are read: a change meanwhile is found at the next check.
        self._version = self._file_versions()
        self._config = load(path, environ)

    def current(self) -> Config:
        """Return the last valid configuration: the same object until the files change.

        One caller reloads it. Others get the former one meanwhile: a hundred thousand mailboxes take seconds.
        """
        if self._lock.acquire(blocking=False):
            try:
                if self._clock() - self._checked >= CHECK_EVERY:
                    self._checked = self._clock()
                    self._reload_if_changed()
            finally:
                self._lock.release()
        return self._config

    def warn(self) -> None:
        """Log what the configuration allows that is less safe than the default; `mailhaul check` has the details."""
        weakened = [box.id for box in self._config.mailboxes_by_id().values() if box.server.weakened]
        if weakened:
            log.warning("config.weak_tls", mailbox=weakened[0], mailboxes=len(weakened))

    def _reload_if_changed(self) -> None:
        version = self._file_versions()
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
            self.warn()

    def _file_versions(self) -> _Version:
        if self.path is None:
            return ()
        try:
            stats = [(str(file), file.stat()) for file in document.files_of(self.path)]
        except OSError:
            return ()  # missing, perhaps for a moment; loading reports it
        return tuple((name, stat.st_mtime_ns, stat.st_ino, stat.st_size) for name, stat in stats)
