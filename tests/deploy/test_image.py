"""What the image is built from; tests/deploy/test_image_run.py builds it."""

from __future__ import annotations

import re
import tomllib
from functools import cache

from tests.support.rules import ROOT
from tools.documents.chart_schema import CHART

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


@cache
def _instructions(name: str) -> list[str]:
    """What follows each instruction of a name, its lines joined."""
    whole = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in whole.splitlines() if line.startswith(f"{name} ")]


def _locked(name: str) -> set[str]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return {line.partition("==")[0] for line in lines if "==" in line}


def test_both_stages_stand_on_the_base_that_the_builder_names() -> None:
    assert [words.split()[0] for words in _instructions("FROM")] == ["${BASE}", "${BASE}"]


def test_what_is_copied_is_there_and_nothing_else_reaches_the_builder() -> None:
    copied = {
        word.rstrip("/")
        for words in _instructions("COPY")
        if not words.startswith("--from")
        for word in words.split()[:-1]
    }
    assert all((ROOT / name).exists() for name in copied)
    assert IGNORED[1] == "*"
    assert {line[1:] for line in IGNORED if line.startswith("!")} == copied


def test_every_python_package_is_locked_and_checked() -> None:
    installs = re.findall(r"/pip\b[^&]*\binstall\b[^&]*", "\n".join(_instructions("RUN")))
    assert installs
    for command in installs:
        assert "--require-hashes" in command or "--no-deps --no-index" in command, command


def test_compiler_stays_in_the_build_stage() -> None:
    build, final = DOCKERFILE.split("\nFROM ${BASE}\n")
    assert "gcc" in build
    assert "apt-get" not in final


def test_the_image_holds_all_extras_and_nothing_that_builds_or_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *(package for packages in extras.values() for package in packages)]
    locked = _locked("image.txt")
    assert {re.split(r"[^a-z0-9-]", package)[0] for package in wanted} <= locked
    assert not {"hatchling", "pytest", "ruff", "moto"} & locked
    assert _locked("image.txt") <= _locked("dev.txt"), "the image runs what was never tested"
    assert "hatchling" in _locked("build.txt")


def test_the_chart_starts_what_the_image_starts() -> None:
    (entry,) = _instructions("ENTRYPOINT")
    assert entry == '["mailhaul"]'
    assert "command: [mailhaul]" in (CHART / "templates" / "_pod.tpl").read_text()


def test_it_runs_as_a_number_that_is_not_root_and_needs_no_shell() -> None:
    *_, user = _instructions("USER")
    assert re.fullmatch(r"[1-9]\d*:0", user), "Kubernetes cannot tell from a name that it is not root"
    (health,) = _instructions("HEALTHCHECK")
    commands = [*_instructions("ENTRYPOINT"), *_instructions("CMD"), health.partition("CMD ")[2]]
    assert all(command.startswith("[") for command in commands)
