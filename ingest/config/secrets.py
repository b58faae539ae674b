"""References to secrets, `env:NAME` or `file:/path`: the configuration never contains the secret itself."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\0\r\n]*[^\0\r\n/]")
# Bytes; the largest secrets, keys of service accounts, have a few thousand.
_LARGEST = 2**20
_REMEDY = (
    "must be a reference, not the secret itself: put the secret into a file and write `file:/path/of/the/file`, "
    "or into an environment variable and write `env:NAME`"
)


def is_reference(value: object) -> bool:
    """Return whether a value is a reference to a secret."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _reference(value: object) -> object:
    if not is_reference(value):
        raise ValueError(_REMEDY)
    return value


SecretRef = Annotated[
    str,
    BeforeValidator(
        _reference, json_schema_input_type=Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")]
    ),
]


@dataclass(frozen=True, slots=True)
class _Cached:
    version: tuple[int, int, int]
    text: str


class Secrets:
    """Reads secrets. A changed file is read again, so that secrets can be rotated while the service runs.

    Args:
        folder: what relative `file:` paths are relative to: the folder of the configuration.
        environ: the variables that `env:` refers to.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self._files: dict[Path, _Cached] = {}

    def read(self, ref: str) -> str:
        """Return the secret at a reference, without trailing line ends, which editors and `echo` add.

        Raises:
            ConfigError: it is missing, unreadable or empty; the text names reference and remedy.
        """
        kind, _, where = ref.partition(":")
        if kind == "env":
            return _filled(ref, self._environ.get(where, ""), f"set the environment variable {where}")
        return _filled(ref, self._file(ref, self._folder / where), "write the secret into this file")

    def _file(self, ref: str, path: Path) -> str:
        try:
            # Follows links: Kubernetes swaps a linked folder when a secret changes, so the inode changes.
            found = path.stat()
            # Reading a folder raises below; a device or a pipe might never end.
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)) or found.st_size > _LARGEST:
                raise ConfigError([f"{ref}: is not a regular file of at most 1 MiB"])
            version = (found.st_mtime_ns, found.st_ino, found.st_size)
            cached = self._files.get(path)
            if cached is None or cached.version != version:
                cached = self._files[path] = _Cached(version, path.read_bytes().decode())
        except FileNotFoundError:
            raise ConfigError([f"{ref}: there is no file {path}; write the secret into it"]) from None
        except IsADirectoryError:
            raise ConfigError([f"{ref}: is a folder; name the file in it that holds the secret"]) from None
        except OSError as error:
            raise ConfigError(
                [f"{ref}: cannot be read ({error.strerror}); make it readable for the service's user"]
            ) from error
        except UnicodeDecodeError:
            # Not chained: the cause contains the bytes.
            raise ConfigError([f"{ref}: is not UTF-8; write the secret as plain text"]) from None
        return cached.text


def _filled(ref: str, text: str, remedy: str) -> str:
    stripped = text.rstrip("\r\n")
    if not stripped:
        raise ConfigError([f"{ref}: there is no secret; {remedy}"])
    return stripped
