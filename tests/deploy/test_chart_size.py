"""Thousands of mailboxes in the values: every object stays below the limits of the cluster."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ingest.config.load import load
from tests.support.chart import render, values

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.chart import Object, Rendered

# Bytes that kubectl can keep of an object in its annotation; a ConfigMap may have 1 MiB, an object in etcd 1.5 MiB.
APPLIED = 256 * 1024
# Seconds of CPU.
RENDERING = 10.0


def _mailboxes(count: int) -> list[Object]:
    return [
        {
            "id": f"customer-{number:05}-invoices",
            "host": f"pop{number % 200}.example.org",
            "auth": {
                "type": "password",
                "username": f"invoices-{number:05}@customer.example",
                "password": f"secret:mailboxes/customer-{number:05}",
            },
        }
        for number in range(count)
    ]


def _rendered(count: int, **config: Any) -> Rendered:
    return render(values(config={"mailboxes": _mailboxes(count), **config}))


def _maps(rendered: Rendered) -> list[Object]:
    return [item for item in rendered.of("ConfigMap") if "-mailboxes" in item["metadata"]["name"]]


def test_5000_mailboxes_are_rendered_in_time_and_fit_into_the_cluster(tmp_path: Path) -> None:
    started = time.process_time()
    rendered = _rendered(5_000, defaults={"interval": "2m"})
    assert time.process_time() - started < RENDERING
    assert max(len(json.dumps(item)) for item in rendered.objects) < APPLIED
    for item in _maps(rendered):
        for name, text in item["data"].items():
            assert not (tmp_path / name).exists()
            (tmp_path / name).write_text(text)
    (tmp_path / "more.yaml").write_text("store: file:///s\nledger: redis://ledger\n")
    boxes = load(tmp_path, {}).mailboxes_by_id()
    assert len(boxes) == 5_000
    assert {box.interval for box in boxes.values()} == {120.0}


@pytest.mark.parametrize("count", [0, 1, 500, 501, 1_999])
def test_pods_read_every_map_of_mailboxes(count: int) -> None:
    rendered = _rendered(count)
    names = [item["metadata"]["name"] for item in _maps(rendered)]
    sources = [source["configMap"] for source in rendered.pod("poller")["volumes"][0]["projected"]["sources"]]
    assert set(names) <= {source["name"] for source in sources}
    required = [source["name"] for source in sources if not source.get("optional")]
    assert "demo-mailhaul-mailboxes" in required
    assert len(names) == max(1, -(-count // 500))
    assert (
        sum(len(yaml.safe_load(next(iter(item["data"].values())))["mailboxes"]) for item in _maps(rendered)) == count
    )


def test_one_more_map_of_mailboxes_seldom_changes_the_pods() -> None:
    """Else the mailbox that does not fit into the last one would cause a rollout."""
    templates = [_rendered(count).one("Deployment", "-poller")["spec"]["template"] for count in (1_001, 1_501, 2_000)]
    assert templates[0] == templates[1] == templates[2]
