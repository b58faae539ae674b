"""The programs in the POP3 benchmark: each fetches everything, keeps it on the server, and delivers it cheaply."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.pop3_child import HOST, PASSWORD
from tests.support.servers import find_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.benchmarks.pop3_child import Target


@dataclass(frozen=True, slots=True)
class Program:
    """One program.

    Attributes:
        name: of the executable.
        package: Debian's.
        prepare: writes what it needs into an empty folder; returns its arguments.
        delivered: how many messages have arrived in that folder.
    """

    name: str
    package: str
    prepare: Callable[[Path, Target], list[str]]
    delivered: Callable[[Path], int]

    @property
    def installed(self) -> bool:
        return find_program(self.name) is not None


def _maildir(folder: Path) -> Path:
    for part in ("tmp", "new", "cur"):
        (folder / "mail" / part).mkdir(parents=True)
    return folder / "mail"


def _in_maildir(folder: Path) -> int:
    return sum(1 for _ in (folder / "mail" / "new").iterdir())


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)  # all of them look at that
    return str(path)


def _mpop(folder: Path, target: Target) -> list[str]:
    tls = f"tls on\ntls_starttls off\ntls_trust_file {target.ca}\n" if target.ca else "tls off\n"
    text = (
        f"account default\nhost {HOST}\nport {target.port}\nuser {target.user}\npassword {PASSWORD}\nauth user\n"
        f"keep on\npipelining auto\nreceived_header off\nuidls_file {folder}/uidls\n"
        f"delivery maildir {_maildir(folder)}\n{tls}"
    )
    return [f"--file={_write(folder / 'mpoprc', text)}", "--quiet"]


def _fetchmail(folder: Path, target: Target) -> list[str]:
    tls = f'ssl sslproto "auto" sslcertck sslcertfile {target.ca}' if target.ca else 'sslproto ""'
    # Its certificate check knows host names only.
    text = (
        f'poll localhost protocol pop3 port {target.port}\n  user "{target.user}" password "{PASSWORD}" '
        f"fetchall keep {tls}\n"
    )
    return [
        *("--fetchmailrc", _write(folder / "fetchmailrc", text), "--silent", "--nodetach", "--nosyslog"),
        *("--pidfile", str(folder / "pid"), "--idfile", str(folder / "ids"), "--bsmtp", str(folder / "bsmtp")),
    ]


def _in_batch(folder: Path) -> int:
    path = folder / "bsmtp"
    return len(re.findall(rb"(?m)^MAIL FROM:", path.read_bytes())) if path.exists() else 0


def _getmail(folder: Path, target: Target) -> list[str]:
    kind = f"SimplePOP3SSLRetriever\nca_certs = {target.ca}" if target.ca else "SimplePOP3Retriever"
    text = (
        f"[retriever]\ntype = {kind}\nserver = {HOST}\nport = {target.port}\nusername = {target.user}\n"
        f"password = {PASSWORD}\n\n[destination]\ntype = Maildir\npath = {_maildir(folder)}/\n\n"
        "[options]\nread_all = true\ndelete = false\nverbose = 0\nreceived = false\ndelivered_to = false\n"
    )
    return [f"--getmaildir={folder}", f"--rcfile={_write(folder / 'getmailrc', text)}"]


PROGRAMS = {
    "mpop": Program("mpop", "mpop", _mpop, _in_maildir),
    "fetchmail": Program("fetchmail", "fetchmail", _fetchmail, _in_batch),
    "getmail6": Program("getmail", "getmail6", _getmail, _in_maildir),
}
