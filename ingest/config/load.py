"""Load files and variables into a `Config`, or report everything that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ingest.config import document, environment, problems, rules
from ingest.config.document import Document, shown
from ingest.config.fields import split_url
from ingest.config.model import Config
from ingest.config.secrets import Secrets, is_reference
from ingest.domain.clusters import read_cluster
from ingest.domain.sentinels import read_sentinels
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.config.document import Steps

# Addresses that may contain a password, and so may be given by reference like a secret.
_ADDRESSES = ("ledger", "broker")
_MOST_PROBLEMS = 200


def folder_of(path: Path | None) -> Path:
    """Return the folder that relative paths in the configuration are relative to."""
    if path is None:
        return Path.cwd()
    return path.absolute() if path.is_dir() else path.absolute().parent


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read, merge and validate the configuration.

    Args:
        path: a YAML file, a folder of them, or None where variables say everything.
        environ: environment variables; `MAILHAUL_*` take precedence over the files.

    Raises:
        ConfigError: one line for each problem, with file, line, path and remedy.
    """
    files = Document() if path is None else document.read(path)
    if files.problems:
        raise ConfigError(_first(files.problems))
    return _Loading(path, environ, files).config()


_NOTHING = (
    "there is no configuration: name its file with --config, or set MAILHAUL_* variables; "
    "`mailhaul init` writes a first one to mailhaul.yaml, which is used where it is"
)


class _Loading:
    def __init__(self, path: Path | None, environ: Mapping[str, str], files: Document) -> None:
        self._path, self._environ, self._files = path, environ, files
        self._folder = folder_of(path)

    def config(self) -> Config:
        variables = environment.overrides(self._environ, Config.model_fields)
        if self._path is None and not variables:
            raise ConfigError([_NOTHING])
        data = self._with_addresses(environment.merged(self._files.values, variables))
        try:
            config = Config.model_validate(data, context={"folder": self._folder})
        except ValidationError as error:
            found = list(problems.found_in(error, data))
        else:
            found = list(rules.broken(config, self._place))
            if not found:
                return config
        # Not chained: a traceback of the cause would show values, which may be secrets.
        found.sort(key=lambda problem: self._order(problem[0]))
        raise ConfigError(_first([f"{self._place(steps)}: {words}" for steps, words in found])) from None

    def _place(self, steps: Steps) -> str:
        name = environment.variable_of(steps, self._environ)
        if name is not None:
            return f"environment variable {self._full_name(name, steps)}"
        mark = self._files.mark(steps)
        if mark is None:
            return f"environment variable {environment.variable(steps)}" if steps else "the configuration"
        # A missing option has no line, so the line of its section is shown.
        rest = steps[len(mark.steps) :]
        return f"{mark.file}:{mark.line}: {shown((*mark.steps, *rest))}"

    def _order(self, steps: Steps) -> tuple[str, int]:
        mark = self._files.mark(steps)
        return (mark.file, mark.line) if mark else ("", 0)

    def _full_name(self, name: str, steps: Steps) -> str:
        whole = environment.variable(steps)
        return name if whole == name else f"{name} ({shown(steps)})"

    def _with_addresses(self, data: dict[str, Any]) -> dict[str, Any]:
        """Replace references to the addresses of ledger and broker by the addresses."""
        secrets = Secrets(self._folder, self._environ)
        found: dict[str, Any] = {}
        problems_found: list[str] = []
        for name in _ADDRESSES:
            written = data.get(name)
            try:
                if isinstance(written, str) and is_reference(written):
                    found[name] = secrets.read(written)
                elif environment.variable_of((name,), self._environ) is None and _has_password(written):
                    problems_found.append(self._password_problem(name))
            except ConfigError as error:
                problems_found += [f"{self._place((name,))}: {problem}" for problem in error.problems]
        if problems_found:
            raise ConfigError(problems_found)
        return {**data, **found}

    def _password_problem(self, name: str) -> str:
        return (
            f"{self._place((name,))}: must not contain a password; put the whole address into a file and write "
            f"`{name}: file:/path/of/the/file`, or into the environment variable {environment.variable((name,))}"
        )


def _first(problems_found: list[str]) -> list[str]:
    """Return the first problems, and the number of others."""
    more = len(problems_found) - _MOST_PROBLEMS
    return (
        problems_found
        if more <= 0
        else [*problems_found[:_MOST_PROBLEMS], f"and {more:,} more problems; fix these first"]
    )


def _has_password(written: object) -> bool:
    if isinstance(written, dict):
        written = written.get("url")
    if not isinstance(written, str):
        return False
    try:
        sentinels = read_sentinels(written)
        if sentinels is not None:
            return (sentinels.login.password or sentinels.sentinel_login.password) is not None
        cluster = read_cluster(written)
        if cluster is not None:
            return cluster.login.password is not None
        return split_url(written).password is not None
    except ValueError:
        return False  # the model reports what is wrong with it
