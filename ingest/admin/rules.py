"""Try conditions on stored manifests: what each would have let through, before it is used."""

from __future__ import annotations

import json
from concurrent.futures import wait
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from ingest.domain.manifest import SCHEMA
from ingest.errors import ObjectMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Executor

    from ingest.expressions import Expression
    from ingest.ports.store import Store, Stored

_MOST_EXAMPLES = 5
_AHEAD = 32  # manifests that are read at once
_KIND = SCHEMA.partition("/")[0]


@dataclass(slots=True)
class RuleResult:
    """What a condition came to.

    Attributes:
        matched: how many messages fulfil it.
        others: how many do not.
        failed: how many it could not be evaluated on; a sink gets those, too.
        examples: message keys of the newest that fulfil it, five at most.
    """

    matched: int = 0
    others: int = 0
    failed: int = 0
    examples: list[str] = field(default_factory=list)

    def count(self, key: str, matches: bool | None) -> None:  # noqa: FBT001 - three values
        """Count one message."""
        if matches is None:
            self.failed += 1
        elif matches:
            self.matched += 1
            self.examples = [key, *self.examples][:_MOST_EXAMPLES]
        else:
            self.others += 1


def try_rules(
    store: Store,
    manifests: Iterable[Stored],
    rules: Mapping[str, Expression],
    workers: Executor,
    listen: Callable[[int], None] = lambda _: None,
) -> dict[str, RuleResult]:
    """Evaluate conditions on manifests; returns the result of each by its name.

    Args:
        store: where they are.
        manifests: the oldest first. Purged messages, and those that are gone meanwhile, do not count.
        rules: the conditions by name.
        workers: read several manifests at once.
        listen: called with the number of manifests read.

    Raises:
        StoreError: the store is unavailable.
    """
    results = {name: RuleResult() for name in rules}
    for done, content in enumerate(_read(store, manifests, workers), 1):
        manifest = json.loads(content) if content is not None else {}
        if str(manifest.get("schema", "")).partition("/")[0] == _KIND:
            event = "oversize" if manifest["parse"]["status"] == "oversize" else "received"
            for name, rule in rules.items():
                results[name].count(manifest["message_key"], rule.matches(manifest, event))
        listen(done)
    return results


def _read(store: Store, manifests: Iterable[Stored], workers: Executor) -> Iterator[bytes | None]:
    left = iter(manifests)
    while batch := [workers.submit(_content, store, stored.key) for stored in islice(left, _AHEAD)]:
        wait(batch)
        yield from (future.result() for future in batch)


def _content(store: Store, key: str) -> bytes | None:
    try:
        with store.open(key) as content:
            return content.read()
    except ObjectMissingError:
        return None
