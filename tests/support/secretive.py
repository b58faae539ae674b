"""A guarded process that sends the secret it was given, and whether its command line or environment shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ingest.containers import confined

if TYPE_CHECKING:
    from io import BufferedReader

    from ingest.containers.confined import Send


def _work(_: BufferedReader, send: Send, arguments: list[str]) -> None:
    found = confined.read_secret(arguments)
    send(confined.BYTES, b",".join(found))
    shown = b"".join(Path(f"/proc/self/{name}").read_bytes() for name in ("cmdline", "environ"))
    send(confined.BYTES, b"yes" if any(secret in shown for secret in found) else b"no")


if __name__ == "__main__":
    confined.run(_work)
