"""Rules: conditions on the manifest that label a message, or put it in quarantine.

Nothing is dropped. The event of a message in quarantine is published like any other; sinks skip it unless they ask
for such messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from structlog import get_logger

from ingest.domain.marks import AppliedRule, Quarantine
from ingest.mime.defects import Defect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.domain.manifest import Manifest
    from ingest.expressions import Expression

log = get_logger()


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows from a condition.

    Attributes:
        name: names it in manifests and logs.
        when: the condition. One that fails holds: a mail that makes it fail must not escape its label or quarantine.
        labels: given to a message that fulfils it.
        quarantine: whether such a message is quarantined.
    """

    name: str
    when: Expression
    labels: tuple[str, ...] = ()
    quarantine: bool = False


@dataclass(slots=True)
class Applied:
    """What the rules came to for one message.

    Attributes:
        rules: those that hold, in their order.
        labels: of all of them, each once.
        quarantine: the first that quarantines.
    """

    rules: list[AppliedRule] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    quarantine: Quarantine | None = None


def evaluate(rules: Sequence[Rule], manifest: dict[str, Any], event: str) -> Applied:
    """Apply rules one after the other; a condition sees the labels and the quarantine of those before it.

    Args:
        rules: in their order.
        manifest: as JSON; its labels, rules and quarantine are replaced.
        event: as for `Expression.matches`.
    """
    done = Applied()
    manifest |= {"labels": done.labels, "rules": [], "quarantine": None}
    for rule in rules:
        holds = rule.when.matches(manifest, event)
        if holds is False:
            continue
        applied = AppliedRule(
            name=rule.name, labels=list(rule.labels), quarantine=rule.quarantine, failed=holds is None
        )
        done.rules.append(applied)
        manifest["rules"].append(applied.model_dump())
        done.labels += [label for label in rule.labels if label not in done.labels]
        if rule.quarantine and done.quarantine is None:
            done.quarantine = Quarantine(rule=rule.name)
            manifest["quarantine"] = done.quarantine.model_dump()
    return done


def event_kind(manifest: dict[str, Any]) -> str:
    """Return what conditions know as `event`, by a manifest as JSON."""
    return "oversize" if manifest["parse"]["status"] == "oversize" else "received"


def with_rules(manifest: Manifest, rules: Sequence[Rule]) -> Manifest:
    """Return a manifest with what the rules say about its message."""
    if not rules:
        return manifest
    values = manifest.model_dump(mode="json", by_alias=True)
    done = evaluate(rules, values, event_kind(values))
    if not done.rules:
        return manifest
    parse = manifest.parse
    failed = [rule.name for rule in done.rules if rule.failed]
    for name in failed:
        log.warning("message.rule_failed", mailbox=manifest.mailbox.id, message=manifest.message_key, rule=name)
    if failed:
        defects = sorted({*parse.defects, Defect.RULE_FAILED.value})
        parse = parse.model_copy(update={"defects": defects})
    return manifest.model_copy(
        update={"rules": done.rules, "labels": done.labels, "quarantine": done.quarantine, "parse": parse}
    )
