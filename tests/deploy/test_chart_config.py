"""The configuration that pods find: what the values say, with secrets as files that follow changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ingest.config.load import load
from tests.support.chart import PROCESSES, merged, render, values
from tests.support.chart_values import COMBINATIONS, EVERYTHING

if TYPE_CHECKING:
    from pathlib import Path

    from ingest.config import Config
    from tests.support.chart import Rendered

SECRETS = "/run/secrets/mailhaul"


def _files(rendered: Rendered) -> dict[str, str]:
    """What stands in the folder that the processes read."""
    sources = rendered.pod("poller")["volumes"][0]["projected"]["sources"]
    maps = {item["metadata"]["name"]: item["data"] for item in rendered.of("ConfigMap")}
    files: dict[str, str] = {}
    for source in sources:
        files.update(maps.get(source["configMap"]["name"], {}) if not source["configMap"].get("optional") else {})
    return files


def _loaded(rendered: Rendered, folder: Path) -> Config:
    for name, text in _files(rendered).items():
        # The address of a ledger is read at once; all other secrets when they are needed.
        (folder / name).write_text(text.replace(f"file:{SECRETS}/ledger/url", f"file:{folder}/url"))
    (folder / "url").write_text("redis://ledger:6379/0")
    return load(folder, {})


@pytest.mark.parametrize("name", COMBINATIONS)
def test_mailhaul_takes_the_configuration(name: str, tmp_path: Path) -> None:
    config = _loaded(render(values(**COMBINATIONS[name])), tmp_path)
    assert config.mailboxes
    assert config.metrics.address in {"0.0.0.0", "::"}  # noqa: S104 - a pod's


def test_values_reach_the_configuration(tmp_path: Path) -> None:
    config = _loaded(render(values(**EVERYTHING)), tmp_path)
    assert [box.id for box in config.mailboxes] == ["plain", "own-port", "m365", "behind"]
    assert [sink.type for sink in config.sinks] == ["webhook", "sqs", "sns", "amqp", "kafka"]
    assert config.defaults.limits.message_bytes == 157_286_400
    assert config.store.access_key == f"file:{SECRETS}/store/access"
    assert config.metrics.mailbox_label is False
    assert config.workers.processes == 2


def test_the_ledger_of_a_trial_is_the_one_in_the_release(tmp_path: Path) -> None:
    rendered = render(values(**COMBINATIONS["trial"]))
    assert _loaded(rendered, tmp_path).ledger_url == "redis://demo-mailhaul-valkey:6379/0"
    assert rendered.one("Service", "-valkey")["spec"]["ports"][0]["port"] == 6379


@pytest.mark.parametrize("tracing", [None, {}, {"sample": 0.5}])
def test_tracing_is_on_where_it_is_written_even_without_options(tracing: object, tmp_path: Path) -> None:
    config = _loaded(render(values(config={"tracing": tracing})), tmp_path)
    assert (config.tracing is None) == (tracing is None)


def _secrets(rendered: Rendered, process: str) -> dict[str, bool]:
    """Names of the Secrets that a process sees, and whether it starts without them."""
    volumes = [volume["secret"] for volume in rendered.pod(process)["volumes"] if "secret" in volume]
    return {secret["secretName"]: secret["optional"] for secret in volumes}


def test_a_process_sees_no_secrets_but_its_own() -> None:
    rendered = render(values(**EVERYTHING, mailboxSecrets=["more"]))
    common = {"ledger": False, "store": False}
    mail = {"mailboxes": True, "own": True, "client": True, "m365": True, "more": True}
    assert _secrets(rendered, "poller") == {**common, **mail}
    assert _secrets(rendered, "relay") == {**common, "hook": False, "mq": False}
    assert _secrets(rendered, "scheduler") == {**common, "audit": False}
    for process in ("processor", "exporter"):
        assert _secrets(rendered, process) == common


def test_every_file_that_the_configuration_names_is_mounted() -> None:
    rendered = render(values(**EVERYTHING))
    mounts: set[str] = set()
    for process in PROCESSES:
        mounts |= {mount["mountPath"] for mount in rendered.container(process)["volumeMounts"]}
    for text in _files(rendered).values():
        for path in _paths(yaml.safe_load(text)):
            assert path.rpartition("/")[0] in mounts


def _paths(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [path for value in node.values() for path in _paths(value)]
    if isinstance(node, list):
        return [path for value in node for path in _paths(value)]
    return [node.removeprefix("file:")] if isinstance(node, str) and SECRETS in node else []


def _templates(**over: Any) -> list[Any]:
    return [item["spec"]["template"] for item in render(values(**over)).of("Deployment")]


def test_pods_roll_when_something_changes_that_is_taken_at_the_start_only() -> None:
    before = _templates()
    for after in (_templates(config={"store": "s3://other"}), _templates(config={"workers": {"processes": 3}})):
        assert all(old != new for old, new in zip(before, after, strict=True))


def test_pods_go_on_when_mailboxes_change() -> None:
    mailbox = {
        "id": "b",
        "host": "h",
        "auth": {"type": "password", "username": "u", "password": "secret:mailboxes/b"},
    }
    boxes = [*values()["config"]["mailboxes"], mailbox]
    assert _templates(config={"mailboxes": boxes, "defaults": {"interval": "5m"}}) == _templates()


def test_configuration_maps_of_yours_stand_beside_the_charts() -> None:
    sources = render(values(mailboxConfigMaps=["one", "two"])).pod("poller")["volumes"][0]["projected"]["sources"]
    assert [source["configMap"]["name"] for source in sources][-2:] == ["one", "two"]


def test_the_children_of_a_processor_share_their_metrics_in_a_folder_of_the_pods() -> None:
    container = render(values()).container("processor")
    folder = {item["name"]: item["value"] for item in container["env"]}["PROMETHEUS_MULTIPROC_DIR"]
    assert folder in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_values_for_one_process_go_over_those_for_all() -> None:
    rendered = render(
        values(
            pods={"priorityClassName": "high", "labels": {"team": "mail"}},
            relay={"pod": {"priorityClassName": "low"}},
        )
    )
    assert rendered.pod("relay")["priorityClassName"] == "low"
    assert rendered.pod("poller")["priorityClassName"] == "high"
    labels = rendered.one("Deployment", "-relay")["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "mail"


def test_an_image_is_named_by_its_digest_where_there_is_one() -> None:
    digest = f"sha256:{'0' * 64}"
    over: dict[str, Any] = {"image": {"registry": "images.example.org", "repository": "mail", "tag": "edge"}}
    assert render(values(**over)).container("poller")["image"] == "images.example.org/mail:edge"
    over = merged(over, {"image": {"digest": digest}, "global": {"imageRegistry": "mirror.example.org/"}})
    assert render(values(**over)).container("poller")["image"] == f"mirror.example.org/mail@{digest}"
