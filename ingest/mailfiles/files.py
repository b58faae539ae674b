"""Find mail in files and folders, and read it."""

from __future__ import annotations

import os
import zipfile
import zlib
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from ingest.errors import MailhaulError
from ingest.mailfiles.lines import with_crlf
from ingest.mailfiles.mbox import Dialect, NoMboxError, begins_mbox, read_mbox
from ingest.mailfiles.recognise import HEAD_BYTES, is_mail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_CHUNK_BYTES = 256 * 1024
_MAGIC_BYTES = 4096
_MAILDIR = ("cur", "new")
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"(\xb5/\xfd": "unzstd"}


class Form(StrEnum):
    """What a file holds."""

    MESSAGE = "message"
    MAILDIR = "maildir"  # a message whatever it looks like
    MBOX = "mbox"
    ZIP = "zip"


class UnreadableMailError(MailhaulError):
    """A file, or a message in one, cannot be read; the text says why, without its name."""

    code = "unreadable_mail"


@dataclass(frozen=True, slots=True)
class MailSource:
    """A file with mail. `size` is in bytes."""

    path: Path
    form: Form
    size: int


@dataclass(slots=True)
class FoundMail:
    """What was found in files and folders.

    Attributes:
        sources: files with mail, in the order in which they are to be read.
        others: how many files in the folders hold no mail.
        problems: files that cannot be read, each with the reason.
    """

    sources: list[MailSource] = field(default_factory=list)
    others: int = 0
    problems: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The bytes of all files with mail."""
        return sum(source.size for source in self.sources)


@dataclass(frozen=True, slots=True)
class MailFile:
    """One message in a file.

    Attributes:
        name: of the message within its file: empty, a position, or the name of a ZIP's entry; only for the terminal.
        position: about how many bytes of the file come before it.
        open: returns the bytes of the message, with CRLF. Called once, before the next message is asked for. Reading
            raises `UnreadableMailError` if this one message is damaged.
    """

    name: str
    position: int
    open: Callable[[], Iterator[bytes]]


def find_mail(paths: Iterable[Path]) -> FoundMail:
    """Return the mail in these files and, with all their subfolders, in these folders.

    A file that was named is read as what its first bytes are: a ZIP archive, an mbox file, or one message. In a
    folder only `.eml` and `.zip` files and mbox files are read, and all files of a Maildir (a folder with `cur` and
    `new`) but those in `tmp`, which are not complete.
    """
    found = FoundMail()
    for path in paths:
        if path.is_dir():
            _search(path, found)
        else:
            _add(path, found, in_maildir=False, named=True)
    return found


def _search(top: Path, found: FoundMail) -> None:
    def note(error: OSError) -> None:
        found.problems.append((Path(error.filename), error.strerror or "cannot be read"))

    for folder, subfolders, names in os.walk(top, onerror=note):
        here = Path(folder)
        maildir = here if here.name not in (*_MAILDIR, "tmp") else here.parent
        in_maildir = all((maildir / each).is_dir() for each in _MAILDIR)
        subfolders.sort()
        if in_maildir and here == maildir and "tmp" in subfolders:
            subfolders.remove("tmp")
        for name in sorted(names):
            _add(here / name, found, in_maildir=in_maildir and here != maildir, named=False)


def _add(path: Path, found: FoundMail, *, in_maildir: bool, named: bool) -> None:
    try:
        size = path.stat().st_size
        # Reading a pipe or a device might never end.
        form = None if not path.is_file() else Form.MAILDIR if in_maildir else _form(path, named=named)
    except OSError as error:
        found.problems.append((path, error.strerror or "cannot be read"))
        return
    if form is not None:
        found.sources.append(MailSource(path, form, size))
    elif named:
        found.problems.append((path, "is no file"))
    else:
        found.others += 1


def _form(path: Path, *, named: bool) -> Form | None:
    """Return what a file is by its first bytes; None if it is not named, and its name does not promise mail."""
    with path.open("rb") as file:
        head = file.read(_MAGIC_BYTES)
    suffix = path.suffix.lower()
    if head.startswith(b"PK") and (named or suffix == ".zip"):
        return Form.ZIP
    if begins_mbox(head):
        return Form.MBOX
    return Form.MESSAGE if named or suffix == ".eml" else None


def read_mail(source: MailSource, dialect: Dialect) -> Iterator[MailFile]:
    """Yield the messages of a file.

    Args:
        source: as `find_mail` found it.
        dialect: of an mbox file.

    Raises:
        UnreadableMailError: the file cannot be read, or holds no mail.
    """
    try:
        with source.path.open("rb") as file:
            yield from _READERS[source.form](file, dialect)
    except OSError as error:
        raise UnreadableMailError(error.strerror or "cannot be read") from error
    except NoMboxError as error:
        raise UnreadableMailError(str(error)) from error


def _message(file: BinaryIO, _: Dialect) -> Iterator[MailFile]:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    for magic, tool in _COMPRESSED.items():
        if head.startswith(magic):
            raise UnreadableMailError(f"is compressed: run `{tool}` first")
    _require_mail(head)
    yield MailFile("", 0, lambda: with_crlf(_chunks(file)))


def _maildir(file: BinaryIO, _: Dialect) -> Iterator[MailFile]:
    yield MailFile("", 0, lambda: with_crlf(_chunks(file)))


def _mbox(file: BinaryIO, dialect: Dialect) -> Iterator[MailFile]:
    for message in read_mbox(file, dialect):
        yield MailFile(f"byte {message.position:,}", message.position, partial(with_crlf, message.pieces))


def _zip(file: BinaryIO, _: Dialect) -> Iterator[MailFile]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UnreadableMailError("is a damaged ZIP archive") from error
    with closing(archive):
        for entry in archive.infolist():
            if not entry.is_dir() and entry.filename.lower().endswith(".eml"):
                yield MailFile(entry.filename, entry.header_offset, partial(_entry, archive, entry))


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(entry) as file:
            head = file.read(HEAD_BYTES)
            _require_mail(head)
            yield from with_crlf(_with_head(head, file))
    except RuntimeError as error:  # zipfile's way to report a password
        raise UnreadableMailError("is encrypted: take it out of the archive with its password first") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise UnreadableMailError("is damaged in its archive") from error
    except NotImplementedError as error:
        raise UnreadableMailError("is compressed with a method that is not supported") from error


def _require_mail(head: bytes) -> None:
    if not head:
        raise UnreadableMailError("is empty")
    if not is_mail(head):
        raise UnreadableMailError("holds no mail: it does not begin with fields such as From, Date or Subject")


def _with_head(head: bytes, file: IO[bytes]) -> Iterator[bytes]:
    yield head
    yield from _chunks(file)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


_READERS = {Form.MESSAGE: _message, Form.MAILDIR: _maildir, Form.MBOX: _mbox, Form.ZIP: _zip}
