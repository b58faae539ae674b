"""`mailhaul parse`: what is in mail files, read exactly as the service reads them."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ingest.adapters.stores.folder import FolderStore
from ingest.adapters.stores.memory import MemoryStore
from ingest.cli.saying import printable, say_error
from ingest.cli.screen import octets
from ingest.domain import keys
from ingest.domain.message import OpenMessage
from ingest.errors import StoreError
from ingest.metrics import Metrics
from ingest.mime import received_at
from ingest.usecases.process import Processor
from ingest.usecases.spool import CHUNK_OCTETS, Spool

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ingest.domain.manifest import Attachment, Body, Manifest
    from ingest.ports.store import Store

# Stands for the mailbox in the message key of a file.
_MAILBOX = "file"


def parse_files(files: Iterable[Path], extract: Path | None, *, as_json: bool) -> bool:
    """Print what is in each file; True when all could be read.

    Args:
        files: mail as it travels.
        extract: a folder below which each message gets one of its own, as in a store.
        as_json: one manifest a line instead of a tree.
    """
    console = Console(highlight=False)
    readable = True
    with ThreadPoolExecutor(4) as uploads:
        for file in files:
            store: Store = FolderStore(extract.resolve()) if extract else MemoryStore("")
            try:
                manifest = _parse(file, store, Processor(store, Metrics(), uploads))
            except (OSError, StoreError) as error:
                readable = False
                why = error.strerror if isinstance(error, OSError) else str(error)
                say_error(f"{file}: {why or 'cannot be read'}")
                continue
            if as_json:
                sys.stdout.buffer.write(manifest.to_json() + b"\n")
                sys.stdout.flush()
            else:
                console.print(_tree(file, manifest))
    return readable


def _parse(file: Path, store: Store, processor: Processor) -> Manifest:
    spool = Spool(keys.message_hasher(_MAILBOX))
    try:
        with file.open("rb") as raw:
            while chunk := raw.read(CHUNK_OCTETS):
                spool.write(chunk)
        folder = keys.Layout().folder(_MAILBOX, None, spool.key).replace("/undated", "")
        source = store.put(
            f"{folder}/{keys.RAW}",
            spool.reader(),
            size=spool.size,
            sha256=spool.sha256,
            content_type="message/rfc822",
        )
        message = OpenMessage(
            key=spool.key,
            mailbox=_MAILBOX,
            unique_id="",
            folder=folder,
            source=source,
            first_seen=datetime.now(UTC),
            received_at=received_at(spool.head()),
        )
        return processor.process(message)
    finally:
        spool.close()


def _tree(file: Path, manifest: Manifest) -> Tree:
    headers = manifest.headers
    size = octets(manifest.raw.size) if manifest.raw else ""
    tree = Tree(Text.assemble((printable(str(file)), "bold"), f"  {size}  ", _flags(manifest.parse.defects)))
    for name, value in (
        ("subject", headers.subject),
        ("from", ", ".join(f"{who.name} <{who.address}>".strip() for who in headers.from_)),
        ("received", manifest.received_at.isoformat() if manifest.received_at else None),
        ("message", manifest.message_key),
    ):
        if value:
            tree.add(Text.assemble((f"{name} ", "bright_black"), printable(value)))
    branches: dict[str | None, Tree] = {None: tree}
    for body in manifest.bodies:
        tree.add(_body(body))
    for attachment in manifest.attachments:
        parent = branches.get(attachment.parent, tree)
        branches[attachment.part] = parent.add(_attachment(attachment))
    return tree


def _body(body: Body) -> Text:
    return Text.assemble(
        (f"{body.part} ", "bright_black"),
        (f"{body.kind} body", "green"),
        f"  {printable(body.charset)}  {octets(body.object.size)}  ",
        _flags(body.defects),
    )


def _attachment(attachment: Attachment) -> Text:
    declared = attachment.declared_type
    lied = "" if declared == attachment.detected_type else f" (declared {declared})"
    return Text.assemble(
        (f"{attachment.part} ", "bright_black"),
        (printable(attachment.filename), "bold cyan"),
        f"  {attachment.role}  {attachment.detected_type}{printable(lied)}  {octets(attachment.size)}  ",
        (f"sha256 {attachment.sha256[:16]}… ", "bright_black"),
        _flags(attachment.defects),
    )


def _flags(defects: list[str]) -> Text:
    return Text(" ".join(defects), style="yellow")
