"""The same mails in every form that `mailhaul import` reads, and the tree of objects that a store holds of them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SEPARATOR = b"From billing@example.org Mon Nov 23 08:00:00 2026\n"
# A folder of a maildrop or archive holds so many.
_SHARD = 1_000


def as_messages(folder: Path, mails: Sequence[bytes]) -> list[Path]:
    for number, mail in enumerate(mails):
        path = folder / str(number // _SHARD) / f"{number}.eml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(mail)
    return [folder]


def as_mbox(folder: Path, mails: Sequence[bytes]) -> list[Path]:
    with (folder / "Inbox").open("wb") as mbox:
        for mail in mails:
            mbox.write(SEPARATOR + mail.rstrip(b"\n") + b"\n\n")
    return [folder / "Inbox"]


def as_maildir(folder: Path, mails: Sequence[bytes]) -> list[Path]:
    for place in ("cur", "new", "tmp"):
        (folder / place).mkdir()
    for number, mail in enumerate(mails):
        (folder / ("cur", "new")[number % 2] / f"1764000000.M{number}P1.host:2,S").write_bytes(mail)
    return [folder]


def as_archive(folder: Path, mails: Sequence[bytes]) -> list[Path]:
    with zipfile.ZipFile(folder / "mail.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, mail in enumerate(mails):
            archive.writestr(f"old/{number}.eml", mail)
    return [folder / "mail.zip"]


FORMS = (as_messages, as_mbox, as_maildir, as_archive)


def tree(folder: Path) -> dict[str, str]:
    """The objects of a store by key: the digest of each, but for state and for what only a server has."""
    found = {}
    for path in sorted(folder.rglob("*")):
        key = str(path.relative_to(folder))
        if not path.is_file() or key.startswith((".", "_")) or "_state" in key:
            continue
        data = path.read_bytes().replace(str(folder).encode(), b"")  # the bucket in manifests
        if path.name == "message.json":
            manifest = json.loads(data)
            assert isinstance(manifest["mailbox"].pop("unique_id"), str)
            data = json.dumps(manifest, sort_keys=True).encode()
        found[key] = hashlib.sha256(data).hexdigest()
    return found
