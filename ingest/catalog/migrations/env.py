"""Run by alembic for each migration; the connection comes from `ingest.catalog.database`."""

from __future__ import annotations

from alembic import context

from ingest.catalog.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table="catalog_version"
)
with context.begin_transaction():
    context.run_migrations()
