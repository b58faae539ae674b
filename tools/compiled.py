"""The MIME parser as machine code, by mypyc: a hook for the wheel's build, and a command for tests and benchmarks.

The hook runs only where `HATCH_BUILD_HOOK_ENABLE_CUSTOM=true` asks for it: without a C compiler the same source is
interpreted, with the same results. `python -m tools.compiled` makes build/compiled, where `ingest` lies with its
compiled modules, so that the tree itself stays interpreted and no stale module hides a change of its source.
Constants of these modules are `Final`: the name of any other one is looked up in a dictionary at each use.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parents[1]
COMPILED = ROOT / "build" / "compiled"
# Those that each mail passes through, except `defects`: mypyc does not compile an Enum with a __new__ of its own.
MODULES = (
    "account",
    "addresses",
    "blocks",
    "dates",
    "decoders",
    "entity",
    "events",
    "fields",
    "header_lines",
    "header_reader",
    "headers",
    "leaf",
    "limits",
    "lines",
    "multiparts",
    "outside",
    "part_header",
    "radix64",
    "scanner",
    "tally",
    "text",
)
_SECONDS = 900
# Level 2 takes a quarter longer than level 1 and gains nothing: most of the time is the interpreter's own library.
_SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup

# Types were checked with the plugin of pydantic, which is not needed here: without it, aliases are unknown arguments.
options = ["--config-file=", "--follow-imports=silent", "--ignore-missing-imports", "--disable-error-code=call-arg"]
arguments = [*options, *sys.argv[1:]]
modules = mypycify(arguments, opt_level="1", debug_level="0", group_name="mailhaul")
setup(name="mailhaul", packages=[], ext_modules=modules, script_args=["build_ext", "--inplace"])
"""


class CompiledParser(BuildHookInterface):  # type: ignore[type-arg] # of no configuration of its own
    """Adds the compiled modules to the wheel, next to their sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is packed; an editable install stays interpreted.

        Raises:
            RuntimeError: there is no C compiler, or it failed.
        """
        if version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="mailhaul-compiled-")
        folder = Path(self._folder.name)
        build_data["force_include"] |= {str(folder / name): name for name in build(Path(self.root), folder)}
        build_data["pure_python"], build_data["infer_tag"] = False, True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary files."""
        if version != "editable":
            self._folder.cleanup()


def build(root: Path, folder: Path) -> list[str]:
    """Copy `ingest` into a folder, compile it there, and return the files that were made, relative to the folder.

    Raises:
        RuntimeError: there is no C compiler, or it failed.
    """
    shutil.copytree(root / "ingest", folder / "ingest", ignore=shutil.ignore_patterns("__pycache__"))
    sources = [f"ingest/mime/{name}.py" for name in MODULES]
    command = [sys.executable, "-c", _SETUP, *sources]
    done = subprocess.run(  # noqa: S603 - this interpreter, and modules of this package
        command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the MIME parser was not compiled:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    shutil.rmtree(folder / "build")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.so"))


def main() -> None:
    """Make build/compiled anew."""
    shutil.rmtree(COMPILED, ignore_errors=True)
    COMPILED.mkdir(parents=True)
    made = build(ROOT, COMPILED)
    sys.stdout.write(f"{len(made)} files in {COMPILED}\n")


if __name__ == "__main__":
    main()
