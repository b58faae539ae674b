"""Environment variables `MAILHAUL_*`, which take precedence over the files.

For example `MAILHAUL_LEDGER`, `MAILHAUL_METRICS__PORT`, `MAILHAUL_DEFAULTS__INTERVAL`.

A variable without `__` that names no section is ignored: it may hold a secret that `env:` refers to, or come from
Kubernetes, which defines variables for services.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from ingest.config.model import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from ingest.config.document import Steps

PREFIX = "MAILHAUL_"
DELIMITER = "__"


class _Variables(Config, BaseSettings):
    """Names the fields for the source below; never instantiated."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=DELIMITER)


class _Source(EnvSettingsSource):
    """Takes variables from a mapping instead of the process; an empty one counts as not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {name.lower(): value for name, value in environ.items() if value}
        super().__init__(_Variables)

    def _load_env_vars(self) -> Mapping[str, str]:
        return self._environ

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002 - its signature
        """Decode lists and mappings from JSON; leave everything else for the models to validate."""
        if not value.startswith(("{", "[")):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value


def overrides(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the variables, in the shape of the configuration."""
    return _Source(environ)()


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
