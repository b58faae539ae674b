"""Any input is either a valid configuration or a ConfigError that names the place and the remedy."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ingest.cli.app import app
from ingest.config import Secrets, config_schema
from ingest.config.load import load
from ingest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.slow

# All properties together try more than five thousand configurations.
EXAMPLES = 1_700
WHOLE = yaml.safe_load((Path(__file__).parents[3] / "examples" / "full.yaml").read_text())
SECRET = "hunter2-is-nobodys-business"
LONGEST_PROBLEM = 2_000

odd_text = st.text(st.characters(codec="utf-8"), max_size=40)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**70), 10**30, 0, -1]),
    st.floats(),
    odd_text,
    st.dates(),
    st.datetimes(),
    st.binary(max_size=20),
    st.just(SECRET),
    st.sampled_from(
        ["", "0s", "-5m", "1e99", "99999999d", "5 parsecs", "150 MiB ", "~", "no", "0x1F", "1_000", "12:30"]
    ),
    st.sampled_from(["env:", "env:A B", "file:", "file:/", "file:/dev/zero", "file:../..", f"env:{SECRET}-"]),
    st.sampled_from(
        ["s3://", "file://x", "redis://", "redis://h:x", "redis://h:99999", "http://[::1", "amqp://u:p@h", "://"]
    ),
    st.sampled_from(
        [
            f"redis://u:{SECRET}@h",
            f"redis+sentinel://:{SECRET}@a,b/x",
            f"redis+cluster://:{SECRET}@a,b",
            f"amqp://u:{SECRET}@h:x",
            "unix://",
        ]
    ),
)
odd_keys = st.one_of(st.integers(), st.none(), st.booleans(), st.just(SECRET + "-key"))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(odd_text, odd_keys), inner, max_size=4)
    ),
    max_leaves=8,
)


def _dump(document: Any) -> str:
    """Write YAML with libyaml: PyYAML's own writer takes longer than loading and checking the result."""
    text: str = yaml.dump(document, Dumper=yaml.CDumper)
    return text


