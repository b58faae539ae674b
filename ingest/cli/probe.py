"""`mailhaul probe`: a made-up mail through the running service, from a POP3 server of ours to the manifest."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ingest.cli.once import runtime_for
from ingest.demo.mails import Kind, sample
from ingest.demo.server import DemoServer
from ingest.domain.keys import MANIFEST, message_hasher, message_key
from ingest.domain.mailbox import Tls
from ingest.errors import ConfigError, StartError, StoreUnavailableError, require_configured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.wiring.runtime import Runtime

LOOK_EVERY = 1.0


def run_probe(config: Path | None, mailbox: str, address: str, seconds: float) -> bool:
    """Serve one mail that nobody has seen, and wait for its manifest; says whether it came.

    Args:
        config: of the running service.
        mailbox: its server has to be this process: no TLS, and a port that is free here.
        address: to serve on, perhaps for other machines.
        seconds: to wait at most.

    Raises:
        ConfigError: there is no such mailbox, or its server cannot be this process.
        StartError: its port is taken.
    """
    console = Console(soft_wrap=True, highlight=False)
    with runtime_for(config) as runtime, tempfile.TemporaryDirectory(prefix="mailhaul-probe-") as folder:
        port = _port(runtime, mailbox)
        login = runtime.credentials(mailbox)
        key = _write_mail(Path(folder) / login.username, mailbox)
        passwords = {login.username: login.password}
        with _serving(DemoServer(Path(folder), passwords, host=address, port=port, reachable=True)):
            console.print(f"serving one mail on {address}:{port}, waiting for the service to haul it …")
            found = _wait(runtime, mailbox, key, seconds)
    if found is None:
        console.print(f"not hauled within {seconds:g} s; see the logs of poller and processor, and `mailhaul check`")
        return False
    console.print(f"hauled: {found}")
    return True


def _write_mail(home: Path, mailbox: str) -> str:
    """Put one mail that nobody has seen into a maildrop; returns its message key."""
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
            f"{server.host}:{server.port} cannot be served ({error.strerror}); end what uses it, or take another"
        ) from error
    try:
        yield
    finally:
        server.stop()


def _port(runtime: Runtime, mailbox: str) -> int:
    require_configured("mailbox", [mailbox], runtime.mailboxes())
    box = runtime.mailboxes()[mailbox]
    if box.server.tls is not Tls.NONE:
        raise ConfigError([f"mailbox {mailbox}: write `tls: none`, and this machine as `host`, to probe it"])
    return box.server.port


def _wait(runtime: Runtime, mailbox: str, key: str, seconds: float) -> str | None:
    """The key of the manifest, or None when there is none in time."""
    ends = time.monotonic() + seconds
    folder = runtime.layout.mailbox(runtime.mailboxes()[mailbox].folder)
    while time.monotonic() < ends:
        try:
            for stored in runtime.store.stored(folder):
                if stored.key.endswith(f"/{key}/{MANIFEST}"):
                    return stored.key
        except StoreUnavailableError:
            pass  # away for now; the service waits for it too
        time.sleep(LOOK_EVERY)
    return None
