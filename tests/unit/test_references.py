"""The references of options and commands are complete, and their examples work."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from ingest.config import mailbox, sections, sinks
from ingest.config.descriptions import descriptions
from ingest.config.fields import Section
from ingest.config.model import Config
from tools.documents.commands import commands, example_of
from tools.documents.configuration import PAGE, default, kind

if TYPE_CHECKING:
    from pydantic import BaseModel

SECTIONS = {
    found
    for module in (sections, mailbox, sinks)
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, Section) and found is not Section and found.__name__[0] != "_"
} | {Config}
COMMANDS = dict(commands())


def options() -> list[Any]:
    return [
        pytest.param(section, name, id=f"{section.__name__}.{name}")
        for section in sorted(SECTIONS, key=lambda found: found.__name__)
        for name in section.model_fields
    ]


@pytest.mark.parametrize(("section", "name"), options())
def test_every_option_has_a_description_a_type_and_a_default(section: type[BaseModel], name: str) -> None:
    description = descriptions(section).get(name, "")
    assert description.endswith("."), "describe it in the docstring below it: unit, meaning, reason of the default"
    assert kind(section, name)
    if section is not mailbox.MailboxSection or name not in mailbox.DefaultsSection.model_fields:
        assert default(section, name)


@pytest.mark.parametrize(("section", "name"), options())
def test_every_option_stands_in_the_reference(section: type[BaseModel], name: str) -> None:
    described = " ".join(descriptions(section).get(name, "").split()).replace("|", "\\|")
    assert any(f"{name}` |" in line and described in line for line in PAGE.read_text().splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_an_example_that_it_understands(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    words = shlex.split(example_of(command).partition(" > ")[0])
    assert words[: len(name.split())] == name.split()
    command.make_context(name, words[len(name.split()) :])  # raises UsageError for what it does not understand


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_has_help(name: str) -> None:
    assert all(parameter.help for parameter in COMMANDS[name].params if parameter.name != "help")
