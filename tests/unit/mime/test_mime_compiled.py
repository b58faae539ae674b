"""The parser as machine code: `make compiled` builds it, and runs the tests of this folder with it."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from hatchling.builders.wheel import WheelBuilder

from ingest.mime import FORM
from tests.support.rules import ROOT
from tools.compiled import MODULES

if TYPE_CHECKING:
    import pytest

_ENABLE = "HATCH_BUILD_HOOK_ENABLE_CUSTOM"


def test_parser_has_the_form_that_the_tests_were_asked_to_test() -> None:
    asked = os.environ.get("MAILHAUL_TEST_PARSER", "interpreted")
    assert asked == FORM
    forms = {
        "interpreted" if file is not None and file.endswith(".py") else "compiled"
        for file in (importlib.import_module(f"ingest.mime.{name}").__file__ for name in MODULES)
    }
    assert forms == {FORM}


def test_a_build_needs_no_compiler_unless_it_is_asked_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_ENABLE, raising=False)
    pure = WheelBuilder(str(ROOT)).config
    assert pure.hook_config == {}
    assert not [name for name in pure.dependencies if name.startswith("mypy")]
    monkeypatch.setenv(_ENABLE, "true")
    compiled = WheelBuilder(str(ROOT)).config
    assert compiled.hook_config["custom"]["path"] == "tools/compiled.py"
    assert compiled.dependencies == ["mypy[mypyc]"]
