"""Environment variables `MAILHAUL_*`, which take precedence over the files.

For example `MAILHAUL_LEDGER`, `MAILHAUL_METRICS__PORT`, `MAILHAUL_DEFAULTS__INTERVAL`.

A variable without `__` that names no section is ignored: it may hold a secret that `env:` refers to, or come from
Kubernetes, which defines variables for services.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ingest.config.document import Steps

PREFIX = "MAILHAUL_"
DELIMITER = "__"


def overrides(environ: Mapping[str, str], sections: Collection[str]) -> dict[str, Any]:
    """Return the values of the variables, in the shape of the configuration; an empty variable counts as not set.

    A variable of a section sets the whole of it, and variables of its options are merged into that. Names are
    compared without case.

    Args:
        environ: environment variables.
        sections: the names at the top of the configuration; variables of others are ignored.
    """
    found: dict[str, Any] = {}
    for steps, text in sorted(_variables(environ), key=lambda each: len(each[0])):
        if steps[0] not in sections:
            continue
        around: Any = found
        for step in steps[:-1]:
            around = around.setdefault(step, {})
            if not isinstance(around, dict):
                break  # the whole section is set to something that has no options
        else:
            around[steps[-1]] = _decoded(text)
    return found


def _variables(environ: Mapping[str, str]) -> list[tuple[list[str], str]]:
    named = ((name.lower(), value) for name, value in environ.items())
    prefix = PREFIX.lower()
    return [
        (name.removeprefix(prefix).split(DELIMITER), value)
        for name, value in named
        if value and name.startswith(prefix)
    ]


def _decoded(text: str) -> Any:
    """Decode lists and mappings from JSON; leave everything else for the models to validate."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def variable(steps: Steps) -> str:
    """Return the name of the variable for an option."""
    return PREFIX + DELIMITER.join(str(step) for step in steps).upper()


def variable_of(steps: Steps, environ: Mapping[str, str]) -> str | None:
    """Return the variable that set an option, if any."""
    names = {name.upper() for name, value in environ.items() if value}
    candidates = (variable(steps[:end]) for end in range(len(steps), 0, -1))
    return next((name for name in candidates if name in names), None)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge mappings option by option; any other value of `above` replaces that of `below`."""
    result = dict(below)
    for key, value in above.items():
        present = result.get(key)
        result[key] = merged(present, value) if isinstance(present, dict) and isinstance(value, dict) else value
    return result
