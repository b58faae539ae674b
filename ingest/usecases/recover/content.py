"""Restore what messages had in them from their manifests, so that duplicates are still found after a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ingest.domain.content import first_keys
from ingest.domain.manifest import Manifest
from ingest.errors import ObjectMissingError
from ingest.usecases.batches import batches
from ingest.usecases.recover.republish import raise_if_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor

    from ingest.ports.content import ContentLimits, ContentRecords
    from ingest.ports.store import Store, Stored

# Newest manifests of a mailbox that are read at most: a mailbox is not polled meanwhile. With 20 ms for each, and so
# many at once, that takes three seconds.
MOST_MANIFESTS = 2_000
_AT_ONCE = 16
_DIGESTS = 256  # in one step of the ledger


@dataclass(frozen=True, slots=True)
class ContentRestorer:
    """Gives the digests of stored messages back to the ledger.

    Attributes:
        workers: read several manifests at once.
    """

    store: Store
    records: ContentRecords
    limits: ContentLimits
    workers: Executor

    def restore(
        self,
        mailbox: str,
        manifests: Iterable[Stored],
        *,
        now: float,
        lost_since: float,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Restore the digests of a mailbox: all of them if the ledger has lost all, else those that may be lost.

        Whichever order mailboxes are restored in, a manifest that names the message before it gives its digests to
        that one.

        Args:
            mailbox: its id.
            manifests: its newest ones.
            now: seconds since 1970.
            lost_since: digests of manifests written before were not lost, unless all were.
            progress: called between batches.

        Raises:
            StoreError: the store is unavailable.
            LedgerUnavailableError: the ledger is unavailable.
        """
        known = self.records.is_content_restored(mailbox)
        since = max(now - self.limits.window, lost_since if known else 0.0)
        chosen = sorted((each for each in manifests if each.modified >= since), key=lambda each: each.modified)
        for batch in batches(chosen, _AT_ONCE):
            progress()
            read = self.workers.map(self._read, batch)
            found = [pair for manifest in read if manifest is not None for pair in first_keys(manifest)]
            for pairs in batches(found, _DIGESTS):
                self.records.first_messages(pairs, self.limits)
        if not known:
            self.records.mark_content_restored(mailbox)

    def _read(self, stored: Stored) -> Manifest | None:
        """Return a manifest; None for the tombstone of a purged message, and what is damaged or gone."""
        try:
            with self.store.open(stored.key) as body:
                data = body.read()
        except ObjectMissingError:
            return None
        try:
            return Manifest.model_validate_json(data)
        except ValidationError:
            raise_if_cut(stored, len(data))
            return None
