"""Ask the process on this machine's metrics port whether it works."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import TYPE_CHECKING

import urllib3

from ingest.cli.children import url_host
from ingest.config import ConfigSource

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 5.0
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced, not listened on


def problem(config_path: Path | None) -> str | None:
    """Return what is wrong with the process; None if it is alive.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    metrics = ConfigSource(config_path, os.environ).current().metrics
    url = f"http://{url_host(_HERE.get(metrics.address, metrics.address))}:{metrics.port}/livez"
    with urllib3.PoolManager(retries=False, timeout=SECONDS) as pool:
        try:
            answer = pool.request("GET", url)
        except urllib3.exceptions.HTTPError:
            return (
                f"nothing answers at {url}: no Mailhaul process runs here, or metrics.port differs from the process's"
            )
    return (
        None
        if answer.status == HTTPStatus.OK
        else f"the process at {url} reports that it has made no progress for too long"
    )
