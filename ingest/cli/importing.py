"""Import the modules of a process without work that nothing here needs."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# What libraries import only if it is installed, and Mailhaul does not use through them: structlog tracebacks in
# colour, and colours on Windows, redis its metrics for OpenTelemetry. None in `sys.modules` means: not installed.
_OPTIONAL = ("colorama", "opentelemetry.sdk.metrics", "rich")
# redis imports its asynchronous client whether or not it is used. An empty package takes its place meanwhile, whose
# modules can be imported: redis itself needs one of them.
_ASYNCHRONOUS = "redis.asyncio"
# pydantic and kombu look for plug-ins in the metadata of every installed package.
_NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"
_PLUGINS_OF_KOMBU = "kombu."


@contextmanager
def fast_imports() -> Iterator[None]:
    """Import inside the `with` block, at about two thirds of the CPU time.

    The garbage collector pauses meanwhile, as none of the hundreds of thousands of objects is garbage. Afterwards it
    leaves them alone: later collections do not look at them.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None is allowed, see above
    replaced: dict[str, ModuleType | None] = {
        **dict.fromkeys(_OPTIONAL),
        _ASYNCHRONOUS: _empty_package(_ASYNCHRONOUS),
    }
    hidden = {name: module for name, module in replaced.items() if name not in modules}
    modules.update(hidden)
    os.environ.setdefault(_NO_PLUGINS, "1")
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        for name in hidden:
            del modules[name]


def _empty_package(name: str) -> ModuleType:
    """Return a package without its `__init__`; its modules are found where those of the real one are."""
    package = ModuleType(name)
    parent, _, folder = name.partition(".")
    found = PathFinder.find_spec(parent)
    package.__path__ = [f"{path}/{folder}" for path in (found and found.submodule_search_locations) or ()]
    return package


@contextmanager
def without_plugins() -> Iterator[None]:
    """Let kombu find no plug-ins in the `with` block: its own serializers will do, and a scan takes milliseconds."""
    from importlib import metadata  # noqa: PLC0415 - commands start without it

    found = metadata.entry_points

    def entry_points(**wanted: Any) -> Any:
        return metadata.EntryPoints() if wanted.get("group", "").startswith(_PLUGINS_OF_KOMBU) else found(**wanted)

    metadata.entry_points = entry_points
    try:
        yield
    finally:
        metadata.entry_points = found
