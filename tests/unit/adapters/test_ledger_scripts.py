"""The ledger's Lua scripts name their keys and arguments, say why they are atomic, and include what they share."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from ingest.adapters.ledger.connection import script_source

FILES = {
    file.name.removesuffix(".lua"): file.read_text("utf-8")
    for file in (resources.files("ingest.adapters.ledger") / "scripts").iterdir()
    if file.name.endswith(".lua")
}
INCLUDES = [line for text in FILES.values() for line in re.findall(r"^-- Include: (.+)$", text, re.MULTILINE)]
INCLUDED = {name for line in INCLUDES for name in line.split(", ")}
# Included for what it does, not for functions.
EFFECT = "spare"
SCRIPTS = sorted(FILES.keys() - INCLUDED)


def names(text: str, what: str) -> tuple[list[str], bool]:
    """The names in a script's list of KEYS or ARGV, and whether the last one repeats. Groups in brackets repeat."""
    keys, _, rest = text.partition("\n-- ARGV:")
    listed = keys.removeprefix("-- KEYS:") if what == "KEYS" else rest.partition("\n")[0]
    line = listed.replace("\n--", "")
    repeats = line.endswith("...")
    fixed = re.sub(r"\(.*\)\.\.\.$", "...", line).removesuffix("...")
    return [name.strip() for name in fixed.split(",") if name.strip()], repeats


def code(text: str) -> str:
    return re.sub(r"--.*", "", text)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_begins_with_its_keys_and_arguments(name: str) -> None:
    keys, arguments, _ = FILES[name].partition("\n-- ARGV:")
    assert keys.startswith("-- KEYS:")
    assert all(line.startswith("-- ") for line in keys.splitlines())
    assert arguments


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("what", ["KEYS", "ARGV"])
def test_every_key_and_argument_is_named_and_used(name: str, what: str) -> None:
    named, repeats = names(FILES[name], what)
    # Functions that are included may know the keys themselves.
    included = {
        file for line in re.findall(r"^-- Include: (.+)$", FILES[name], re.MULTILINE) for file in line.split(", ")
    }
    text = "".join(code(FILES[file]) for file in (name, *included - {EFFECT}))
    used = {int(index) for index in re.findall(rf"{what}\[(\d+)\]", text)}
    loops = re.search(rf"\b{what}\[[a-z]|#{what}|(?:ipairs|unpack)\({what}", code(FILES[name])) is not None
    assert used <= set(range(1, len(named) + 1))
    assert loops if repeats else loops or len(used) == len(named)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_says_why_it_is_one_script(name: str) -> None:
    assert re.search(r"^-- (Atomic, (because|for the same)|One script, )", FILES[name], re.MULTILINE)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_includes_what_it_calls_and_nothing_else(name: str) -> None:
    source = script_source(name)
    shared = {
        function: file
        for file in INCLUDED
        for function in re.findall(r"^local function (\w+)", FILES[file], re.MULTILINE)
    }
    called = {function for function in shared if re.search(rf"\b{function}\(", code(FILES[name]))}
    assert all(source.count(f"local function {function}(") == 1 for function in called)
    includes = re.findall(r"^-- Include: (.+)$", FILES[name], re.MULTILINE)
    included = [file for line in includes for file in line.split(", ") if file != EFFECT]
    assert all(file in {shared[function] for function in called} for file in included)


@pytest.mark.parametrize("name", sorted(name for name in FILES if EFFECT in FILES[name] and name != EFFECT))
def test_first_write_comes_before_everything_else(name: str) -> None:
    included = re.findall(r"^-- Include: (.+)$", FILES[name], re.MULTILINE)
    assert EFFECT not in ", ".join(included) or included[0].split(", ")[0] == EFFECT


@pytest.mark.parametrize("file", sorted(INCLUDED - {EFFECT}))
def test_shared_functions_are_defined_once(file: str) -> None:
    defined = re.findall(r"^local function (\w+)", FILES[file], re.MULTILINE)
    others = [text for name, text in FILES.items() if name != file]
    assert defined
    assert not [function for function in defined for text in others if f"local function {function}(" in text]
