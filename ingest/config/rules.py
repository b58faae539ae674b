"""What no option can tell by itself: how mailboxes and sinks must differ from one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.config import translate
from ingest.domain.mailbox import Tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.config.document import Steps
    from ingest.config.model import Config


def broken(config: Config, place: Callable[[Steps], str]) -> Iterator[tuple[Steps, str]]:
    """Each rule that does not hold, as a path and what to do.

    Args:
        config: valid by itself.
        place: names the place of a path, for problems that are about two of them.
    """
    yield from _repeated(
        ((("sinks", number, "name"), sink.name) for number, sink in enumerate(config.sinks)),
        lambda first: f"is the name of the sink at {place(first)} too; choose another",
    )
    yield from _repeated(
        ((("mailboxes", number, "id"), box.id) for number, box in enumerate(config.mailboxes)),
        lambda first: f"is the id of the mailbox at {place(first)} too; choose another",
    )
    yield from _repeated(
        (
            (("mailboxes", number, "auth", "username"), (box.host.lower(), box.auth.username))
            for number, box in enumerate(config.mailboxes)
        ),
        lambda first: f"is the same maildrop as at {place(first)}; a maildrop has one reader, so keep one of them",
    )
    yield from _same_folder(config, place)
    yield from _trust_without_tls(config)


def _repeated(values: Iterator[tuple[Steps, object]], words: Callable[[Steps], str]) -> Iterator[tuple[Steps, str]]:
    first: dict[object, Steps] = {}
    for steps, value in values:
        if value in first:
            yield steps, words(first[value])
        first.setdefault(value, steps)


def _same_folder(config: Config, place: Callable[[Steps], str]) -> Iterator[tuple[Steps, str]]:
    """Two mailboxes in one folder would overwrite each other's checkpoint."""
    ids = {box.id: number for number, box in enumerate(config.mailboxes)}
    first: dict[str, int] = {}
    for number, box in enumerate(config.mailboxes):
        if box.prefix is None:
            continue
        other = ids.get(box.prefix, first.get(box.prefix, number))
        if other != number:
            where = place(("mailboxes", other))
            yield ("mailboxes", number, "prefix"), f"is the folder of the mailbox at {where} too; choose another"
        first.setdefault(box.prefix, number)


def _trust_without_tls(config: Config) -> Iterator[tuple[Steps, str]]:
    for number, box in enumerate(config.mailboxes):
        if translate.tls(box, config.defaults) is not Tls.NONE:
            continue
        for option in ("ca", "fingerprint"):
            if getattr(box, option) is not None:
                yield (
                    ("mailboxes", number, option),
                    "has no effect without TLS; leave it out, or choose another `tls`",
                )
