"""The examples work as they are, and the published schema accepts what we accept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from ingest.config import config_schema
from ingest.config.load import load
from ingest.config.model import Config
from ingest.config.sections import ScanSection
from ingest.domain.mailbox import Deadlines, Limits
from ingest.mime import MimeLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

STORES = ("google.yaml", "azure.yaml")
BOTH = ("defaults", "mailboxes")
EXAMPLES = Path(__file__).parents[3] / "examples"
DEFINITIONS = config_schema()["$defs"]


def options(schema: dict[str, Any], names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every option in a schema, without list indices."""
    if "$ref" in schema:
        yield from options(DEFINITIONS[schema["$ref"].rpartition("/")[2]], names)
    for choice in [
        *schema.get("anyOf", ()),
        *schema.get("oneOf", ()),
        *([schema["items"]] if "items" in schema else []),
    ]:
        yield from options(choice, names)
    for name, option in schema.get("properties", {}).items():
        yield (*names, name)
        yield from options(option, (*names, name))


def written(values: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(values, list):
        for value in values:
            yield from written(value, names)
    if isinstance(values, dict):
        for name, value in values.items():
            yield (*names, name)
            yield from written(value, (*names, name))


def test_the_schema_is_valid_itself() -> None:
    Draft202012Validator.check_schema(config_schema())


@pytest.mark.parametrize("name", ["small.yaml", "full.yaml", *STORES])
def test_an_example_loads_and_fits_the_schema(name: str) -> None:
    assert load(EXAMPLES / name, {}).mailboxes
    values = yaml.safe_load((EXAMPLES / name).read_text())
    Draft202012Validator(config_schema()).validate(values)


def test_the_full_example_shows_every_option() -> None:
    """What both a mailbox and the defaults may say needs to be shown in one of them, as options of each store."""
    shown = set(written(yaml.safe_load((EXAMPLES / "full.yaml").read_text())))
    for name in STORES:
        shown |= set(written({"store": yaml.safe_load((EXAMPLES / name).read_text())["store"]}))
    shown |= {("store", "sas_token")}  # only in place of the account key
    shown |= {(section, *names[1:]) for names in shown if names[0] in BOTH for section in BOTH}
    shown |= {("ledger", "url"), ("ledger", "embedded")}
    assert set(options(config_schema())) - shown == set()


def test_the_full_example_tells_the_defaults_as_they_are() -> None:
    config = load(EXAMPLES / "full.yaml", {})
    assert config.defaults.limits.model_dump() == {name: getattr(Limits(), name) for name in Limits.__slots__}
    assert config.defaults.deadlines.model_dump() == {
        name: getattr(Deadlines(), name) for name in Deadlines.__slots__
    }
    minimal = Config.model_validate({"store": "file:///s", "ledger": "embedded"})
    assert config.metrics == minimal.metrics
    assert config.log == minimal.log
    assert config.parse.model_copy(update={"passwords": []}) == minimal.parse
    assert config.scan == ScanSection(url="unix:///run/clamav/clamd.ctl")
    limits = MimeLimits()
    assert (config.parse.parts, config.parse.depth) == (limits.parts, limits.depth)
    assert config.workers.model_copy(update={"processes": 0}) == minimal.workers.model_copy(update={"processes": 0})


@pytest.mark.parametrize(
    "change",
    [
        {"mailbox": []},
        {"store": 5},
        {"metrics": {"port": 0}},
        {"sinks": [{"type": "sqs"}]},
        {"sinks": [{"type": "webhook", "url": "https://h/", "secret": "hunter2"}]},
        {"defaults": {"interval": "soon"}},
        {"defaults": {"policy": "destroy"}},
    ],
)
def test_the_schema_refuses_what_editors_should_underline(change: dict[str, Any]) -> None:
    values = {"store": "file:///s", "ledger": "embedded"}
    validator = Draft202012Validator(config_schema())
    assert validator.is_valid(values)
    assert not validator.is_valid({**values, **change})
