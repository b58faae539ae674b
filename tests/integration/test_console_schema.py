"""The API keeps what its OpenAPI description says: Schemathesis makes up requests, valid and not, for each path.

It runs as a process of its own, always with the same requests. A path that is added is tried without a change here.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.live_console import failed_key, filled_console, served
from tests.support.waiting import PATIENCE
from tests.unit.console.conftest import SECRETS, Console

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = 6  # for each path, and as many again that are against its description
# Its other requests follow from answers: from a list of messages to each message, and on to its parts.
CONFIG = """
[auth.openapi.HTTPBearer]
bearer = "{token}"

[parameters]
cursor = ""  # others than those that were handed out are refused, which no schema can say

[[operations]]  # a period that ends before it begins
include-path-regex = "/(replays|reprocesses)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422"]

[[operations]]
include-path-regex = "/failures/"
parameters = {{ key = "{failed}" }}

[[operations]]
include-path-regex = "/dead-letters"
parameters = {{ sink = "main", event_id = "{event}" }}

[[operations]]
include-path-regex = "/messages/.*/(html|raw|event|timeline)"
parameters = {{ key = "{key}" }}

[[operations]]
include-path-regex = "/attachments/"
parameters = {{ key = "{key}", part = "{part}" }}
"""


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with filled_console(tmp_path) as found:
        yield found


def test_api_keeps_its_description_whatever_is_asked(console: Console, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG.format(**what_there_is(console)))
    with served(console) as address:
        found = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "--config-file", "schemathesis.toml"),
                *("run", f"{address}/api/v1/openapi.json"),
                *("--checks", "all", "--generation-deterministic", "--max-examples", str(EXAMPLES)),
                *("--suppress-health-check", "all", "--continue-on-failure", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=10 * PATIENCE,
            check=False,
        )
    assert found.returncode == 0, found.stdout[-20_000:] + found.stderr[-2_000:]
    assert " 0 generated" not in found.stdout


def what_there_is(console: Console) -> dict[str, str]:
    client = console.client("operator")
    (event,) = client.get("/api/v1/sinks/main/dead-letters").json()
    for folder in {key.rpartition("/")[0] for key in console.b.keys("body.html")}:
        key = folder.rpartition("/")[2]
        for attachment in client.get(f"/api/v1/messages/{key}/attachments").json():
            part, token = attachment["part"], SECRETS["operator"]
            return {"token": token, "failed": failed_key(), "event": event["id"], "key": key, "part": part}
    raise AssertionError("no message has HTML and an attachment")
