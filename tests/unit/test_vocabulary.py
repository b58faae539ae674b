"""Retired words stay retired, in code and in documents: each is listed with its replacement.

A word counts however it is written: as an identifier (`snake_case`, `CamelCase`), in a comment, docstring, message or
document, or in the name of a file. Words of ordinary English are retired only in the phrases listed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", "deploy", "docs", "examples", "helm", "ingest", "tests", "tools", "workers")
SUFFIXES = {"", ".json", ".lua", ".md", ".py", ".toml", ".tpl", ".txt", ".yaml", ".yml"}
# Mail as others wrote it; this list.
SKIPPED = ("tests/corpus/", "tests/unit/test_vocabulary.py")
BLANK = r"\s+"


@dataclass(frozen=True)
class Retired:
    """A pattern of words in lower case, what to write instead, and others' names that contain such a word."""

    pattern: str
    instead: str
    exceptions: str = ""


RETIRED = (
    Retired(r"octets?", "byte", r"octet.stream|octet string|octet.aligned|uuencode pad octet"),
    Retired(r"(tell|tells|telling) (of|again)|told", "report; republish"),
    Retired(r"untold", "unpublished"),
    Retired(r"recall(s|ed|ing)?", "event from manifest"),
    Retired(r"hints?", "wake-up", r"type hints?"),
    Retired(r"(give|gives|gave|given|giving) up", "fail"),
    Retired(r"(park|parks|parked|parking)", "retrying, dead-lettered"),
    Retired(r"(set|sets|setting|put|kept|keep) aside", "retrying, dead-lettered"),
    Retired(r"refused events?|sinks refused", "rejected"),
    Retired(r"heal(s|ed|ing|er)?", "rebuild", r"self heal"),
    Retired(r"deaf", "stalled consumer"),
    Retired(r"pulses?", "heartbeat"),
    Retired(r"(is|are|was|were|be|been|being|stay|stays|stayed) away", "unavailable"),
    Retired(r"shelv(e|es|ed|ing)", "unschedule"),
    Retired(r"hasten(s|ed)?", "run now"),
    Retired(r"(take|takes|took) turns?", "throttle"),
    Retired(r"mend(s|ed|ing)?", "fix"),
    Retired(r"(let|lets|letting) go of", "close, release"),
    Retired(r"(ledger|poll) admission|connections? (is|was|were|are) admitted", "acquire a connection slot"),
    Retired(r"holdings|byhand|takers?", "a plain noun"),
    Retired(r"way of a message|ways? out", "path of a message; sink"),
)


def _files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    found += [*ROOT.glob("[!.]*")]
    return [path for path in found if path.is_file() and path.suffix in SUFFIXES and not _skipped(path)]


def _skipped(path: Path) -> bool:
    return "__pycache__" in path.parts or str(path.relative_to(ROOT)).startswith(SKIPPED)


def plain(text: str) -> str:
    """Return a line in lower case with blanks between words, whether they were written as a name or as prose."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-_`*# \t]+", " ", text).lower()


def found_in(text: str) -> list[tuple[int, str, Retired]]:
    """Return line, words and entry for each retired word, also if a line break is between two words of a phrase."""
    joined = "\n".join(plain(line) for line in text.splitlines())
    found = []
    for entry in RETIRED:
        rest = re.sub(entry.exceptions, "", joined) if entry.exceptions else joined
        pattern = rf"(?<![a-z])(?:{entry.pattern.replace(' ', BLANK)})(?![a-z])"
        found += [
            (rest.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), entry)
            for match in re.finditer(pattern, rest)
        ]
    return found


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_uses_a_retired_word(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    hits = found_in(path.read_text(encoding="utf-8", errors="replace"))
    hits += found_in(name.replace("/", " "))
    assert not [f"{name}:{line}: {words!r}, write: {entry.instead}" for line, words, entry in hits]


@pytest.mark.parametrize(
    "text",
    [
        "class OctetReader: ...",
        "def give_up(message): ...",
        "# The event is told\n    # again.",
        "a broker that is away",
        "counts_of_hints = 0",
    ],
)
def test_a_retired_word_is_found_however_it_is_written(text: str) -> None:
    assert found_in(text)


@pytest.mark.parametrize(
    "text",
    ["application/octet-stream", "an OCTET STRING of ASN.1", "typing.get_type_hints(model)", "tell them apart"],
)
def test_names_of_others_and_ordinary_english_are_allowed(text: str) -> None:
    assert found_in(text) == []
