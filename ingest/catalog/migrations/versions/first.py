"""The first form of the catalog."""

from __future__ import annotations

from alembic import op

from ingest.catalog.tables import METADATA, WORDS

revision = "1"
down_revision = None


def upgrade() -> None:
    """Create every table, and the index of words in the database's own form."""
    connection = op.get_bind()
    METADATA.create_all(connection)
    if connection.dialect.name == "sqlite":
        columns = ", ".join(WORDS)
        op.execute(
            f"CREATE VIRTUAL TABLE messages_words USING fts5({columns}, prefix='2 3', "
            "tokenize='unicode61 remove_diacritics 0')"
        )
        return
    columns = ", ".join(f"{name} tsvector NOT NULL" for name in WORDS)
    op.execute(
        "CREATE TABLE messages_words (rowid bigint PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE, "
        f"{columns})"
    )
    for name in WORDS:
        op.execute(f"CREATE INDEX messages_words_{name} ON messages_words USING gin ({name})")


def downgrade() -> None:
    """A catalog is deleted and rebuilt instead."""
    raise NotImplementedError
