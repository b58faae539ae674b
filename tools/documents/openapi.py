"""The OpenAPI 3.1 document of the console's HTTP API."""

from __future__ import annotations

import json
from pathlib import Path

from ingest.console.app import routed_app

PAGE = Path(__file__).parents[2] / "docs" / "openapi.json"


def openapi_page() -> dict[Path, str]:
    """Return the document by its path."""
    return {PAGE: json.dumps(routed_app().openapi(), indent=2) + "\n"}
