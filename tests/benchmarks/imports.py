"""Mails imported in each form beside the same mails fetched: `python -m tests.benchmarks.imports [MESSAGES]`.

20,000 messages if left out, which takes long. The trees of objects have to be the same; the
seconds are those of the whole command, with processing and delivery.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.support.dovecot import Dovecot, running_dovecot
from tests.support.habits import HABITS
from tests.support.mail_forms import FORMS, tree
from tests.support.service import mailhaul, write_config

MESSAGES = 20_000
USER, ENVIRONMENT = "imported", {"POP_SECRET": "secret"}
LONG = 3600.0


def mails(count: int) -> list[bytes]:
    """Return messages with LF line ends: the samples in turn, each with a unique header field."""
    habits = [habit.raw.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n" for habit in HABITS]
    return [b"X-Number: %d\n" % number + habits[number % len(habits)] for number in range(count)]


def configure(folder: Path, server: Dovecot) -> Path:
    folder.mkdir()
    auth = {"type": "password", "username": USER, "password": "env:POP_SECRET"}
    box = {"id": USER, "host": "127.0.0.1", "port": server.pop3_port, "tls": "none", "auth": auth}
    return write_config(folder, [box], duplicates={"enabled": False})


def run(*arguments: object) -> tuple[float, str]:
    """Run a command to its end; return its seconds and its output."""
    begun = time.monotonic()
    done = mailhaul(*map(str, arguments), env=ENVIRONMENT, timeout=LONG)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.monotonic() - begun, done.stdout


def main() -> None:
    """Fetch, import in each form, compare, and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else MESSAGES
    made, table, same = mails(count), Table(title=f"{count:,} messages"), True
    for column in ("form", "seconds", "messages/s", "objects", "identical"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory(prefix="mailhaul-") as temporary, running_dovecot() as server:
        folder = Path(temporary)
        server.add_user(USER, "secret")
        for mail in made:
            server.deliver(USER, mail)
        seconds, _ = run("drain", "--config", configure(folder / "fetched", server))
        fetched = tree(folder / "fetched" / "store")
        table.add_row("fetched", f"{seconds:.0f}", f"{count / seconds:.0f}", f"{len(fetched):,}", "")
        for write in FORMS:
            (folder / f"{write.__name__}-mails").mkdir()
            paths = write(folder / f"{write.__name__}-mails", made)
            config = configure(folder / write.__name__, server)
            seconds, output = run("import", "--mailbox", USER, *paths, "--config", config, "--json")
            found = tree(folder / write.__name__ / "store")
            identical = found == fetched and json.loads(output)["stored"] == count
            same = same and identical
            name = write.__name__.removeprefix("as_")
            rate = f"{count / seconds:.0f}"
            table.add_row(name, f"{seconds:.0f}", rate, f"{len(found):,}", "yes" if identical else "NO")
    Console().print(table)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
