"""Secrets are never written into the configuration, only where they are: `env:NAME` or `file:/path`."""

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
# Bytes; the largest there are, keys of service accounts, have some thousands.
_LARGEST = 2**20
_REMEDY = (
    "a secret is not written here, only where it is: put it into a file and write `file:/path/of/the/file`, "
    "or into an environment variable and write `env:NAME`"
)


def is_reference(value: object) -> bool:
    """Whether this says where a secret is."""
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
    """Reads secrets. A file is read again when it changed, so that secrets can be rotated under a running service.

    Args:
        folder: what relative `file:` paths are relative to: the folder of the configuration.
        environ: the variables that `env:` names.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self._files: dict[Path, _Cached] = {}

    def read(self, ref: str) -> str:
        """The secret at a reference, without the line ends that editors and `echo` leave behind it.

        Raises:
            ConfigError: it is missing, cannot be read, or empty; the text names the reference and the remedy.
        """
        kind, _, where = ref.partition(":")
        if kind == "env":
            return _filled(ref, self._environ.get(where, ""), f"set the environment variable {where}")
        return _filled(ref, self._file(ref, self._folder / where), "write the secret into this file")

    def _file(self, ref: str, path: Path) -> str:
        try:
            # Follows links: Kubernetes swaps a folder of links when a secret changes, so that the inode is another.
            found = path.stat()
            # A folder is told of when it is read; a device or a pipe would have no end.
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)) or found.st_size > _LARGEST:
                raise ConfigError([f"{ref}: is not a file with a secret in it; write the secret into a small file"])
            version = (found.st_mtime_ns, found.st_ino, found.st_size)
            cached = self._files.get(path)
            if cached is None or cached.version != version:
                cached = self._files[path] = _Cached(version, path.read_bytes().decode())
        except OSError as error:
            raise ConfigError([f"{ref}: cannot be read ({error.strerror}); make the file readable for us"]) from error
        except UnicodeDecodeError:
            # Not from the error, which holds the bytes.
            raise ConfigError([f"{ref}: is not UTF-8; write the secret as plain text"]) from None
        return cached.text


def _filled(ref: str, text: str, remedy: str) -> str:
    stripped = text.rstrip("\r\n")
    if not stripped:
        raise ConfigError([f"{ref}: there is no secret; {remedy}"])
    return stripped
