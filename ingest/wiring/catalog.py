"""Open the catalog as the configuration describes it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ingest.config import ConfigSource, Secrets
from ingest.config.console import ConsoleSection
from ingest.config.rules import console_installed
from ingest.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.catalog.catalog import Catalog
    from ingest.config import Config

_POSTGRESQL = ("postgresql://", "postgres://")


def require_console() -> None:
    """Check that the packages of the console are installed.

    Raises:
        StartError: they are not.
    """
    if not console_installed():
        raise StartError("the console needs packages that are not installed: pip install 'mailhaul[console]'")


@contextmanager
def open_catalog(config_path: Path | None) -> Iterator[Catalog]:
    """Open the catalog of a configuration, and close it at the end of the `with` block.

    Raises:
        ConfigError: the configuration cannot be used.
        StartError: packages are missing, or the catalog's address cannot be used.
        CatalogError: the database is unavailable.
    """
    require_console()
    from ingest.catalog.catalog import Catalog  # noqa: PLC0415 - needs packages of an extra

    source = ConfigSource(config_path, os.environ)
    catalog = Catalog.open(catalog_url(source.current(), Secrets(source.folder, source.environ)))
    try:
        yield catalog
    finally:
        catalog.close()


def catalog_url(config: Config, secrets: Secrets) -> str:
    """Return the address of the catalog's database, for SQLAlchemy.

    Raises:
        ConfigError: the secret with the address cannot be read.
        StartError: the address is none of PostgreSQL, or its package is not installed.
    """
    section = config.console or ConsoleSection()
    if section.database is None:
        path = section.catalog if section.catalog.is_absolute() else section.catalog.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it has subjects and senders; SQLite gives the files beside it the same mode
        return f"sqlite:///{path}"
    address = secrets.read(section.database)
    scheme = next((one for one in _POSTGRESQL if address.startswith(one)), None)
    if scheme is None:
        raise StartError("console.database: write postgresql://user:password@host/name")
    if find_spec("psycopg") is None:
        raise StartError("console.database needs a package that is not installed: pip install 'mailhaul[postgresql]'")
    return f"postgresql+psycopg://{address.removeprefix(scheme)}"
