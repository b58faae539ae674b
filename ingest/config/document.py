"""Read YAML files into plain values with their positions, so that each problem can name file and line."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from ingest.config.loaders import FastLoader, Loader, ReadNode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Steps = tuple[str | int, ...]

# Sections that are joined over the files of a folder.
SHARED = ("mailboxes", "sinks")
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
# Bytes; enough for a hundred thousand mailboxes.
_LARGEST = 64 * 2**20
# YAML aliases can expand a few lines to billions of values. A file may have this many values, or one in eight bytes:
# a hundred thousand mailboxes have more than a million.
_MOST_VALUES = 1_000_000
_BYTES_PER_VALUE = 8
# Characters of a key that are shown in a problem.
_LONGEST_KEY = 60
# PyYAML's messages quote aliases and tags, which may be a password that was written without quotes.
_QUOTED = re.compile(r"'[^'<]{2,}'")


# Nodes of keys and values by the key's text; by something else where the key is no text.
_Entries = dict[str | int, tuple[yaml.Node, yaml.Node]]


@dataclass(frozen=True, slots=True)
class Mark:
    """The position of a value: file, line (from 1), and path inside the file."""

    file: str
    line: int
    steps: Steps

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {shown(self.steps)}" if self.steps else f"{self.file}:{self.line}"


@dataclass
class Document:
    """Values from one or more files, their positions, and the problems found while reading.

    Positions are found when the first of them is asked for, by reading the files' content again: only a problem needs
    them, and those of a hundred thousand mailboxes take more memory than the values.
    """

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    contents: list[tuple[Path, bytes]] = field(default_factory=list)
    _marks: dict[Steps, Mark] = field(default_factory=dict)
    _marked: int = 0  # contents that the marks are of

    def mark(self, steps: Steps) -> Mark | None:
        """Return the position of a value, or of the nearest section around it."""
        if len(self.contents) != self._marked:
            self._marks, self._marked = _marks_of(self.contents), len(self.contents)
        marks = self._marks
        return next((marks[steps[:end]] for end in range(len(steps), -1, -1) if steps[:end] in marks), None)


def shown(steps: Steps) -> str:
    """Return a path as people write it: `mailboxes[3].port`. Keys are escaped for the terminal."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_named(step)}" for step in steps).removeprefix(".")


def _named(key: str) -> str:
    short = key if len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]}..."
    return short if short.isprintable() and short else json.dumps(short)


def read(path: Path) -> Document:
    """Read a YAML file, or all files of a folder as one: `mailboxes` and `sinks` are joined, others unique."""
    joined = Document()
    try:
        files = _files(path) if path.is_dir() else [path]
    except OSError as error:
        files = []
        joined.problems.append(f"{path}: cannot be read ({error.strerror}); make it readable for the service's user")
    else:
        if not files:
            joined.problems.append(
                f"{path}: contains no file that ends in .yaml or .yml; put the configuration there"
            )
    for file in files:
        _join(joined, _read_file(file))
    return joined


def files_of(path: Path) -> list[Path]:
    """Return the files that `read` would read."""
    return _files(path) if path.is_dir() else [path]


def _files(folder: Path) -> list[Path]:
    """Return the files by name, without hidden ones: Kubernetes keeps the parts of its mounts there."""
    return sorted(
        entry for entry in folder.iterdir() if entry.suffix in {".yaml", ".yml"} and not entry.name.startswith(".")
    )


def _read_file(file: Path) -> Document:
    try:
        content = _bytes(file)
    except OSError as error:
        return Document(problems=[f"{file}: cannot be read ({error.strerror}); check path and permissions"])
    except _TooLargeError as error:
        return Document(problems=[f"{file}: {error}"])
    return _parse(file, content)


def _parse(file: Path, content: bytes, marks: dict[Steps, Mark] | None = None) -> Document:
    """Return the values of one file, or its problems.

    Args:
        file: its path.
        content: what it contains.
        marks: where to record the position of every value.
    """
    try:
        # libyaml is ten times faster, but describes problems in other words.
        return _loaded(FastLoader, file, content, marks)
    except (yaml.YAMLError, UnicodeError):
        pass
    except (RecursionError, _TooLargeError) as error:
        return _unread(file, content, error)
    try:
        return _loaded(Loader, file, content, marks)
    except (yaml.YAMLError, UnicodeError, RecursionError, _TooLargeError) as error:
        return _unread(file, content, error)


