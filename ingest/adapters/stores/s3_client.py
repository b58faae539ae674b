"""The clients of a bucket: one for each process, made anew when the access keys change."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.httpsession import get_cert_path

from ingest.adapters.aws_deadline import limit_requests
from ingest.adapters.deadline import suspended
from ingest.adapters.stores.s3_connections import Network
from ingest.adapters.stores.s3_direct import DirectClient
from ingest.adapters.stores.s3_upload import spare_round_trip
from ingest.adapters.stores.sigv4 import Credentials
from ingest.errors import ConfigError, StoreRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.credentials import ReadOnlyCredentials


@dataclass
class Clients:
    """How a bucket is reached; `S3Store` describes the attributes."""

    bucket: str
    endpoint: str | None
    region: str | None
    path_style: bool
    keys: Callable[[], tuple[str, str] | None]
    max_connections: int
    connect_timeout: float
    read_timeout: float
    piece_timeout: float
    attempts: int
    _made: tuple[tuple[int, tuple[str, str] | None], DirectClient] | None = field(default=None, init=False)
    _making: threading.Lock = field(default_factory=threading.Lock, init=False)

    @cached_property
    def config(self) -> Config:
        """The settings of every request."""
        return Config(
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            max_pool_connections=self.max_connections,
            retries={"mode": "standard", "total_max_attempts": self.attempts},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if self.path_style else "auto"},
        )

    def direct(self) -> DirectClient:
        """Return this process's client. Making one takes 0.2 s, and a fork must not use its parent's connections.

        Raises:
            StoreRefusedError: the access keys cannot be read, or the endpoint or region is not valid.
        """
        try:
            keys = self.keys()
        except ConfigError as error:
            raise StoreRefusedError(f"the store's access keys cannot be read: {error}") from error
        wanted, made = (os.getpid(), keys), self._made
        if made is not None and made[0] == wanted:
            return made[1]
        with self._making:
            if self._made is None or self._made[0] != wanted:
                # The old client is not closed: other threads may be in the middle of a request.
                with suspended():
                    self._made = wanted, self._make(keys)
            return self._made[1]

    def _make(self, keys: tuple[str, str] | None) -> DirectClient:
        core = botocore.session.get_session()
        session = boto3.session.Session(botocore_session=core)
        region = self.region or session.region_name or "us-east-1"
        try:
            client = session.client(
                "s3",
                endpoint_url=self.endpoint,
                region_name=region,
                aws_access_key_id=keys[0] if keys else None,
                aws_secret_access_key=keys[1] if keys else None,
                config=self.config,
            )
        except ValueError as error:  # botocore's error for an endpoint that is no URL, or an invalid region
            raise StoreRefusedError("the store's endpoint or region is not valid: write https://host:port") from error
        client.meta.events.register_last("before-call.s3", spare_round_trip)
        limit_requests(client, self.piece_timeout)
        # The same certificates as botocore's.
        bundle = core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True)
        network = Network(
            self.connect_timeout, self.read_timeout, self.piece_timeout, self.max_connections, str(bundle)
        )
        return DirectClient(client, self.bucket, _credentials(session, keys), network)


def _credentials(
    session: boto3.session.Session, keys: tuple[str, str] | None
) -> Callable[[], Credentials | ReadOnlyCredentials | None]:
    """Return what returns the credentials for the next request; botocore renews those of a role when they expire."""
    if keys is not None:
        fixed = Credentials(*keys)
        return lambda: fixed
    found = None

    def current() -> ReadOnlyCredentials | None:
        nonlocal found
        if found is None:
            found = session.get_credentials()  # which are the same object from then on
        return None if found is None else found.get_frozen_credentials()

    return current
