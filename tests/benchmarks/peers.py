"""`mailhaul drain` beside what a user would take instead: `python -m tests.benchmarks.peers`.

A script of poplib, email and boto3, and an Apache Camel route (from pop3s, to S3, one line for each mail), both as
people write them: one mail after the other. Same mails, same Dovecot over TLS, same object store, without delay and
with 20 ms of round trip to both servers. The route is built with Maven, which fetches Camel into `.tools`; where it
cannot, the table has no rows for it. CPU is that of the process, its children and the ledger, less what the same
program uses for one mail. Absolute figures depend on the machine; what counts is how the rows compare.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.benchmarks.contest import PASSWORD, Contest, drain_command, s3_in_memory
from tests.benchmarks.mime_mails import mails_of_sizes
from tests.support.dovecot import running_dovecot
from tests.support.proxy import DelayProxy
from tests.support.s3 import REGION

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.contest import Place
    from tests.benchmarks.pop3_measure import Figure

ROUND_TRIPS = (0.0, 0.020)
_ROUTE = Path(__file__).parent / "camel"
_BUILT = Path(__file__).parents[2] / ".tools" / "camel"


def script_command(place: Place) -> list[str]:
    """Return the command line of the script."""
    about = {
        "port": place.port,
        "ca": str(place.ca),
        "user": place.user,
        "password": PASSWORD.decode(),
        "endpoint": place.endpoint,
        "region": REGION,
        "bucket": place.bucket,
        "events": str(place.events),
    }
    return [sys.executable, "-m", "tests.benchmarks.peers_script", json.dumps(about)]


def camel_command(place: Place) -> list[str]:
    """Return the command line of the route, after making a trust store with the server's certificate."""
    trusted = place.folder / "trusted.p12"
    imported = ["keytool", "-importcert", "-noprompt", "-alias", "server", "-file", str(place.ca)]
    options = ["-keystore", str(trusted), "-storetype", "PKCS12", "-storepass", "changeit"]
    subprocess.run([*imported, *options], check=True, capture_output=True)
    about = {
        "user": place.user,
        "password": PASSWORD.decode(),
        "port": place.port,
        "messages": place.messages,
        "bucket": place.bucket,
        "region": REGION,
        "endpoint": place.endpoint,
        "folder": place.folder,
        "access": place.account.access_key,
        "secret": place.account.secret_key,
    }
    trust = [f"-Djavax.net.ssl.trustStore={trusted}", "-Djavax.net.ssl.trustStorePassword=changeit"]
    classes = f"{_BUILT / 'classes'}:{_BUILT / 'lib'}/*"
    return ["java", *trust, *(f"-Dhaul.{name}={value}" for name, value in about.items()), "-cp", classes, _MAIN]


_MAIN = "dev.mailhaul.Haul"


def built_camel() -> str:
    """Build the route unless it is there; return why that is not possible, or ''."""
    newest = max(path.stat().st_mtime for path in _ROUTE.rglob("*") if path.is_file())
    if (_BUILT / "classes").is_dir() and (_BUILT / "classes").stat().st_mtime >= newest:
        return ""
    for program in ("java", "mvn", "keytool"):
        if shutil.which(program) is None:
            return f"{program} is missing"
    with tempfile.TemporaryDirectory() as name:
        copied = shutil.copytree(_ROUTE, Path(name) / "route")
        goals = ["compile", "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={name}/lib"]
        done = subprocess.run(
            ["mvn", "--batch-mode", "--quiet", *goals], cwd=copied, capture_output=True, check=False
        )
        if done.returncode:
            return "Maven cannot build the route: " + done.stdout.decode("utf-8", "replace").partition("\n")[0][:200]
        shutil.rmtree(_BUILT, ignore_errors=True)
        _BUILT.mkdir(parents=True)
        shutil.move(f"{name}/lib", _BUILT / "lib")
        shutil.move(copied / "target" / "classes", _BUILT / "classes")
    (_BUILT / "classes").touch()
    return ""


def main() -> None:
    """Run everything and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=300)
    arguments.add_argument("--runs", type=int, default=3, help="of which the medians are shown")
    arguments.add_argument("--size", default="40 KB", choices=list(mails_of_sizes()))
    chosen = arguments.parse_args()
    commands: dict[str, Callable[[Place], list[str]]] = {"drain": drain_command, "script": script_command}
    if missing := built_camel():
        print(f"Without Apache Camel: {missing}")
    else:
        commands["Camel"] = camel_command
    table = Table(title=f"{chosen.messages} mails of {chosen.size} to S3, medians of {chosen.runs}")
    for head in ("", "start CPU s", "CPU ms/message", "quotient", "wall s", "quotient", "peak MiB"):
        table.add_column(head, justify="right" if head else "left")
    mail = mails_of_sizes()[chosen.size]
    mails = [b"X-Number: %d\r\n%b" % (number, mail) for number in range(chosen.messages + 1)]
    with (
        tempfile.TemporaryDirectory(prefix="mailhaul-bench-") as name,
        running_dovecot() as dovecot,
        s3_in_memory() as s3,
    ):
        for delay in ROUND_TRIPS:
            with ExitStack() as stack:
                pop3, store = dovecot.pop3s_port, s3.port
                if delay:
                    pop3, store = (stack.enter_context(DelayProxy(port, delay / 2)).port for port in (pop3, store))
                contest = Contest(Path(name), dovecot, s3, pop3, f"http://127.0.0.1:{store}")
                start, found = (
                    {who: contest.medians(command, "s3", some, chosen.runs) for who, command in commands.items()}
                    for some in (mails[:1], mails)
                )
            _add_rows(table, delay, found, start, chosen.messages)
    Console(width=110).print(table)


def _add_rows(table: Table, delay: float, found: dict[str, Figure], start: dict[str, Figure], messages: int) -> None:
    cpu = {who: (figure.cpu - start[who].cpu) * 1000 / messages for who, figure in found.items()}
    for who, figure in found.items():
        table.add_row(
            f"{who} at {delay * 1000:.0f} ms",
            f"{start[who].cpu:.2f}",
            f"{cpu[who]:.2f}",
            f"{cpu[who] / cpu['drain']:.1f}",
            f"{figure.wall:.2f}",
            f"{figure.wall / found['drain'].wall:.1f}",
            f"{figure.mib:.0f}",
        )
    table.add_section()


if __name__ == "__main__":
    main()
