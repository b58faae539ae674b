"""`mailhaul probe`: send a made-up message through the running service."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ingest.cli.runtime import open_runtime
from ingest.config.names import require_configured
from ingest.demo.mails import Kind, sample
from ingest.demo.server import DemoServer
from ingest.domain.keys import MANIFEST, message_hasher, message_key
from ingest.domain.mailbox import Tls
from ingest.errors import ConfigError, StartError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.wiring.runtime import Runtime

_CHECK_EVERY = 1.0


def run_probe(config: Path | None, mailbox: str, address: str, seconds: float) -> bool:
    """Serve one new message and wait for its manifest; return whether it appeared.

    Args:
        config: that of the running service.
        mailbox: one whose server is this process: no TLS, and a port that is free here.
        address: to serve on; other machines may need to reach it.
        seconds: maximum time to wait.

    Raises:
        ConfigError: the mailbox is not configured, or its server cannot be this process.
        StartError: the port is taken.
    """
    with open_runtime(config) as runtime, tempfile.TemporaryDirectory(prefix="mailhaul-probe-") as folder:
        port = _port(runtime, mailbox)
        login = runtime.credentials(mailbox)
        key = _write_mail(Path(folder) / login.username, mailbox)
        passwords = {login.username: login.password}
        with _serving(DemoServer(Path(folder), passwords, host=address, port=port, reachable=True)):
            typer.echo(f"serving one message on {address}:{port}, waiting for the service to store it …")
            found = _wait(runtime, mailbox, key, seconds)
    if found is None:
        typer.echo(f"not stored within {seconds:g} s; see the logs of poller and processor, and `mailhaul check`")
        return False
    typer.echo(f"stored: {found}")
    return True


def _write_mail(home: Path, mailbox: str) -> str:
    """Write one new message into a maildrop; return its message key."""
    raw = sample(time.time_ns(), mailbox, Kind.PDF_INVOICE, datetime.now(UTC)).raw
    hasher = message_hasher(mailbox)
    hasher.update(raw)
    key = message_key(hasher)
    home.mkdir()
    (home / f"{key}.eml").write_bytes(raw)
    return key


@contextmanager
def _serving(server: DemoServer) -> Iterator[None]:
    try:
        server.start()
    except OSError as error:
        raise StartError(
            f"{server.host}:{server.port} cannot be served on ({error.strerror}); stop what uses it"
        ) from error
    try:
        yield
    finally:
        server.stop()


def _port(runtime: Runtime, mailbox: str) -> int:
    require_configured("mailbox", [mailbox], runtime.mailboxes())
    box = runtime.mailboxes()[mailbox]
    if box.server.tls is not Tls.NONE:
        raise ConfigError([f"mailbox {mailbox}: to probe it, write `tls: none` and this machine as `host`"])
    return box.server.port


def _wait(runtime: Runtime, mailbox: str, key: str, seconds: float) -> str | None:
    """Return the key of the manifest; None if it does not appear in time."""
    ends = time.monotonic() + seconds
    folder = runtime.layout.mailbox(runtime.mailboxes()[mailbox].folder)
    while time.monotonic() < ends:
        try:
            for stored in runtime.store.stored(folder):
                if stored.key.endswith(f"/{key}/{MANIFEST}"):
                    return stored.key
        except StoreUnavailableError:
            pass  # unavailable for now; the service waits for it too
        time.sleep(_CHECK_EVERY)
    return None