def places(value: Any, steps: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document."""
    yield steps
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in items:
        yield from places(inner, (*steps, step))


PLACES = sorted(places(WHOLE), key=repr)[1:]


@st.composite
def with_mistakes(draw: st.DrawFn) -> Any:
    """Draw the full example with one to three mistakes: a changed value, or a key removed, renamed or added."""
    document = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        steps = draw(st.sampled_from(PLACES))
        around = document
        try:
            for step in steps[:-1]:
                around = around[step]
            mistake = draw(st.sampled_from(["change", "drop", "rename", "add", "twice"]))
            if mistake == "change":
                around[steps[-1]] = draw(values)
            elif mistake == "drop":
                del around[steps[-1]]
            elif isinstance(around, dict) and mistake == "rename":
                around[draw(odd_text)] = around.pop(steps[-1])
            elif isinstance(around, dict):
                around[draw(st.one_of(odd_text, odd_keys))] = draw(values)
            elif isinstance(around, list):
                around.append(copy.deepcopy(around[steps[-1]]))
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mistake removed this place
    return document


def judged(path: Path | None, environ: Mapping[str, str]) -> list[str]:
    """Load a configuration and return its problems; fail unless each is readable, names its place and no secret."""
    named = re.escape(str(path)) if path else "there is no configuration: "
    places = rf"environment variable MAILHAUL_|and [0-9,]+ more problems|{named}"
    try:
        load(path, environ)
    except ConfigError as error:
        found = error
    else:
        return []
    assert found.problems
    assert len(set(found.problems)) == len(found.problems)
    assert found.__cause__ is None
    for problem in found.problems:
        assert problem.isprintable(), problem
        assert len(problem) < LONGEST_PROBLEM, problem
        for word in ("pydantic", "Traceback", "<class", "Error(", "yaml.org"):
            assert word not in problem
        assert re.match(places, problem), problem
        assert SECRET not in problem.replace(f"{SECRET}-key", ""), problem
        problem.encode()
    return found.problems


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties") / "mailhaul.yaml"


def rules(examples: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@rules(EXAMPLES)
@given(document=with_mistakes())
def test_mistakes_in_a_configuration_are_reported_with_their_place(file: Path, document: Any) -> None:
    file.write_text(_dump(document))
    judged(file, {})


@rules(EXAMPLES // 5)
@given(document=with_mistakes(), again=st.dictionaries(st.sampled_from([*WHOLE, "stroe"]), values, max_size=3))
def test_mistakes_in_a_folder_are_reported_with_their_file(
    tmp_path_factory: pytest.TempPathFactory, document: Any, again: Any
) -> None:
    """The second of two files adds to the first or repeats its options."""
    folder = tmp_path_factory.getbasetemp() / "a folder of files"
    folder.mkdir(exist_ok=True)
    (folder / "10-first.yaml").write_text(_dump(document))
    (folder / "20-second.yaml").write_text(_dump(again))
    judged(folder, {})


@rules(EXAMPLES)
@given(document=st.one_of(values, st.dictionaries(st.sampled_from([*WHOLE, "stroe"]), values)))
def test_document_without_store_and_ledger_is_rejected(file: Path, document: Any) -> None:
    file.write_text(_dump(document))
    assert judged(file, {}) or (isinstance(document, dict) and {"store", "ledger"} <= set(document))


@rules(EXAMPLES)
@given(
    text=st.one_of(
        st.text(st.sampled_from(list("abc:-[]{}&*!|>'\"#%@`,?\t\n \\~0.")), max_size=80).map(str.encode),
        st.binary(max_size=80),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    ),
    before=st.sampled_from([b"", b"store: file:///x\nledger: embedded\n", b"\xef\xbb\xbf", b"\xff\xfe"]),
)
def test_any_bytes_without_store_and_ledger_are_rejected(file: Path, text: bytes, before: bytes) -> None:
    file.write_bytes(before + text)
    assert judged(file, {}) or b"ledger: embedded" in before


names = st.one_of(
    st.sampled_from(
        ["STORE", "LEDGER", "SINKS", "MAILBOXES", "DEFAULTS", "METRICS__PORT", "DEFAULTS__INTERVAL", "LOG"]
    ),
    st.lists(
        st.sampled_from(
            ["STORE", "URL", "SINKS", "0", "DEFAULTS", "LIMITS", "MAILBOXES", "METRICS", "X", "", "AUTH"]
        ),
        min_size=1,
        max_size=5,
    ).map("__".join),
)
written = st.one_of(
    odd_text,
    scalars.map(str),
    values.map(repr),
    st.sampled_from(["[", "{", "[1, 2", '{"a": [}', '{"url": 5}', "[[]]", '["x"]', '{"": {}}']),
).filter(lambda text: "\0" not in text)


@rules(EXAMPLES // 2)
@given(variables=st.dictionaries(names.map("MAILHAUL_{}".format), written, max_size=5))
def test_any_variables_without_a_ledger_are_rejected(file: Path, variables: dict[str, str]) -> None:
    assert judged(None, variables) or "MAILHAUL_LEDGER" in variables
    file.write_text("store: file:///srv/mail\nledger: embedded\n")
    judged(file, variables)


def test_folder_named_like_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "10-good.yaml").write_text("store: file:///srv/mail\nledger: embedded\n")
    (tmp_path / "20-folder.yaml").mkdir()
    (problem,) = judged(tmp_path, {})
    assert str(tmp_path / "20-folder.yaml") in problem


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + closing * depth


HOSTILE = {
    "a list nested deeply": "mailboxes: " + nested(20_000, "[", "]"),
    "a mapping nested deeply": "store: " + nested(20_000, "{a: ", "}"),
    "blocks nested deeply": "".join(f"{' ' * depth}a:\n" for depth in range(3_000)),
    "laughs by the billion": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)),
    "merges by the billion": "a: &a {x: 1}\n"
    + "".join(
        f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    ),
    "an alias to itself": "store: &s {url: *s}\n",
    "a merge with itself": "store: &s {<<: *s}\n",
    "a merge of a word": "store: {<<: word}\n",
    "a python object": "store: !!python/object/apply:os.system ['true']\n",
    "an unknown tag": "store: !vault secret\n",
    "two documents": "store: file:///x\n---\nledger: embedded\n",
    "a number of five thousand digits": f"metrics: {{port: {'9' * 5000}}}\n",
    "a key of a megabyte": f"{'k' * 2**20}: 1\n",
    "a value of a megabyte": f"store: {'v' * 2**20}\n",
    "a key over two lines": '"a\\nb": 1\n',
    "a key that steers terminals": '"\\e[2J": 1\n',
    "ten thousand options": "".join(f"option{number}: 1\n" for number in range(10_000)),
    "ten thousand mailboxes of one name": "store: file:///x\nledger: embedded\nmailboxes:\n"
    + "  - {id: a}\n" * 10_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_rejected(tmp_path: Path, what: str) -> None:
    """Time and memory are bounded by the size of the file; otherwise this test would not end."""
    path = tmp_path / "mailhaul.yaml"
    path.write_text(HOSTILE[what])
    problems = judged(path, {})
    assert 1 <= len(problems) <= 201


@pytest.mark.parametrize(
    "what", ["a mapping nested deeply", "a python object", "a key that steers terminals", "ten thousand options"]
)
def test_the_command_line_reports_hostile_files_line_by_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "mailhaul.yaml"
    path.write_text(HOSTILE[what])
    done = CliRunner().invoke(app, ["check", "--config", str(path)])
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == len(judged(path, {}))
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize("value", [nested(100_000, "[", "]"), nested(100_000, '{"a":', "}"), "9" * 5000, "\udcff"])
@pytest.mark.parametrize("name", ["MAILHAUL_MAILBOXES", "MAILHAUL_STORE", "MAILHAUL_METRICS__PORT"])
def test_hostile_variables_are_reported(name: str, value: str) -> None:
    assert judged(None, {"MAILHAUL_LEDGER": "embedded", name: value})


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "huge", "missing", "unreadable"])
def test_secret_file_that_is_not_text_is_rejected(tmp_path: Path, what: str) -> None:
    path = tmp_path / "secret"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path = Path("/dev/zero")
    elif what == "folder":
        path.mkdir()
    elif what == "huge":
        with path.open("wb") as file:
            file.truncate(2**40)
    elif what == "unreadable":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError) as raised:
        Secrets(tmp_path, {}).read(f"file:{path}")
    (problem,) = raised.value.problems
    assert str(path) in problem


@pytest.mark.parametrize("what", ["pipe", "device", "huge"])
def test_configuration_that_is_not_a_text_file_is_rejected(tmp_path: Path, what: str) -> None:
    path = tmp_path / "mailhaul.yaml"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path = Path("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(2**40)
    assert judged(path, {})


def test_full_example_has_every_section() -> None:
    assert set(WHOLE) == set(config_schema()["properties"])
