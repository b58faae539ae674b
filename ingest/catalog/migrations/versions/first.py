"""The first form of the catalog, which the second one replaces."""

from __future__ import annotations

revision = "1"
down_revision = None


def upgrade() -> None:
    """Create nothing: a new catalog gets the second form at once."""


def downgrade() -> None:
    """A catalog is deleted and rebuilt instead."""
    raise NotImplementedError
