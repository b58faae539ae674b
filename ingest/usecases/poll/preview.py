"""What a poll would do with a listing, without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.usecases.poll.progress import PollProgress


@dataclass(frozen=True, slots=True)
class PollPreview:
    """What a poll would do now; counts are messages.

    Attributes:
        listed: in the listing.
        fetch: would be fetched whole.
        fetch_bytes: the sum of their listed sizes.
        oversize: of which only the header would be stored, because they are too large.
        delete: would be deleted on the server if the store proves that it holds them.
        known: False if the ledger would be rebuilt from the store first: it may then turn out that messages counted
            in `fetch` are stored already.
    """

    listed: int = 0
    fetch: int = 0
    fetch_bytes: int = 0
    oversize: int = 0
    delete: int = 0
    known: bool = True


def preview_of(progress: PollProgress, deletable: set[bytes], *, known: bool) -> PollPreview:
    """Return what a poll would do with the listing of the session in progress.

    Args:
        progress: of a poll that has listed, and fetched nothing.
        deletable: digests that may be deleted.
        known: as for `PollPreview`.
    """
    rows = progress.rows_to_fetch()
    whole = [row for row in rows if not progress.is_oversize(row)]
    return PollPreview(
        listed=progress.report().listed,
        fetch=len(whole),
        fetch_bytes=sum(row.size or 0 for row in whole),
        oversize=len(rows) - len(whole),
        delete=len(progress.done_messages(deletable)),
        known=known,
    )
