"""A real S3 server over HTTP: versitygw if it is installed, otherwise moto's.

`MAILHAUL_TEST_S3` chooses: `moto`, `versitygw`, or the path of a versitygw program. `tests/install-s3` installs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
import pytest

from ingest.adapters.stores.s3 import S3Store
from tests.support.servers import find_program, free_port, undone_on_failure
from tests.support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from types_boto3_s3 import S3Client

VARIABLE = "MAILHAUL_TEST_S3"
REGION = "us-east-1"
BUCKET = "mail"
_INSTALLED = Path(__file__).parents[2] / ".tools" / "bin" / "versitygw-clock"


@dataclass(frozen=True, slots=True)
class Account:
    """The keys that requests are signed with."""

    access_key: str
    secret_key: str


def chosen() -> Path | None:
    """Return the versitygw program to use; None for moto.

    Raises:
        AssertionError: the requested program does not exist.
    """
    wish = os.environ.get(VARIABLE, "")
    if wish == "moto":
        return None
    found = _INSTALLED if _INSTALLED.is_file() else find_program("versitygw")
    if wish and wish != "versitygw":
        found = Path(wish)
        assert found.is_file(), f"{VARIABLE} names no file: {wish}"
    assert found or not wish, f"{VARIABLE} asks for versitygw, which is not installed; run tests/install-s3"
    return found


def require_locks() -> None:
    """Skip the test on moto, whose server fails when it is asked about objects that have no lock."""
    if chosen() is None:
        pytest.skip("moto has no usable Object Lock; MAILHAUL_TEST_S3=versitygw tests/install-s3 builds a server")


@dataclass
class S3Server:
    """Runs in a `with` block, on a port of 127.0.0.1, and keeps everything below `folder`.

    Attributes:
        owner: may do everything.
        stranger: a valid account that may do nothing in the owner's buckets.
        ahead: seconds that its clock is ahead when it starts; see `move_clock`.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    owner: Account = Account("mailhaul-owner", "owner-secret-of-the-tests")
    stranger: Account = Account("mailhaul-stranger", "stranger-secret-of-the-tests")
    ahead: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The owner's credentials as variables that boto3 reads."""
        return {"AWS_ACCESS_KEY_ID": self.owner.access_key, "AWS_SECRET_ACCESS_KEY": self.owner.secret_key}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._start()
        with undone_on_failure(self._stop):
            self._make_accounts(chosen())
            self.make_bucket(BUCKET)
        return self

    def _start(self) -> None:
        program = chosen()
        command, environment = self._moto() if program is None else self._versitygw(program)
        environment |= {"TEST_CLOCK_AHEAD": str(self.ahead)}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        with undone_on_failure(self._stop):
            eventually(self._answers, lambda: self._log.read_text()[-2000:])

    def __exit__(self, *_: object) -> None:
        self._stop()

    def move_clock(self, seconds: int) -> None:
        """Start it again with a clock that is so many seconds ahead, with all that it keeps.

        Skips the test if this server's clock cannot be moved, or fails it with `CI=true`: `tests/install-s3` builds
        one with such a clock.
        """
        self._stop()
        self.ahead = seconds
        self._start()
        date = parsedate_to_datetime(self._get_date())
        if abs(date.timestamp() - time.time() - seconds) > PATIENCE:
            text = (
                "the clock of this S3 server cannot be moved; MAILHAUL_TEST_S3=versitygw tests/install-s3 builds one"
            )
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(text)

    def _get_date(self) -> str:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            return connection.getresponse().headers["Date"]
        finally:
            connection.close()

    def client(self, account: Account | None = None) -> S3Client:
        """Return a boto3 client for the tests."""
        account = account or self.owner
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=account.access_key,
            aws_secret_access_key=account.secret_key,
        )

    def make_bucket(self, name: str, *, versions: bool = False) -> str:
        """Make a bucket of the owner's; if wanted one that keeps versions and has Object Lock. Return its name.

        On moto it has none: see `require_locks`.
        """
        client = self.client()
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=versions and chosen() is not None)
        if versions:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        client.close()
        return name

    def drop_bucket(self, name: str) -> None:
        """Free the disk of a bucket that nobody uses any more, without a request for each object; moto keeps it."""
        for part in ("buckets", "sidecar"):
            shutil.rmtree(self.folder / part / name, ignore_errors=True)

    def open(self, bucket: str = BUCKET, account: Account | None = None, **options: Any) -> S3Store:
        """Return a store in one of its buckets; takes further arguments of `S3Store`."""
        account = account or self.owner
        return S3Store(
            bucket,
            **{
                "endpoint": self.endpoint,
                "region": REGION,
                "path_style": True,
                "keys": lambda: (account.access_key, account.secret_key),
                **options,
            },
        )

    def store(self, bucket: str = BUCKET) -> dict[str, Any]:
        """The `store` section of a configuration; the credentials come from `environment`."""
        return {"url": f"s3://{bucket}/haul", "endpoint": self.endpoint, "region": REGION, "path_style": True}

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _versitygw(self, program: Path) -> tuple[Sequence[str], dict[str, str]]:
        buckets, accounts = self.folder / "buckets", self.folder / "accounts"
        sidecar, versions = self.folder / "sidecar", self.folder / "versions"
        for folder in (buckets, accounts, sidecar, versions):
            folder.mkdir(exist_ok=True)
        arguments = ["--port", f"127.0.0.1:{self.port}", "--keep-alive", "--quiet", "--iam-dir", str(accounts)]
        # Metadata as files, for not every file system that tests run on has extended attributes.
        where = ["--sidecar", str(sidecar), "--versioning-dir", str(versions), str(buckets)]
        command = [str(program), *arguments, "posix", *where]
        return command, {"ROOT_ACCESS_KEY": self.owner.access_key, "ROOT_SECRET_KEY": self.owner.secret_key}

    def _moto(self) -> tuple[Sequence[str], dict[str, str]]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)], {}

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the S3 server ended by itself: {self._log.read_text()[-2000:]}"
        try:
            return self._ask("GET", "/") > 0
        except OSError:
            return False

    def _make_accounts(self, program: Path | None) -> None:
        if program is None:
            self._make_moto_accounts()
            return
        owner, stranger = self.owner, self.stranger
        administrator = ["-a", owner.access_key, "-s", owner.secret_key, "-er", self.endpoint]
        user = ["-a", stranger.access_key, "-s", stranger.secret_key, "-r", "user"]
        subprocess.run([program, "admin", *administrator, "create-user", *user], check=True, capture_output=True)

    def _make_moto_accounts(self) -> None:
        """Moto creates the keys, and checks them only on request."""
        iam = boto3.session.Session().client(
            "iam",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
        )
        made = []
        for name in ("owner", "stranger"):
            iam.create_user(UserName=name)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            made.append(Account(key["AccessKeyId"], key["SecretAccessKey"]))
        everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
        iam.put_user_policy(UserName="owner", PolicyName="all", PolicyDocument=json.dumps(everything))
        iam.close()
        self.owner, self.stranger = made
        # Not as a form, for then moto would find no number in it.
        self._ask("POST", "/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})

    def _ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> int:
        """The status of the answer to one unsigned request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            return connection.getresponse().status
        finally:
            connection.close()

    def _stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests of a session, with the bucket `mail`."""
    with S3Server(tmp_path_factory.mktemp("s3") / "server") as server:
        yield server