def _loaded(
    loader_class: type[Loader | FastLoader], file: Path, content: bytes, marks: dict[Steps, Mark] | None
) -> Document:
    document = Document(contents=[(file, content)])
    loader = loader_class(content)
    try:
        reader = _Reader(str(file), loader, document, marks, max(_MOST_VALUES, len(content) // _BYTES_PER_VALUE))
        loader.read_item, loader.sections = reader.read_item, SHARED
        root = loader.get_single_node()
        if root is not None:
            reader.read_root(root)
    finally:
        loader.read_item = None  # a reference in a circle, which would keep all values until a collection
        loader.dispose()
    return document


def _unread(file: Path, content: bytes, error: Exception) -> Document:
    """Return the document of a file that cannot be used."""
    match error:
        case yaml.MarkedYAMLError():
            mark = error.problem_mark or error.context_mark
            place = f"{file}:{mark.line + 1}: column {mark.column + 1}" if mark else str(file)
            problem = f"{place}: is not valid YAML{_yaml_words(error, content)}"
        case RecursionError():
            problem = f"{file}: is nested too deeply; look for unclosed brackets"
        case _TooLargeError():
            problem = f"{file}: {error}"
        case _:
            problem = f"{file}: is not UTF-8; save it as UTF-8"
    return Document(problems=[problem])


def _yaml_words(error: yaml.MarkedYAMLError, content: bytes) -> str:
    """Return what is wrong with the YAML, and the remedy."""
    problem = error.problem or error.context or "it ends unexpectedly"
    if "double-quoted" in (error.context or "") and "escape" in problem:
        return ": in double quotes a backslash begins an escape; use single quotes, as in 'corp\\user'"
    if error.problem_mark is not None and _is_indented_by_tab(content, error.problem_mark.line):
        return ": the line is indented by a tab; use spaces"
    what = _QUOTED.sub("something", problem)
    return f" ({what}); check indentation, brackets and quotes here and in the line before"


def _is_indented_by_tab(content: bytes, number: int) -> bool:
    lines = content.splitlines()
    return number < len(lines) and b"\t" in lines[number][: len(lines[number]) - len(lines[number].lstrip())]


def _bytes(file: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: the file cannot be read.
        _TooLargeError: it is a device or a pipe, or too large.
    """
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        return file.read_bytes()  # raises IsADirectoryError
    if not stat.S_ISREG(found.st_mode):
        raise _TooLargeError("is a device or a pipe; put the configuration into a file")
    if found.st_size > _LARGEST:
        raise _TooLargeError("is larger than 64 MiB, the maximum of a configuration")
    return file.read_bytes()


class _TooLargeError(Exception):
    """The file is no configuration; the text says what to do."""


class _Reader:
    """Turns YAML nodes into values. A key without a value counts as not written."""

    def __init__(
        self,
        file: str,
        loader: Loader | FastLoader,
        document: Document,
        marks: dict[Steps, Mark] | None,
        most: int,
    ) -> None:
        self._file, self._loader, self._document, self._marks, self._most = file, loader, document, marks, most
        self._around: set[int] = set()
        self._entries: dict[int, _Entries] = {}
        self._count = 0

    def read_root(self, root: yaml.Node) -> None:
        values = self._value(root, ())
        if isinstance(values, dict):
            self._document.values = values
        elif values is not None:
            self._problem(root, (), "must be a mapping: lines such as `store: file:///var/lib/mailhaul`")

    def read_item(self, items: yaml.Node, node: yaml.CollectionNode, steps: Steps) -> Any:
        """Return the value of one item of a list that is not complete yet."""
        self._around.add(id(items))
        value = self._value(node, steps)
        self._around.discard(id(items))
        # Both keep nodes, or refer to them by an address that the next item may have.
        self._entries.clear()
        self._loader.constructed_objects.clear()
        return value

    def _value(self, node: yaml.Node, steps: Steps) -> Any:
        if isinstance(node, ReadNode):
            return node.value
        self._count += 1
        if self._count > self._most:
            raise _TooLargeError("expands to more than a million values; use fewer aliases")
        if not isinstance(node, yaml.CollectionNode):
            return self._scalar(node, steps)
        if id(node) in self._around:
            self._problem(node, steps, "contains itself through an alias; write it without the alias")
            return None
        self._around.add(id(node))
        try:
            return self._mapping(node, steps) if isinstance(node, yaml.MappingNode) else self._list(node, steps)
        finally:
            self._around.discard(id(node))

    def _scalar(self, node: yaml.Node, steps: Steps) -> Any:
        if node.tag == _TEXT:
            return node.value
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._problem(node, steps, "is not a valid value of the type it looks like; put it in quotes")
            return None

    def _list(self, node: yaml.CollectionNode, steps: Steps) -> list[Any]:
        items = []
        for number, item in enumerate(node.value):
            self._mark(item, (*steps, number))
            items.append(self._value(item, (*steps, number)))
        return items

    def _mapping(self, node: yaml.MappingNode, steps: Steps) -> dict[str, Any]:
        self._refuse_repeated(node, steps)
        values = {}
        for key_node, value_node in self._merged(node, steps).values():
            key = self._scalar(key_node, steps) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                self._problem(key_node, steps, "has a key that is not text; put it in quotes")
                continue
            self._mark(key_node, (*steps, key))
            value = self._value(value_node, (*steps, key))
            if value is not None:
                values[key] = value
        return values

    def _merged(self, node: yaml.MappingNode, steps: Steps) -> _Entries:
        """Return keys and values, with lower precedence those of `<<`. Each mapping is merged once."""
        if id(node) in self._entries:
            return self._entries[id(node)]
        self._entries[id(node)] = {}  # meanwhile: a mapping that merges itself adds nothing
        below: _Entries = {}
        own: _Entries = {}
        for key, value in node.value:
            if key.tag != _MERGE:
                own[key.value if isinstance(key, yaml.ScalarNode) else id(key)] = (key, value)
                continue
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(merged, yaml.MappingNode):
                    below = {**self._merged(merged, steps), **below}
                else:
                    self._problem(key, steps, "merges no mapping; write `<<: *name` of a mapping")
        self._entries[id(node)] = {**below, **own}
        return self._entries[id(node)]

    def _refuse_repeated(self, node: yaml.MappingNode, steps: Steps) -> None:
        first: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if key.value in first:
                line = first[key.value].start_mark.line + 1
                self._problem(key, (*steps, key.value), f"is written twice, first in line {line}; remove one")
            first.setdefault(key.value, key)

    def _mark(self, node: yaml.Node, steps: Steps) -> None:
        if self._marks is not None:
            self._marks[steps] = Mark(self._file, node.start_mark.line + 1, steps)

    def _problem(self, node: yaml.Node, steps: Steps, text: str) -> None:
        self._document.problems.append(f"{Mark(self._file, node.start_mark.line + 1, steps)}: {text}")


def _join(joined: Document, other: Document) -> None:
    joined.problems += other.problems
    joined.contents += other.contents
    for name, value in other.values.items():
        present = joined.values.get(name)
        if present is None:
            joined.values[name] = value
        elif name in SHARED and isinstance(present, list) and isinstance(value, list):
            present += value
        else:
            joined.problems.append(f"{other.mark((name,))}: is also at {joined.mark((name,))}; remove one")


def _marks_of(contents: Sequence[tuple[Path, bytes]]) -> dict[Steps, Mark]:
    """Return the positions of all values of files that are joined."""
    joined: dict[Steps, Mark] = {}
    lengths: dict[Steps, int] = {}
    for file, content in contents:
        marks: dict[Steps, Mark] = {(): Mark(str(file), 1, ())}
        values = _parse(file, content, marks).values
        for steps, mark in marks.items():
            # A list continues that of the files before.
            if len(steps) > 1 and isinstance(steps[1], int) and steps[:1] in lengths:
                joined[(*steps[:1], lengths[steps[:1]] + steps[1], *steps[2:])] = mark
            else:
                joined.setdefault(steps, mark)
        for name in SHARED:
            if isinstance(items := values.get(name), list):
                lengths[(name,)] = lengths.get((name,), 0) + len(items)
    return joined
