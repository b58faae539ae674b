"""Conditions are checked when they are read, and never fail or hang when they are used."""

from __future__ import annotations

import json
import threading
from functools import cache
from typing import Any

import pytest

from ingest.expressions import Expression, ExpressionError
from tests.support.habits import HABITS
from tests.support.processing import process


@cache
def manifests() -> dict[str, dict[str, Any]]:
    """The manifests of the sample mails that have documents, by name."""
    return {habit.name: json.loads(process(habit.raw).manifest.to_json()) for habit in HABITS if habit.documents}


def matching(text: str, event: str = "received") -> set[str]:
    expression = Expression(text)
    return {name for name, manifest in manifests().items() if expression.matches(manifest, event)}


def test_condition_selects_by_documents() -> None:
    found = matching("documents.exists(d, d.kind == 'invoice')")
    assert found == {habit.name for habit in HABITS if any(each[0] == "invoice" for each in habit.documents)}
    assert found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("headers.from.exists(a, a.address.endsWith('@mx.example.org'))", "bounce-of-postfix"),
        ("headers.subject.matches('(?i)^invoice$')", "plain-pdf"),
        ("automatic != null && automatic.kind == 'delay'", "delay"),
        ("size(attachments) > 9", "ten-files"),
        ("event == 'received' && attachments.exists(a, a.detected_type == 'image/tiff')", "fax-to-mail"),
        ("has(mailbox.labels.tenant) || parse.status == 'complete'", "csv"),
    ],
)
def test_condition_sees_the_fields_of_the_manifest(text: str, name: str) -> None:
    assert name in matching(text)


def test_event_is_a_variable() -> None:
    assert matching("event == 'failed'") == set()
    assert matching("event == 'failed'", "failed") == set(manifests())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("documents.exists(", r"line 1, column 18: Syntax error.*"),
        ("true &&\n  (false", r"line 2, column 9: Syntax error.*"),
        ("1 + 'x' == 2", r"line 1, column 3: found no matching overload for .*"),
        ("subject == 'x'", r"line 1, column 1: undeclared reference to 'subject'"),
        ("'true'", r"must be true or false.*"),
        ("[1, 2].map(x, x * 2)", r"must be true or false.*"),
    ],
)
def test_wrong_condition_is_refused_with_its_place(text: str, error: str) -> None:
    with pytest.raises(ExpressionError, match=error):
        Expression(text)


@pytest.mark.parametrize(
    "text", ["envelope.return_path == ''", "mailbox.labels.tenant == 'x'", "headers.date > 5", "headers.subject"]
)
def test_condition_on_what_is_not_there_says_nothing(text: str) -> None:
    manifest = {**manifests()["plain-pdf"], "envelope": None}
    assert Expression(text).matches(manifest) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("documents.exists(d, d.knd == 'x')", 'Key not found in map : "knd"'),
        ("envelope.return_path == ''", "a field is asked of what is null"),
        ("headers.subject", "the result is neither true nor false"),
        ("headers.subject + 1 == 2", "No matching overloads found : _+_(string, int64)"),
        ("headers.subject == 's'", None),
    ],
)
def test_reason_of_a_failure_is_what_cel_says_and_no_content(text: str, reason: str | None) -> None:
    manifest: dict[str, Any] = {"documents": [{"kind": "invoice"}], "headers": {"subject": "UNKNOWN: s"}}
    assert Expression(text).failure(manifest) == reason


def test_condition_that_would_run_for_ever_ends() -> None:
    many = str(list(range(10)))
    text = "true"
    for name in "abcdefghijkl":
        text = f"{many}.all({name}, {text})"
    ended = threading.Event()

    def run() -> None:
        assert Expression(text).matches({}) is None
        ended.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ended.wait(60)


def test_regular_expression_takes_linear_time() -> None:
    manifest: dict[str, Any] = {"headers": {"subject": "a" * 900 + "!"}}
    assert Expression("headers.subject.matches('^(a+)+$')").matches(manifest) is False
