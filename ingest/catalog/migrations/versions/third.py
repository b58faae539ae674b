"""What consumers answered, and when messages were listed."""

from __future__ import annotations

from alembic import op

from ingest.catalog.tables import ANSWERS

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Create the table; a new catalog has it already."""
    ANSWERS.create(op.get_bind(), checkfirst=True)


def downgrade() -> None:
    """A catalog is deleted and rebuilt instead."""
    raise NotImplementedError
