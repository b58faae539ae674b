from __future__ import annotations

import pytest

from tests.support.waiting import eventually


def test_the_first_true_answer_is_returned() -> None:
    answers = iter([0, "", 7, 8])
    assert eventually(lambda: next(answers), timeout=30) == 7


def test_a_condition_that_holds_needs_no_time() -> None:
    assert eventually(lambda: "there", timeout=-1) == "there"


def test_the_error_says_what_was_seen_last() -> None:
    with pytest.raises(AssertionError, match=r"last seen: \[\]"):
        eventually(list[int], timeout=0)
    with pytest.raises(AssertionError, match="3 of 4"):
        eventually(lambda: False, describe=lambda: "3 of 4", timeout=0)


def test_an_error_in_the_condition_is_not_waited_out() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0, timeout=30)
