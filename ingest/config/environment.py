"""Variables `MAILHAUL_*` over the files: `MAILHAUL_LEDGER`, `MAILHAUL_METRICS__PORT`, `MAILHAUL_DEFAULTS__INTERVAL`.

A name without `__` that is no section is left alone: it may be a secret that `env:` names, or one of the variables
that Kubernetes makes from the names of services.
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
    """Only tells the source below which fields there are; never made."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=DELIMITER)


class _Source(EnvSettingsSource):
    """Takes variables from a mapping instead of from the process; an empty one counts as not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {name.lower(): value for name, value in environ.items() if value}
        super().__init__(_Variables)

    def _load_env_vars(self) -> Mapping[str, str]:
        return self._environ

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002 - its signature
        """Lists and mappings may be JSON; everything else stays as it is, for the models to judge."""
        if not value.startswith(("{", "[")):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value


def overrides(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the variables say, in the shape of the configuration."""
    return _Source(environ)()


def variable(steps: Steps) -> str:
    """The name of the variable for an option."""
    return PREFIX + DELIMITER.join(str(step) for step in steps).upper()


def variable_of(steps: Steps, environ: Mapping[str, str]) -> str | None:
    """The variable that an option's value came from, if any."""
    names = {name.upper() for name, value in environ.items() if value}
    candidates = (variable(steps[:end]) for end in range(len(steps), 0, -1))
    return next((name for name in candidates if name in names), None)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged option by option; everything else above replaces what is below."""
    result = dict(below)
    for key, value in above.items():
        present = result.get(key)
        result[key] = merged(present, value) if isinstance(present, dict) and isinstance(value, dict) else value
    return result
