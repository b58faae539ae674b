"""Write attachments to a folder under safe names, without overwriting anything."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.cli.mailfile import ParsedMail


@dataclass(frozen=True, slots=True)
class Written:
    """The result for one attachment; `refusal` is why it was not written, None if it was."""

    path: Path
    refusal: str | None = None


@dataclass
class Extraction:
    """Writes the attachments of messages below `folder`.

    Args:
        folder: created if missing.
        apart: whether each message gets its own subfolder, named like its file.
    """

    folder: Path
    apart: bool
    _taken: set[str] = field(default_factory=set)

    def write(self, file: Path, mail: ParsedMail) -> list[Written]:
        """Write the attachments of one message: each under its part's path and its safe name, as in a store.

        Raises:
            OSError: the folder is not writable.
            StoreError: an attachment cannot be read.
        """
        folder = self.folder / self._name(file) if self.apart else self.folder
        written = []
        for attachment in mail.manifest.attachments:
            # Made of digits, dots and a name without separators; see `ingest.domain.keys`.
            target = folder / attachment.object.key.rpartition("/")[2]
            folder.mkdir(parents=True, exist_ok=True)
            with mail.store.open(attachment.object.key) as content:
                written.append(_write(target, content, attachment.sha256))
        return written

    def _name(self, file: Path) -> str:
        stem = file.stem if file.name != "-" else "standard-input"
        number, name = 1, stem
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name)
        return name


def _write(target: Path, content: BinaryIO, sha256: str) -> Written:
    try:
        # Exclusive creation: opens no existing file and follows no link.
        with target.open("xb") as file:
            try:
                shutil.copyfileobj(content, file)
                file.flush()
            except BaseException:
                target.unlink()
                raise
    except FileExistsError:
        if _is(target, sha256):
            return Written(target)
        return Written(target, "already exists with other content; left unchanged")
    return Written(target)


def _is(path: Path, sha256: str) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
