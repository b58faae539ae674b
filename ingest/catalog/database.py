"""Open the catalog's database: SQLite in a file of its own, or PostgreSQL."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util import CommandError
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from ingest.errors import Fault, MailhaulError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seconds that a writer waits for another one: a rebuild and the console may write to the same file.
_BUSY_SECONDS = 30
_MIGRATIONS = Path(__file__).parent / "migrations"
# PostgreSQL's advisory lock: two consoles that start at once must not both migrate.
_MIGRATION_LOCK = 7_283_945
_DELETE = "delete it, with the files beside it, and start again; it is built from the store"


class CatalogError(MailhaulError):
    """The catalog cannot be used now."""

    fault = Fault.INFRASTRUCTURE
    transient = True
    code = "catalog_unavailable"


def open_database(url: str | URL) -> Engine:
    """Return the engine of a catalog, with its tables migrated to this version.

    Args:
        url: `sqlite:///file`, or `postgresql+psycopg://…`.

    Raises:
        CatalogError: the database is unavailable.
    """
    address = make_url(url)
    sqlite = address.get_backend_name() == "sqlite"
    with translated():
        engine = create_engine(address, pool_pre_ping=not sqlite, connect_args=_arguments(sqlite=sqlite))
        if sqlite:
            event.listen(engine, "connect", _set_up_sqlite)
        _migrate(engine)
    return engine


@contextmanager
def translated() -> Iterator[None]:
    """Raise `CatalogError` instead of the errors of SQLAlchemy and of the file system."""
    try:
        yield
    except CommandError as error:
        raise CatalogError(f"the catalog was made by a newer version of Mailhaul: {_DELETE}") from error
    except (SQLAlchemyError, OSError) as error:
        if type(error) is DatabaseError:  # what is wrong with statement, values or locks is a kind of its own
            raise CatalogError(f"the catalog's file is damaged, or is none: {_DELETE}") from error
        # The text of a database error quotes the statement and its values, which are private.
        raise CatalogError(f"the catalog cannot be used ({type(error).__name__}); see docs/console.md") from error


def _arguments(*, sqlite: bool) -> dict[str, Any]:
    return {"timeout": _BUSY_SECONDS, "check_same_thread": False} if sqlite else {"connect_timeout": _BUSY_SECONDS}


def _set_up_sqlite(connection: Any, _: object) -> None:
    # A catalog may be lost: a file that is flushed at checkpoints only is enough.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}")


def _migrate(engine: Engine) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        settings = AlembicConfig()
        settings.set_main_option("script_location", str(_MIGRATIONS))
        settings.set_main_option("path_separator", "os")
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")
