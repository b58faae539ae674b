"""`mailhaul parse`: show what mail files contain, read exactly as the service reads mail."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from ingest.cli.common import FAILED, UNUSABLE, open_console, print_error, print_lines, printable
from ingest.cli.mailfile import STANDARD_INPUT, Extraction, NoMailError, parsed
from ingest.errors import MailhaulError
from ingest.mime.envelope import Trust
from ingest.usecases.process.authentication import Authenticator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ingest.cli.mailfile import ParsedMail
    from ingest.ports.dkim import DkimKeys

# Signatures of larger messages are not verified. Higher than the service's limit: a person waits for one file.
_DKIM_BYTES = 2**30


def parse_files(
    files: Sequence[Path],
    extract: Path | None,
    *,
    as_json: bool,
    trust: Trust | None = None,
    keys: DkimKeys | None = None,
) -> int:
    """Print what each file contains; return the exit code.

    Args:
        files: raw mail; `-` is standard input.
        extract: folder to write attachments to, if any.
        as_json: print one manifest a line instead of a tree.
        trust: whose Authentication-Results and trace fields are believed; None for the default.
        keys: public keys for DKIM signatures; None to verify none.
    """
    authenticator = Authenticator(lambda _: trust or Trust(), keys, _DKIM_BYTES)
    extraction = Extraction(extract, apart=len(files) > 1) if extract else None
    codes = {0}
    for number, file in enumerate(files):
        name = "standard input" if file == STANDARD_INPUT else str(file)
        try:
            with parsed(file, authenticator) as mail:
                _show(name, mail, as_json=as_json, first=number == 0)
                codes.add(_extract(file, mail, extraction, quiet=as_json))
        except (NoMailError, OSError, MailhaulError) as error:
            print_error(f"{name}: {_words(error)}")
            codes.add(UNUSABLE)
    return max(codes)


def _show(name: str, mail: ParsedMail, *, as_json: bool, first: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(mail.manifest.to_json() + b"\n")
        sys.stdout.flush()
        return

    from ingest.cli.tree import mail_tree

    console = open_console()
    if not first:
        console.print()
    console.print(mail_tree(name, mail.manifest))


def _extract(file: Path, mail: ParsedMail, extraction: Extraction | None, *, quiet: bool) -> int:
    if extraction is None:
        return 0
    written = extraction.write(file, mail)
    if not quiet:
        print_lines(
            typer.style("wrote ", fg="bright_black") + printable(str(each.path))
            for each in written
            if each.refusal is None
        )
    refused = [each for each in written if each.refusal is not None]
    for each in refused:
        print_error(f"{each.path}: {each.refusal}")
    return FAILED if refused else 0


def _words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "is a folder; name the mail files in it"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    return str(error)
