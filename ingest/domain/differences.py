"""What is different between two manifests of one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.domain.marks import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.domain.manifest import Manifest
    from ingest.domain.record import ObjectRef

# Characters of a text, and items of a list, in a change.
MOST_TEXT, MOST_ITEMS = 200, 32
# These say when and by what a message was read, or what a store answered, and nothing about the message.
_IGNORED = frozenset({"schema", "update", "manifest", "parse.parser"})
_OF_STORES = frozenset({"bucket", "etag", "version_id"})
# What identifies the items of a list.
_IDENTITIES = ("part", "main", "kind", "name")


def differences(before: Manifest, after: Manifest) -> list[Change]:
    """Return what is different, in the order of the manifest's fields."""
    old, new = (manifest.model_dump(mode="json", by_alias=True) for manifest in (before, after))
    return list(_of_objects("", old, new))


def objects_of(manifest: Manifest) -> Iterator[ObjectRef]:
    """Yield the objects that a manifest names, but for the raw mail."""
    bodies = [*manifest.bodies]
    for attachment in manifest.attachments:
        yield attachment.object
        if attachment.message is not None:
            bodies += attachment.message.bodies
    for body in bodies:
        yield body.object
        yield from (derived.object for derived in body.derived)


def _of_objects(path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys((*new, *old)):
        where = f"{path}.{name}" if path else name
        if where not in _IGNORED and not (name in _OF_STORES and path.endswith(".object")):
            yield from _of_values(where, old.get(name), new.get(name))


def _of_values(path: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, dict) or isinstance(new, dict):
        yield from _of_objects(path, old or {}, new or {})
    elif _is_of_objects(old) or _is_of_objects(new):
        yield from _of_lists(path, old or [], new or [])
    else:
        yield Change(path=path, kind="changed", before=_short(old), after=_short(new))


def _of_lists(path: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[Change]:
    name = next((name for name in _IDENTITIES if _identifies(name, old) and _identifies(name, new)), None)
    before, after = (_by_identity(items, name) for items in (old, new))
    for key in dict.fromkeys((*after, *before)):
        where = f"{path}[{key}]"
        if key not in before:
            yield Change(path=where, kind="added")
        elif key not in after:
            yield Change(path=where, kind="removed")
        else:
            yield from _of_objects(where, before[key], after[key])


def _is_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _identifies(name: str, items: list[dict[str, Any]]) -> bool:
    return all(name in item for item in items) and len({item[name] for item in items}) == len(items)


def _by_identity(items: list[dict[str, Any]], name: str | None) -> dict[str, dict[str, Any]]:
    return {str(number if name is None else item[name]): item for number, item in enumerate(items)}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value[:MOST_TEXT]
    return [str(each)[:MOST_TEXT] for each in value[:MOST_ITEMS]] if isinstance(value, list) else value
