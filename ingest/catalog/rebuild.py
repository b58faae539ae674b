"""Build the catalog again from the manifests in the store, beside the service."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.admin.manifests import read_manifest
from ingest.admin.stored_messages import stored_messages
from ingest.catalog.catalog import Batch, Catalog
from ingest.catalog.feed import PARALLEL
from ingest.catalog.rows import Entry, entry_of
from ingest.usecases.batches import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.keys import Layout
    from ingest.ports.store import Store

_BATCH = 100


@dataclass
class Rebuilt:
    """What a rebuild has done: messages read, and rows removed because their message is gone."""

    messages: int = 0
    removed: int = 0
    complete: bool = False


@dataclass(frozen=True)
class Rebuild:
    """Reads every manifest into the catalog. One that was interrupted continues where it was.

    The service may run meanwhile, and the catalog can be searched: rows are replaced one by one, and those whose
    message is gone are removed at the end.

    Attributes:
        now: seconds since 1970.
    """

    catalog: Catalog
    store: Store
    layout: Layout
    now: Callable[[], float]

    @property
    def wanted(self) -> bool:
        """Whether the catalog missed events, or a rebuild was interrupted."""
        return self.catalog.state("rebuild") != ""

    def run(self, stop: Callable[[], bool], listen: Callable[[Rebuilt], object] = lambda _: None) -> Rebuilt:
        """Rebuild until everything is read, or `stop` is true.

        Args:
            stop: asked between batches.
            listen: called with what is done so far.

        Raises:
            CatalogError, StoreError: running it again continues from there.
        """
        if self.catalog.state("rebuild") != "running":
            number = int(self.catalog.state("run") or 0) + 1
            self.catalog.write(Batch(state={"run": number, "rebuild": "running", "cursor": ""}))
        run = int(self.catalog.state("run"))
        done = Rebuilt()
        with ThreadPoolExecutor(PARALLEL, "rebuild") as readers:
            for batch in batches(self._left(), _BATCH):
                if stop():
                    return done
                found = list(readers.map(lambda stored: self._read(stored, run), batch))
                self.catalog.write(
                    Batch(
                        entries=[one for one in found if isinstance(one, Entry)],
                        kept=[stored.key for stored in batch if stored.manifest is None],
                        run=run,
                        state={"cursor": batch[-1].folder},
                    )
                )
                done.messages += len(batch)
                listen(done)
        done.removed = self.catalog.remove_older(run)
        done.complete = True
        if self.catalog.state("rebuild") == "running":
            self.catalog.write(Batch(state={"rebuild": "", "cursor": ""}))
        return done

    def _left(self) -> Iterator[StoredMessage]:
        """Yield the messages in the order of their folders, without those that were read before an interruption."""
        cursor = self.catalog.state("cursor")
        for stored in stored_messages(self.store, self.layout.everything()):
            if not cursor or f"{stored.folder}/" > f"{cursor}/":
                yield stored

    def _read(self, stored: StoredMessage, run: int) -> Entry | None:
        if stored.manifest is None:
            return None
        seen_at = self.now()
        manifest = read_manifest(self.store, stored.manifest.key)
        return None if manifest is None else entry_of(manifest, seen_at, run=run)
