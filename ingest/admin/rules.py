"""Try rules and the conditions of sinks on stored manifests: what each would have caught, before it is used."""

from __future__ import annotations

import json
from concurrent.futures import wait
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from ingest.domain.manifest import SCHEMA
from ingest.errors import ObjectMissingError
from ingest.usecases.process.rules import evaluate, event_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from ingest.ports.store import Store, Stored
    from ingest.usecases.process.rules import Rule

_MOST_EXAMPLES = 5
_AHEAD = 32  # manifests that are read at once
_RULE = "rule:"
_KIND = SCHEMA.partition("/")[0]


class Condition(Protocol):
    """A condition on a message: an expression, or all that a sink asks for."""

    def matches(self, manifest: Mapping[str, Any], event: str) -> bool | None:
        """Return whether a message fulfils it; see `Expression.matches`."""
        ...

    def failure(self, manifest: Mapping[str, Any], event: str) -> str | None:
        """Return why it cannot be evaluated; see `Expression.failure`."""
        ...


@dataclass(slots=True)
class RuleResult:
    """What a condition came to.

    Attributes:
        matched: how many messages fulfil it.
        others: how many do not.
        held: how many of the others are in quarantine, where most sinks get none.
        failed: how many it could not be evaluated on; it counts as fulfilled there.
        examples: message keys of the newest that fulfil it, five at most.
        subjects: those of the examples, by message key.
        failures: why it could not be evaluated, and on how many messages; five reasons at most.
    """

    matched: int = 0
    others: int = 0
    held: int = 0
    failed: int = 0
    examples: list[str] = field(default_factory=list)
    subjects: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def count_failure(self, reason: str | None) -> None:
        """Count why it could not be evaluated on one message."""
        if reason is not None and (reason in self.failures or len(self.failures) < _MOST_EXAMPLES):
            self.failures[reason] = self.failures.get(reason, 0) + 1

    def count(self, manifest: Mapping[str, Any], matches: bool | None) -> None:  # noqa: FBT001 - three values
        """Count one message."""
        if matches is None:
            self.failed += 1
        elif matches:
            self.matched += 1
            key = manifest["message_key"]
            self.examples = [key, *self.examples][:_MOST_EXAMPLES]
            self.subjects[key] = manifest["headers"]["subject"] or ""
            self.subjects = {each: self.subjects[each] for each in self.examples}
        else:
            self.others += 1


def try_rules(
    store: Store,
    manifests: Iterable[Stored],
    rules: Sequence[Rule],
    conditions: Mapping[str, Condition],
    workers: Executor,
    *,
    listen: Callable[[int], None] = lambda _: None,
) -> dict[str, RuleResult]:
    """Evaluate rules and conditions on manifests.

    Args:
        store: where they are.
        manifests: the oldest first. Purged messages, and those that are gone meanwhile, do not count.
        rules: applied first, so that conditions see their labels and quarantine.
        conditions: by name.
        workers: read several manifests at once.
        listen: called with the number of manifests read.

    Returns:
        The result of each condition by its name, and of each rule by `rule:` and its name.

    Raises:
        StoreError: the store is unavailable.
    """
    results = {name: RuleResult() for name in (*(f"{_RULE}{rule.name}" for rule in rules), *conditions)}
    for done, content in enumerate(_read(store, manifests, workers), 1):
        manifest = json.loads(content) if content is not None else {}
        if str(manifest.get("schema", "")).partition("/")[0] == _KIND:
            event = event_kind(manifest)
            holding = {rule.name: rule.failed for rule in evaluate(rules, manifest, event).rules}
            for rule in rules:
                failed = holding.get(rule.name)
                result = results[f"{_RULE}{rule.name}"]
                result.count(manifest, None if failed else failed is not None)
                if failed:
                    result.count_failure(rule.when.failure(manifest, event))
            for name, condition in conditions.items():
                matches = condition.matches(manifest, event)
                results[name].count(manifest, matches)
                results[name].held += matches is False and manifest["quarantine"] is not None
                if matches is None:
                    results[name].count_failure(condition.failure(manifest, event))
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
