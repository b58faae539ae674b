"""Where the metrics are served, read without the models of the configuration.

`mailhaul health` runs every few seconds beside each process; to build the models would cost it most of its time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.config import document, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The defaults of `MetricsSection`.
METRICS_ADDRESS, METRICS_PORT = "127.0.0.1", 9464
_SECTION = "metrics"
# What surely is a valid address or port; the models decide about everything else.
_ADDRESS = re.compile(r"[0-9A-Za-z.:-]{1,253}")
_PORT = re.compile(r"[1-9][0-9]{0,3}|[1-5][0-9]{4}")


def metrics_address(path: Path | None, environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return address and port; None if only the models can tell whether the section is valid.

    Args:
        path: a YAML file, a folder of them, or None where variables say everything.
        environ: environment variables.
    """
    files = document.Document() if path is None else document.read(path)
    values = environment.merged(files.values, environment.overrides(environ, [_SECTION]))
    section = values.get(_SECTION, {})
    if files.problems or not isinstance(section, dict):
        return None
    address, port = section.get("address", METRICS_ADDRESS), section.get("port", METRICS_PORT)
    if not (isinstance(address, str) and _ADDRESS.fullmatch(address) and _PORT.fullmatch(str(port))):
        return None
    return address, int(port)
