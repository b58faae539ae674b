"""Converting is bounded: what may take long does so in a guarded process."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from ingest.texts.convert import READ_BYTES, Conversions, Converted
from ingest.texts.reader import CONVERTERS

if TYPE_CHECKING:
    from ingest.domain.manifest import DerivedKind


def converted(kind: DerivedKind, markup: bytes) -> Converted:
    with tempfile.TemporaryFile() as file:
        file.write(markup)
        file.flush()
        return Conversions().convert(kind, markup[:READ_BYTES], file.fileno)


def no_file() -> int:
    raise AssertionError("a guarded process was wanted")


REOPENED = b"".join(b"<font size=%d><p>" % number for number in range(7000))
HOSTILE = {
    "deep": b"<div>" * 20_000,
    "reopened": REOPENED,
    "attributes": b"<p " + b" ".join(b"a%d=1" % number for number in range(15_000)) + b">x",
    "tables": b"<table><tr><td>" * 8000,
    "ampersands": b"&" * 120_000,
    "spans": b"<table><tr><td colspan=100000000>x<td rowspan=100000000>y",
    "lists": b"<ul><li>" * 15_000,
}


@pytest.mark.parametrize("kind", ["plain", "safe_html"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_html_takes_limited_time(name: str, kind: DerivedKind) -> None:
    began = time.process_time()
    converted(kind, HOSTILE[name])
    assert time.process_time() - began < 10  # of this process; that of the other has its own limit


def test_elements_that_are_opened_again_are_converted_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONVERTERS, "safe_html", lambda _: (b"here", True))
    assert converted("safe_html", REOPENED).data != b"here"
    assert converted("safe_html", b"<p>" * 20_000).data != b"here"
    assert Conversions().convert("safe_html", b"<p><b>x</b>" * 200, no_file).data == b"here"


@pytest.mark.parametrize("kind", ["plain", "safe_html"])
def test_long_html_gives_the_same_in_another_process(kind: DerivedKind) -> None:
    markup = b"<p>Price: 1 <b>EUR</b></p>" * 6000
    here = CONVERTERS[kind](markup)
    assert converted(kind, markup) == here


def test_only_the_beginning_of_huge_html_is_read() -> None:
    text = converted("plain", b"<table>" + b"<tr><td>Screws<td>12,50" * (10 * 2**20 // 23))
    assert text.data is not None
    assert text.data.startswith(b"Screws  12,50\n")
    assert not text.whole


def test_process_that_is_stopped_gives_nothing() -> None:
    assert converted("safe_html", REOPENED * 15) == Converted(None, whole=False)


def test_html_of_one_message_is_limited() -> None:
    conversions = Conversions(_bytes=10)
    assert conversions.convert("plain", b"<p>one", no_file) == Converted(b"one\n")
    assert conversions.convert("plain", b"<p>two", no_file) == Converted(None, whole=False)
    assert Conversions(_seconds=0).convert("plain", b"<p>one", no_file) == Converted(None, whole=False)


def test_time_of_guarded_processes_is_counted() -> None:
    conversions = Conversions(_seconds=60)
    with tempfile.TemporaryFile() as file:
        file.write(b"<p>" * 100_000)
        file.flush()
        conversions.convert("plain", b"<p>" * 100_000, file.fileno)
    assert conversions._seconds < 60


def test_error_of_a_library_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> tuple[bytes, bool]:
        raise RecursionError

    monkeypatch.setitem(CONVERTERS, "plain", fail)
    assert Conversions().convert("plain", b"<p>", no_file) == Converted(None, whole=False)


def test_panic_of_a_library_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def fail(_: bytes) -> tuple[bytes, bool]:
        raise PanicException

    monkeypatch.setitem(CONVERTERS, "plain", fail)
    assert Conversions().convert("plain", b"<p>", no_file) == Converted(None, whole=False)


def test_interrupt_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> tuple[bytes, bool]:
        raise KeyboardInterrupt

    monkeypatch.setitem(CONVERTERS, "plain", fail)
    with pytest.raises(KeyboardInterrupt):
        Conversions().convert("plain", b"<p>", no_file)
