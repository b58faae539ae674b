"""A real Dovecot, run from a folder of its own on loopback, without root permissions.

What RETR returns for a delivered message (observed with Dovecot 2.3.19, and checked by a test):
- every bare LF becomes CRLF; bare CR, NUL, 8-bit bytes and lines that begin with a dot are returned unchanged;
- a message whose last byte is not LF gets a CRLF at its end, which LIST does not count.
So mail with CRLF line ends and a final CRLF is returned byte for byte. `as_served` applies these rules to bytes.
"""

from __future__ import annotations

import base64
import grp
import hmac
import itertools
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.servers import find_program, free_port, missing
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

# Dovecot does not serve mail as root; if root runs the tests, it runs as this user, which every Debian has.
_UNPRIVILEGED = "nobody"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")
_PROGRAM_FOLDERS = ("/usr/lib/dovecot", "/usr/libexec/dovecot")

# Everything runs as one user: Dovecot's own documentation calls it a rootless installation. The limits leave room for
# some hundred sessions at once; the penalty for wrong passwords is off, since all clients share one address.
_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
disable_plaintext_auth = no
auth_mechanisms = plain login apop scram-sha-256 xoauth2 oauthbearer
auth_failure_delay = 0
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
default_client_limit = 4096
default_process_limit = 1024
mail_max_userip_connections = 0
mail_location = maildir:{folder}/mail/%u
passdb {{
  driver = passwd-file
  args = {folder}/users/%u
  mechanisms = plain login apop scram-sha-256
}}
passdb {{
  driver = oauth2
  args = {folder}/tokens.conf
  mechanisms = xoauth2 oauthbearer
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service pop3-login {{
  chroot =
  service_count = 0
  process_min_avail = 1
  inet_listener pop3 {{
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    port = {pop3s_port}
    ssl = yes
  }}
}}
service pop3 {{
  service_count = 0
}}
"""

# Tokens are JSON Web Tokens, which Dovecot checks by itself with a key that is found by issuer, algorithm and name.
_TOKENS = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = email
"""
_KEY = b"a key of the tests"


def find_dovecot() -> Path | None:
    """Return the program; None if it is missing, has no POP3, or is not version 2.3 (2.4 has other options)."""
    program = find_program("dovecot")
    if program is None or not any((Path(folder) / "pop3").exists() for folder in _PROGRAM_FOLDERS):
        return None
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return program if version.startswith("2.3.") else None


def as_served(raw: bytes) -> bytes:
    """Return the bytes that RETR returns for delivered bytes."""
    served = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
    return served if served.endswith(b"\n") else served + b"\r\n"


class Dovecot:
    """One server: POP3 with STLS on `pop3_port`, POP3 over TLS on `pop3s_port`, both on 127.0.0.1.

    The certificate is for `localhost` and 127.0.0.1, and signed by the CA in `ca_file` (PEM).

    Args:
        folder: made if missing; holds all its files. If root starts the server, an unprivileged user must be able to
            traverse the folders above.
        options: more lines for its configuration.
    """

    def __init__(self, folder: Path, options: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.folder = folder
        self.pop3_port = free_port()
        self.pop3s_port = free_port()
        self.ca_file = folder / "ca.pem"
        self._account = pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._group = self._account.pw_gid if os.geteuid() == 0 else os.getegid()
        self._process: subprocess.Popen[bytes] | None = None
        self._deliveries = itertools.count()
        self._write_files(options)

    @property
    def pid(self) -> int:
        """Of its first process, whose descendants are all the others."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """The content of its log."""
        path = self.folder / "dovecot.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def add_user(self, name: str, password: str) -> None:
        """Make an empty maildrop, also while the server runs. A name consists of letters, digits and `._@-`."""
        assert _NAME.fullmatch(name), name
        for part in ("tmp", "new", "cur"):
            (self._maildir(name) / part).mkdir(parents=True)
            self._own(self._maildir(name) / part)
        self._own(self._maildir(name))
        self.set_password(name, password)

    def remove_user(self, name: str) -> None:
        """Remove a maildrop that no session uses, with its mail."""
        (self.folder / "users" / name).unlink()
        shutil.rmtree(self._maildir(name))

    def set_password(self, name: str, password: str) -> None:
        """Set a password; it takes effect at once, or after a second if the user was known."""
        # One file for each user: Dovecot looks at most once a second whether a file it knows has changed.
        encoded = base64.b64encode(password.encode()).decode()
        self._write(Path("users") / name, f"{name}:{{PLAIN.b64}}{encoded}\n".encode())

    def has_user(self, name: str) -> bool:
        """Return whether the maildrop exists."""
        return self._maildir(name).exists()

    def token(self, name: str, seconds: float = 600.0) -> str:
        """Return an access token for XOAUTH2 and OAUTHBEARER that is valid for so many seconds."""
        now = int(time.time())
        claims = {"sub": name, "email": name, "iat": now, "exp": now + int(seconds)}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return (signed + b"." + _base64url(hmac.digest(_KEY, signed, "sha256"))).decode()

    def deliver(self, user: str, raw: bytes) -> None:
        """Append a message to a maildrop atomically, its bytes unchanged."""
        name = self._next_name(raw)
        waiting = self._maildir(user) / "tmp" / name
        waiting.write_bytes(raw)
        self._own(waiting)
        waiting.rename(self._maildir(user) / "new" / name)

    def deliver_same(self, user: str, other: str) -> None:
        """Append to a maildrop the messages that were delivered to another one and that no session has listed yet.

        They are hard links, so that thousands cost neither time nor room.
        """
        target = self._maildir(user) / "new"
        for path in (self._maildir(other) / "new").iterdir():
            (target / path.name).hardlink_to(path)

    def maildrop(self, user: str) -> list[bytes]:
        """Return the bytes of every message in a maildrop, as delivered, the oldest first."""
        while True:
            # A session moves files from `new` to `cur`: list in this order, and again if a file has moved.
            files = [path for part in ("new", "cur") for path in (self._maildir(user) / part).iterdir()]
            unique = {path.name.partition(":")[0]: path for path in files}
            with suppress(FileNotFoundError):
                return [unique[name].read_bytes() for name in sorted(unique)]

    def start(self) -> None:
        """Start it, and wait until it greets."""
        program = find_dovecot()
        assert program is not None
        assert self._process is None
        root = os.geteuid() == 0
        with (self.folder / "dovecot.log").open("ab") as log:  # mistakes in the configuration go to standard error
            self._process = subprocess.Popen(
                [program, "-F", "-c", self.folder / "dovecot.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # its processes make a group that can be ended as one
                user=self._account.pw_uid if root else None,
                group=self._group if root else None,
                extra_groups=[] if root else None,
            )
        eventually(self._greets, lambda: self.log)

    def stop(self) -> None:
        """Stop it and all sessions gracefully."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill all its processes at once, as a crash of the machine would.

        Their locks are removed. Dovecot does this itself when the owner of a lock no longer exists, but a killed
        process that nobody reaps (the first process of a container seldom does) exists, and costs two minutes.
        """
        self._end(signal.SIGKILL)
        for lock in (self.folder / "mail").rglob("*.lock"):
            lock.unlink()

    def restart(self) -> None:
        """Stop and start; ports, users and mail stay."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        if how is not signal.SIGKILL:
            self._process.wait(PATIENCE)
        with suppress(ProcessLookupError):  # no process is left, as expected
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._process = None
        eventually(lambda: not self._listens(), "Dovecot's port is still open")

    def _listens(self) -> bool:
        # A connection that was waiting when the port closed is reset.
        refused = suppress(ConnectionRefusedError, ConnectionResetError)
        with refused, socket.create_connection(("127.0.0.1", self.pop3_port), timeout=1):
            return True
        return False

    def _greets(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Dovecot ended by itself: {self.log}"
        try:
            with socket.create_connection(("127.0.0.1", self.pop3_port), timeout=1) as client:
                return client.recv(3) == b"+OK"
        except OSError:
            return False

    def _write_files(self, options: str) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1", common_name="localhost")  # fetchmail wants one
        self.ca_file.write_bytes(authority.cert_pem.bytes())
        for name in ("run", "mail", "users"):
            (self.folder / name).mkdir()
            self._own(self.folder / name)
        self._write(Path("dovecot.log"), b"")
        self._write(Path("server.pem"), b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        self._write(Path("server.key"), certificate.private_key_pem.bytes())
        config = _CONFIG.format(
            folder=self.folder,
            user=self._account.pw_name,
            group=grp.getgrgid(self._group).gr_name,
            uid=self._account.pw_uid,
            gid=self._group,
            pop3_port=self.pop3_port,
            pop3s_port=self.pop3s_port,
        )
        self._write(Path("dovecot.conf"), (config + options).encode())
        self._write(Path("tokens.conf"), _TOKENS.format(folder=self.folder).encode())
        (self.folder / "keys" / "default" / "HS256").mkdir(parents=True)
        self._write(Path("keys", "default", "HS256", "default"), base64.b64encode(_KEY))

    def _maildir(self, user: str) -> Path:
        return self.folder / "mail" / user

    def _next_name(self, raw: bytes) -> str:
        """Return a unique name that sorts by time; it holds the sizes, so that Dovecot reads no file for LIST."""
        nanoseconds = time.time_ns()
        seconds, micros = nanoseconds // 10**9, nanoseconds // 1000 % 10**6
        virtual = len(raw) + raw.count(b"\n") - raw.count(b"\r\n")
        unique = f"{seconds}.M{micros:06d}P{os.getpid()}Q{next(self._deliveries):06d}.localhost"
        return f"{unique},S={len(raw)},W={virtual}"

    def _write(self, path: Path, content: bytes) -> None:
        (self.folder / path).write_bytes(content)
        (self.folder / path).chmod(0o600)
        self._own(self.folder / path)

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self._account.pw_uid, self._group)


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@contextmanager
def running_dovecot(options: str = "") -> Iterator[Dovecot]:
    """Run a Dovecot; skip the test, or fail it in CI, if it is not installed."""
    if find_dovecot() is None:
        missing("dovecot", "Dovecot 2.3 with POP3")
    # Not below pytest's own folder, which only its owner can traverse.
    with tempfile.TemporaryDirectory(prefix="mailhaul-dovecot-") as folder:
        server = Dovecot(Path(folder), options)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def dovecot_server() -> Iterator[Dovecot]:
    """One running Dovecot for all tests; each test adds users of its own."""
    with running_dovecot() as server:
        yield server


@pytest.fixture
def own_dovecot() -> Iterator[Dovecot]:
    """A running Dovecot for one test, which may stop and kill it."""
    with running_dovecot() as server:
        yield server
