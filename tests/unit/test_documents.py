"""What the documents name exists: files, links, commands, options of commands, events of the log."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer.core
import typer.main

from ingest.cli.app import app
from tools.documents.pages import pages

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("helm/**/*.md")])
FOLDERS = "deploy|docs|examples|helm|ingest|requirements|tests|tools|workers"
SOURCES = "\n".join(
    path.read_text() for folder in ("ingest", "workers") for path in sorted((ROOT / folder).rglob("*.py"))
)

each_document = pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))


def test_generated_pages_are_up_to_date() -> None:
    stale = [path.name for path, text in pages().items() if path.read_text() != text]
    assert stale == [], "run: make docs"


@each_document
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@each_document
def test_files_that_a_document_names_exist(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})(?:/[\w.-]+)+)/?`", page.read_text())
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


@each_document
def test_modules_that_a_document_names_exist(page: Path) -> None:
    named = re.findall(r"\b((?:ingest|tests)(?:\.[a-z_0-9]+)+)\b", page.read_text())
    paths = [ROOT / name.replace(".", "/") for name in named]
    assert [path for path in paths if not path.is_dir() and not path.with_suffix(".py").exists()] == []


@each_document
def test_commands_that_a_document_names_exist(page: Path) -> None:
    text = re.sub(r"(?<=[a-z,])\n *(?=[a-z])", " ", page.read_text())
    named = re.findall(r"(?:`|-- |^ +)mailhaul ((?:[a-z][a-z|-]*(?:[ `\\]|$))+)", text, re.MULTILINE)
    assert [words for words in named if not _command(words)] == []


def test_the_drawing_of_layers_is_what_the_import_linter_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    drawing = (ROOT / "ARCHITECTURE.md").read_text().partition("## Layers")[2].partition("| Room |")[0]
    rows = [
        re.findall(r"(?:│|  ) ?(ingest\.[a-z0-9]+|workers)\b", line) for line in drawing.splitlines() if "│ " in line
    ]
    drawn = [name for row in rows for name in row]
    assert drawn == [name for layer in layers for name in re.split(r" [|:] ", layer)]


@pytest.mark.parametrize("page", [ROOT / "docs" / "operations.md", *(ROOT / "docs" / "runbooks").glob("*.md")])
def test_log_lines_that_a_page_names_are_written(page: Path) -> None:
    named = re.findall(r"`(?!limits|metrics|workers)([a-z_]+\.(?!md|eml|json)[a-z_]+)`", page.read_text())
    assert [name for name in named if f'"{name}"' not in SOURCES] == []


def _command(words: str) -> bool:
    """Whether the words begin with a command; words behind one that takes arguments are those."""
    command = typer.main.get_command(app)
    for word in re.split(r"[ `|]+", words.strip(" `|")):
        if not isinstance(command, typer.core.TyperGroup):
            return True
        if word not in command.commands:
            return False
        command = command.commands[word]
    return True
