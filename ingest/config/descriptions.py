"""The descriptions of options, which are the docstrings below them.

They are read from the source when they are asked for. pydantic would read them each time a process starts.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel


def descriptions(section: type[BaseModel]) -> dict[str, str]:
    """Return the description of each option of a section, its base classes' included."""
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if base.__module__.startswith("ingest."):
            found.update(_own(base))
    return {name: found[name] for name in section.model_fields if name in found}


def _own(section: type) -> Iterable[tuple[str, str]]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(tree, ast.ClassDef)
    for option, below in zip(tree.body, tree.body[1:], strict=False):
        match option, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)


def describe(schema: dict[str, Any], section: type[BaseModel]) -> None:
    """Add the descriptions of a section to its JSON Schema."""
    for name, text in descriptions(section).items():
        option = schema["properties"][name]
        schema["properties"][name] = dict(sorted({**option, "description": text}.items()))
