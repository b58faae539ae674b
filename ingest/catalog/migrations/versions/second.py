"""Messages in the order of the list, with one index of words for texts and filters.

A catalog of the first form is emptied, but for the times of deliveries, which the store does not have. Without a
position in the stream it is built again from the store, as a new one is.
"""

from __future__ import annotations

from alembic import op

from ingest.catalog.tables import METADATA, WORDS

revision = "2"
down_revision = "1"

_EMPTIED = ("messages_vocabulary", "messages_words", "labels", "documents", "invoices", "messages", "gone", "state")


def upgrade() -> None:
    """Create every table, and the index of words in the database's own form."""
    for name in _EMPTIED:
        op.execute(f"DROP TABLE IF EXISTS {name}")
    connection = op.get_bind()
    METADATA.create_all(connection)
    if connection.dialect.name == "sqlite":
        # The underscore begins the words of filters. Beginnings of up to four letters have an index of their own.
        op.execute(
            f"CREATE VIRTUAL TABLE messages_words USING fts5({', '.join(WORDS)}, prefix='1 2 3 4', columnsize=0, "
            "tokenize=\"unicode61 remove_diacritics 0 tokenchars '_'\")"
        )
        op.execute("CREATE VIRTUAL TABLE messages_vocabulary USING fts5vocab(messages_words, instance)")
        return
    op.execute(
        "CREATE TABLE messages_words (rowid bigint PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE, "
        "words tsvector NOT NULL)"
    )
    op.execute("CREATE INDEX messages_words_words ON messages_words USING gin (words)")


def downgrade() -> None:
    """A catalog is deleted and rebuilt instead."""
    raise NotImplementedError
