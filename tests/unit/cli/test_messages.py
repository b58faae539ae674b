"""Errors as lines and exit codes, and text that strangers chose on a terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from ingest import __version__
from ingest.admin.check import CheckReport, Finding
from ingest.admin.drain import DrainedMailbox, DrainReport
from ingest.cli import reports, runtime
from ingest.cli.app import app
from ingest.cli.common import counted, exit_code, print_error, print_lines, printable
from ingest.errors import (
    ConfigError,
    LedgerUnavailableError,
    MaildropAuthError,
    MailhaulError,
    StartError,
    StoreRefusedError,
)
from ingest.mime import FORM
from ingest.usecases.poll.report import PollReport

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def drained(result: str = "success", pending: int = 0) -> DrainReport:
    row = DrainedMailbox("a", result, PollReport(listed=2), error=None if result == "success" else "no entry")
    return DrainReport([row], processed=0, pending=pending, events={}, waiting_events=0, seconds=0.1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError(["no"]), 2),
        (StartError("no"), 2),
        (LedgerUnavailableError("no"), 1),
        (StoreRefusedError("no"), 1),
        (MaildropAuthError("no"), 1),
    ],
)
def test_exit_code_is_2_for_unusable_input_and_1_for_failure(error: MailhaulError, code: int) -> None:
    assert exit_code(error) == code


def test_each_problem_is_one_line_without_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_config: Path | None) -> None:
        raise ConfigError([f"first: {'long ' * 40}", "second [bold]: \x1b[2J"])

    monkeypatch.delenv("MAILHAUL_DEBUG", raising=False)
    monkeypatch.setattr(runtime, "open_runtime", fail)
    code, stdout, stderr = run("status")
    assert (code, stdout) == (2, "")
    assert stderr.splitlines() == [f"error: first: {'long ' * 40}", "error: second [bold]: \ufffd[2J"]


def test_debug_mode_raises_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_config: Path | None) -> None:
        raise StartError("no")

    monkeypatch.setenv("MAILHAUL_DEBUG", "1")
    monkeypatch.setattr(runtime, "open_runtime", fail)
    assert isinstance(CliRunner().invoke(app, ["status"]).exception, StartError)


@pytest.mark.parametrize("arguments", [["frobnicate"], ["parse"], ["worker", "sing"], ["drain", "--nonsense"]])
def test_bad_usage_is_2(arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


@pytest.mark.parametrize(
    ("report", "interrupted", "code"),
    [
        (drained(), False, 0),
        (drained("auth_error"), False, 1),
        (drained(pending=1), False, 1),
        (drained(), True, 130),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_drain_exit_code(
    monkeypatch: pytest.MonkeyPatch, report: DrainReport, *, interrupted: bool, code: int, form: list[str]
) -> None:
    monkeypatch.setattr(runtime, "drain", lambda _config: (report, interrupted))
    assert run("drain", *form)[0] == code


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_check_exit_code(monkeypatch: pytest.MonkeyPatch, *, ok: bool, code: int) -> None:
    report = CheckReport([Finding("store", "memory", ok=ok, detail="words")])
    monkeypatch.setattr(runtime, "check", lambda _config, _only: report)
    assert run("check")[0] == code


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_config: Path | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runtime, "open_runtime", interrupt)
    assert run("status")[0] == 130


def test_text_from_a_server_cannot_control_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "\x1b]0;title\x07 \u202egnp.exe\r\nnext"
    assert printable(words) == "\ufffd]0;title\ufffd \ufffdgnp.exe\ufffd\ufffdnext"
    report = CheckReport([Finding("mailbox", "a", ok=False, detail=words)])
    monkeypatch.setattr(runtime, "check", lambda _config, _only: report)
    _, output, _ = run("check")
    assert "next" in output
    assert "\x1b" not in output
    assert "\u202e" not in output


def test_details_of_findings_are_wrapped_below_their_part_on_a_terminal_only() -> None:
    report = CheckReport([Finding("store", "s3://mail", ok=True, detail="a probe object was written and deleted")])
    one_line = list(reports.check_lines(report))
    assert "a probe object was written and deleted" in one_line[1]
    wrapped = list(reports.check_lines(report, width=30))
    assert len(wrapped) == len(one_line) + 1
    assert all(line.startswith(" " * 8) for line in wrapped[1:-1])


def test_many_findings_that_say_the_same_are_one_line() -> None:
    works = [
        Finding("mailbox", f"m{number}", ok=True, detail=f"logged in; {number} messages, {number:,} bytes")
        for number in range(4_990)
    ]
    fails = [Finding("mailbox", f"x{number}", ok=False, detail="wrong password") for number in range(10)]
    report = CheckReport([Finding("store", "s", ok=True, detail="fine"), *works, *fails])
    lines = list(reports.check_lines(report))
    assert len(lines) == 7
    assert "4,990: m0, m1, m2, …" in lines[4]
    assert "m0: logged in; 0 messages" in lines[5]
    # What does not work comes first.
    assert "10: x0, x1, x2, …" in lines[2]
    assert "wrong password" in lines[3]
    assert "10 of 5,001 parts do not work" in lines[6]


def test_many_findings_that_all_differ_are_cut() -> None:
    words = [f"{chr(97 + number % 26)}{chr(97 + number // 26)} failed" for number in range(60)]
    report = CheckReport([Finding("mailbox", word[:2], ok=False, detail=word) for word in words])
    lines = list(reports.check_lines(report))
    assert len(lines) == 2 * 21 + 1
    assert "40 more" in lines[-3]
    assert "`--json` lists each" in lines[-2]


def test_few_findings_are_printed_one_by_one() -> None:
    report = CheckReport([Finding("mailbox", f"m{number}", ok=True, detail="logged in") for number in range(20)])
    assert len(list(reports.check_lines(report))) == 2 * 20 + 1


def test_what_is_not_visible_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = [
        Finding("mailbox", f"m{n}", ok=True, detail="not visible from here", visible=False) for n in range(5_000)
    ]
    report = CheckReport([Finding("store", "s", ok=True, detail="fine"), *hidden])
    monkeypatch.setattr(runtime, "check", lambda _config, _only: report)
    code, output, _ = run("check")
    assert code == 0
    assert "✗" not in output
    assert len(output.splitlines()) == 5
    assert "all is well; 5,000 are not visible from here" in output


def test_counts_of_a_drain_stand_in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        DrainedMailbox("invoices", "success", PollReport(listed=12_345, new=7, stored=7)),
        DrainedMailbox("a", "auth_error", PollReport(listed=2), error="wrong password"),
    ]
    report = DrainReport(rows, processed=7, pending=1, events={"erp": 7}, waiting_events=2, seconds=0.1)
    report = replace(report, sink_errors={"erp": "answered 503"})
    monkeypatch.setattr(runtime, "drain", lambda _config: (report, False))
    lines = run("drain")[1].splitlines()
    assert lines == [
        "mailbox   listed  new  stored  duplicate  oversize  failed  deleted",
        "invoices  12,345    7       7          0         0       0        0",
        "a              2    0       0          0         0       0        0",
        "all       12,347    7       7          0         0       0        0",
        "a: wrong password",
        "7 messages processed; events delivered: 7 to erp; 0.1 s",
        "erp: it answered 503; see mailhaul status for what to do",
        "1 message waits to be retried and 2 events wait for their sink; run `mailhaul drain` again",
    ]


@pytest.mark.parametrize(("no_color", "coloured"), [("1", False), ("", None)])
def test_colours_are_left_out_on_request(
    monkeypatch: pytest.MonkeyPatch, no_color: str, *, coloured: bool | None
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    colours = []
    monkeypatch.setattr(typer, "echo", lambda _text, *, color, **_: colours.append(color))
    print_lines(["one"])
    print_error("two")
    assert colours == [coloured, coloured]


def test_text_from_a_sender_cannot_control_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(
        b"Subject: \x1b[31mred [bold]\r\nFrom: =?utf-8?q?=1B]0=3Bt=07?= <a@example.org>\r\n"
        b'Content-Type: text/x-\x1b[31m; name="=?utf-8?q?=E2=80=AEfdp.exe?="\r\n\r\nhello\r\n'
    )
    code, stdout, _ = run("parse", str(tmp_path / "a.eml"))
    assert code == 0
    assert "red [bold]" in stdout
    for steering in "\x1b\x07\u202e":
        assert steering not in stdout


def test_help_lists_commands_in_the_order_a_new_user_needs_them() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    names = group.list_commands(typer.Context(group))
    assert names[:5] == ["init", "up", "check", "drain", "status"]
    assert set(names) == set(group.commands)
    assert names.index("failed") < names.index("replay") < names.index("parse") < names.index("worker")


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 mailboxes are new"), (1, "1 mailbox is new"), (1_234, "1,234 mailboxes are new")]
)
def test_number_and_noun_agree(count: int, words: str) -> None:
    assert counted(count, "mailbox is", "mailboxes are") + " new" == words
    assert counted(count, "message") == f"{count:,} message{'' if count == 1 else 's'}"


def test_shells_can_complete_commands() -> None:
    """Bash calls the program with these variables, see `mailhaul --show-completion`."""
    words = {"_MAILHAUL_COMPLETE": "complete_bash", "COMP_WORDS": "mailhaul mailboxes p", "COMP_CWORD": "2"}
    result = CliRunner().invoke(app, [], env=words, prog_name="mailhaul")
    assert (result.exit_code, result.stdout.split()) == (0, ["pause", "poll"])


@pytest.mark.parametrize("arguments", [["--version"], ["version"]])
def test_version_is_an_option_and_a_command(arguments: list[str]) -> None:
    assert run(*arguments) == (0, f"{__version__}\n", "")


def test_version_names_the_form_of_the_parser_on_request() -> None:
    code, out, _ = run("version", "--json")
    assert (code, json.loads(out)) == (0, {"version": __version__, "parser": FORM})
