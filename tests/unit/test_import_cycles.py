"""No module of the product imports itself, however indirectly, when it is loaded."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

ROOT = Path(__file__).parents[2]


def modules(*packages: str) -> dict[str, Path]:
    found = {}
    for package in packages:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is loaded: not those in functions, and not those for the type checker."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from statements(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, name, []))
            for handler in getattr(statement, "handlers", []):
                yield from statements(handler.body)


def imports(source: str, known: AbstractSet[str]) -> set[str]:
    """The known modules that a module imports when it is loaded."""
    found = set()
    for statement in statements(ast.parse(source).body):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module is not None:
            inner = {f"{statement.module}.{alias.name}" for alias in statement.names}
            found |= (inner & known) or {statement.module}
    return found & known


def cycle(graph: Mapping[str, AbstractSet[str]]) -> list[str]:
    """A path that ends where it begins; empty where there is none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for imported in sorted(graph[module]):
            if found := visit(imported, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


def test_no_module_imports_itself_indirectly() -> None:
    found = modules("ingest", "workers")
    graph = {name: imports(path.read_text(), found.keys()) for name, path in found.items()}
    assert graph["ingest.config.load"] >= {"ingest.config.model", "ingest.config.rules"}
    assert cycle(graph) == []


def test_config_has_no_cycle_even_for_the_type_checker() -> None:
    found = modules("ingest/config")
    graph = {
        name: {
            imported
            for imported in imports(path.read_text().replace("if TYPE_CHECKING:", "if True:"), found.keys())
            if imported != "ingest.config"
        }
        for name, path in found.items()
    }
    assert cycle(graph) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a.b", {"a.b"}),
        ("from a import b", {"a.b"}),
        ("from a.b import name", {"a.b"}),
        ("try:\n    import a.b\nexcept ImportError:\n    import a", {"a", "a.b"}),
        ("class C:\n    import a.b", {"a.b"}),
        ("def f():\n    import a.b", set()),
        ("if TYPE_CHECKING:\n    import a.b", set()),
        ("import os", set()),
    ],
)
def test_only_imports_that_run_when_a_module_is_loaded_count(source: str, found: set[str]) -> None:
    assert imports(source, {"a", "a.b"}) == found


def test_a_cycle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
