"""A message's way with the catalog: from the listing on its server to what each consumer answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ingest.admin.stored_messages import StoredMessage
from ingest.admin.timeline import Step, delivery_step, stored_steps
from ingest.catalog.answers import AnswerRow, read_answers
from ingest.domain.events import event_ids
from ingest.ports.status import answer_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ingest.catalog.queries import Queries
    from ingest.wiring.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Timeline:
    """Collects what store, ledger and catalog know of a message."""

    runtime: Runtime
    queries: Queries

    def steps(self, row: Mapping[str, Any]) -> list[Step]:
        """Return the steps of a message.

        Args:
            row: the catalog's.

        Raises:
            StoreError, LedgerUnavailableError, CatalogError: a part is unavailable.
        """
        steps, updates = self._stored(row)
        steps += self._unfinished(row["key"])
        ids = event_ids([row["key"]], updates)
        answers = read_answers(self.queries.engine, ids)
        listed = [Step("listed", one.at, note="as new") for one in answers if not one.sink][:1]
        return [*listed, *steps, *self._events(row["position"], ids, answers)]

    def _stored(self, row: Mapping[str, Any]) -> tuple[list[Step], int]:
        """Return what the store shows, and how many updates there were."""
        if row["manifest"] is None:
            return [Step("failed", row["seen_at"], "failed")], 0
        folder = row["manifest"].rpartition("/")[0]
        objects = tuple(self.runtime.store.stored(f"{folder}/"))
        message = StoredMessage("", folder, row["key"], objects)
        manifest, updates = message.manifest, message.updates
        steps = list(stored_steps(self.runtime.store, folder, objects))
        at = manifest.modified if manifest else None
        steps.append(Step("updated", at, note=f"update {updates}") if updates else Step("processed", at))
        return steps, updates

    def _unfinished(self, key: str) -> Iterator[Step]:
        """Yield what a processor has not done yet. An update that fails leaves the message as it is."""
        (message,) = self.runtime.ledger.open_messages([key])
        if message is not None:
            yield Step("processed", None, "waiting", note="" if message.update is None else "an update")

    def _events(self, position: str | None, ids: Sequence[str], answers: Sequence[AnswerRow]) -> Iterator[Step]:
        published = None if position is None else int(position.partition("-")[0]) / 1000
        if position is None:
            yield Step("published", None, "unknown", note="before the catalog followed the stream")
            confirmed = None
        else:
            yield Step("published", published)
            confirmed = self.queries.confirmed_at(position)
        for sink in self.runtime.sinks:
            last = next((one for one in reversed(answers) if one.sink == sink), None)
            at = None if confirmed is None else confirmed.get(sink)
            if last is not None and last.is_confirmed and (published is None or last.at >= published):
                at = last.at
            step = delivery_step(self.runtime.events, sink, ids, confirmed=at is not None, at=at)
            if confirmed is not None or step.state != "waiting":
                yield _answered(step, last)


def _answered(step: Step, last: AnswerRow | None) -> Step:
    """Return a step of delivery with what the consumer answered."""
    if last is None or (step.state == "done") != last.is_confirmed:
        return step
    if step.state == "waiting":
        return step
    said = [f"not for it (`{last.answer or 'where'}`)"] if last.verdict == "skipped" else []
    if last.answer and last.verdict != "skipped":
        said.append(answer_in_words(last.answer))
    if last.tries > 1:
        said.append(f"{last.tries} tries")
    if last.is_confirmed and last.failure:
        said.append(f"the last failure: {answer_in_words(last.failure)}")
    return replace(step, at=last.at, note=", ".join(said), answer=last.answer, tries=last.tries)
