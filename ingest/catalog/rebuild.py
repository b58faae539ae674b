"""Build the catalog again from the manifests in the store, beside the service."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.admin.stored_messages import stored_messages
from ingest.catalog.catalog import Batch, Catalog
from ingest.catalog.reading import PARALLEL, Unreadable, read_all, read_indexed
from ingest.catalog.rows import Entry, entry_of
from ingest.errors import StoreCorruptError
from ingest.usecases.batches import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.admin.stored_messages import StoredMessage
    from ingest.domain.keys import Layout
    from ingest.ports.store import Store

# Messages of one transaction.
_BATCH = 500
# So many manifests, none of which can be read, are not the fault of the manifests.
_SUSPICIOUS = 10


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
        run = self._begin()
        done = Rebuilt()
        with ThreadPoolExecutor(PARALLEL, "rebuild") as readers:
            for batch in batches(self._left(run), _BATCH):
                if stop() or self._run() != run:
                    return done
                removals = self.catalog.removals
                found = read_all(readers, lambda stored: self._read(stored, run), batch)
                unreadable = [one.key for one in found if isinstance(one, Unreadable)]
                if len(unreadable) == len(found) >= _SUSPICIOUS:
                    raise StoreCorruptError("no manifest can be read")
                self.catalog.write(
                    Batch(
                        entries=[one for one in found if isinstance(one, Entry)],
                        removals=removals,
                        kept=[stored.key for stored in batch if stored.manifest is None] + unreadable,
                        run=run,
                        state={"cursor": f"{run} {batch[-1].folder}"},
                    )
                )
                done.messages += len(batch)
                listen(done)
        done.removed = self.catalog.remove_older(run)
        self.catalog.tune(stop)
        done.complete = True
        self.catalog.change_state({"rebuild": "running", "run": str(run)}, {"rebuild": "", "cursor": ""})
        return done

    def _run(self) -> int:
        return int(self.catalog.state("run") or 0)

    def _begin(self) -> int:
        """Return the number of the rebuild that was interrupted, or of a new one."""
        run = self._run()
        state = {"rebuild": self.catalog.state("rebuild"), "run": str(run or "")}
        if state["rebuild"] != "running":
            # Of two that begin at once, one begins; the other one helps.
            begun = {"run": str(run + 1), "rebuild": "running", "cursor": ""}
            run = run + 1 if self.catalog.change_state(state, begun) else self._run()
        return run

    def _left(self, run: int) -> Iterator[StoredMessage]:
        """Yield the messages in the order of their folders, without those that were read before an interruption."""
        # An earlier rebuild that does not know of this one yet may still write how far it is.
        number, _, cursor = self.catalog.state("cursor").partition(" ")
        cursor = cursor if number == str(run) else ""
        for stored in stored_messages(self.store, self.layout.everything()):
            if not cursor or f"{stored.folder}/" > f"{cursor}/":
                yield stored

    def _read(self, stored: StoredMessage, run: int) -> Entry | Unreadable | None:
        if stored.manifest is None:
            return None
        manifest = read_indexed(self.store, stored.manifest.key, stored.key)
        if manifest is None or isinstance(manifest, Unreadable):
            return manifest
        return entry_of(manifest, self.now(), run=run, processed=stored.manifest.modified)
