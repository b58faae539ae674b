"""Memory for a mail of 100 MB beside one of 1 MB: `python -m tests.benchmarks.large_mail`.

Each mail has eight attachments in base64, among them files that are named and begin like a PDF, a picture and an
archive. It goes from a real Dovecot over TLS through the whole service to a folder and to S3. For each run a service
of its own is started: what counts is the peak of resident memory of poller and processor (the sum of its parent and
one child), which is to be within 16 MiB of that for the small mail.
"""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.processes import usage_by_role
from tests.support.dovecot import Dovecot, running_dovecot
from tests.support.s3 import S3Server
from tests.support.service import Service, write_config

SIZES = (1_000_000, 100_000_000)
ATTACHMENTS = (
    *(("scan.jpg", "image/jpeg", b"\xff\xd8\xff\xe0"), ("report.pdf", "application/pdf", b"%PDF-1.7\n")),
    *(("all.zip", "application/zip", b"PK\x03\x04"), ("data.bin", "application/octet-stream", b"")),
)
COPIES = 2
WANTED_MIB = 16
ROLES = ("poller", "processor")


def mail(size: int) -> bytes:
    """Return a mail of about this many bytes."""
    each = size * 57 // 78 // (COPIES * len(ATTACHMENTS))
    head = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
    parts = [b"Content-Type: text/plain\r\n\r\nSee the attached files.\r\n"]
    for number in range(COPIES):
        for name, type_, begin in ATTACHMENTS:
            content = base64.encodebytes(begin + os.urandom(each - len(begin))).replace(b"\n", b"\r\n")
            parts.append(
                f"Content-Type: {type_}\r\nContent-Transfer-Encoding: base64\r\n"
                f'Content-Disposition: attachment; filename="{number}-{name}"\r\n\r\n'.encode()
                + content
            )
    body = b"".join(b"--bound\r\n" + part for part in parts)
    return head + b'Content-Type: multipart/mixed; boundary="bound"\r\n\r\n' + body + b"--bound--\r\n"


def peaks(dovecot: Dovecot, size: int, env: dict[str, str], **sections: Any) -> dict[str, float]:
    """Send one mail through a new service; return the peak of each role in MiB."""
    with tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as name:
        folder, user = Path(name), f"large-{os.urandom(4).hex()}"
        (folder / "password").write_text("secret")
        dovecot.add_user(user, "secret")
        dovecot.deliver(user, mail(size))
        auth = {"type": "password", "username": user, "password": f"file:{folder / 'password'}"}
        box = {"id": user, "host": "127.0.0.1", "port": dovecot.pop3s_port, "ca": str(dovecot.ca_file), "auth": auth}
        config = write_config(folder, [box], workers={"processes": 1}, **sections)
        with Service(config, env) as service:
            assert service.process is not None
            (event,) = service.wait_for_events(1)
            assert event["data"]["raw"]["size"] > size * 0.95
            assert len(event["data"]["attachments"]) == COPIES * len(ATTACHMENTS)
            used = usage_by_role(service.process.pid)
        return {role: used[role].peak_mib for role in ROLES}


def main() -> None:
    """Run everything and print the table."""
    table = Table("", title="Peak of resident memory, MiB")
    for head in (*(f"{size // 1_000_000} MB" for size in SIZES), "more", f"wanted (at most {WANTED_MIB})"):
        table.add_column(head, justify="right")
    with (
        tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as folder,
        running_dovecot() as dovecot,
        S3Server(Path(folder) / "s3") as s3,
    ):
        stores = {"folder": {}, "s3": {"store": s3.store(s3.make_bucket("large"))}}
        for store, sections in stores.items():
            small, large = (peaks(dovecot, size, s3.environment, **sections) for size in SIZES)
            for role in ROLES:
                more = large[role] - small[role]
                cells = (f"{small[role]:.0f}", f"{large[role]:.0f}", f"{more:.0f}")
                table.add_row(f"{role}, {store}", *cells, "yes" if more <= WANTED_MIB else "no")
    console = Console()
    console.print(table)
    console.print(f"Load of the machine at the end: {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors.")


if __name__ == "__main__":
    main()
