"""A refusal of credentials that worked within a day is doubted, a few times; the account is never locked for it."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from ingest.admin.mailboxes import MailboxState
from ingest.admin.status import read_status
from ingest.cli import listings
from ingest.domain.retry import AUTH_PAUSES, DOUBTED_FOR, DOUBTED_TIMES
from ingest.errors import ConfigError, LoginRefusedError, MaildropAuthError
from ingest.ports.status import MailboxStatus
from tests.support.bench import Bench, bench, mailbox, never

if TYPE_CHECKING:
    from ingest.usecases.poll.stage import PollOutcome

REFUSED = LoginRefusedError("The server refused the user name or password: no. Check both.")


def poll(b: Bench, *, minutes: float = 1) -> PollOutcome:
    """Poll the mailbox that many minutes after the last poll."""
    b.clock.time += minutes * 60
    b.ticker.tick(b.schedule())
    b.ledger.mailboxes.run_now("a")
    (claim,) = b.ledger.mailboxes.claim(1, b.keeper.seconds)
    outcome = b.poll_stage.handle(claim, never)
    assert outcome is not None
    return outcome


def tries(b: Bench, seconds: float) -> list[tuple[float, str]]:
    """Poll each minute; return when logins were tried and how they ended."""
    started, found = b.clock.time, []
    while b.clock.time - started < seconds:
        outcome = poll(b)
        assert outcome.error is not None
        if not outcome.error.code.endswith("not_retried"):
            found.append((b.clock.time - started, outcome.result))
    return found


def test_refusal_is_doubted_with_growing_pauses_and_then_believed() -> None:
    with bench() as b:
        assert poll(b).result == "success"
        b.maildrops["a"].error = REFUSED
        found = tries(b, 3 * 3600)
        assert [result for _, result in found] == ["temporary"] * DOUBTED_TIMES + ["auth_error"]
        times = [time for time, _ in found]
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses == sorted(pauses)
        assert sum(time <= 3600 for time in times) == 3  # as many as of credentials that never worked


def test_believed_refusal_is_tried_as_seldom_as_any_other() -> None:
    with bench() as b:
        poll(b)
        b.maildrops["a"].error = REFUSED
        found = tries(b, 20 * 3600)
        believed = [time for time, result in found if result == "auth_error"]
        assert believed[1] - believed[0] >= AUTH_PAUSES[-1]


def test_server_that_was_wrong_costs_one_pause() -> None:
    with bench() as b:
        poll(b)
        b.maildrops["a"].error = REFUSED
        assert poll(b, minutes=40).result == "temporary"
        b.maildrops["a"].error = None
        assert poll(b).result == "temporary"
        assert poll(b, minutes=6).result == "success"
        b.maildrops["a"].error = REFUSED
        assert [result for _, result in tries(b, 3 * 3600)].count("temporary") == DOUBTED_TIMES  # they count anew


@pytest.mark.parametrize(
    ("error", "hours", "secret"),
    [
        (MaildropAuthError("[AUTH] no"), 0.5, b"secret"),
        (REFUSED, DOUBTED_FOR / 3600 + 1, b"secret"),
        (REFUSED, 0.5, b"another"),
    ],
    ids=["the server blames the credentials", "more than a day", "credentials changed"],
)
def test_refusal_is_believed_at_once(error: MaildropAuthError, hours: float, secret: bytes) -> None:
    with bench() as b:
        poll(b)
        b.maildrops["a"].error, b.secret = error, secret
        assert poll(b, minutes=hours * 60).result == "auth_error"


def test_credentials_that_never_worked_are_not_doubted() -> None:
    with bench() as b:
        b.maildrops["a"].error = REFUSED
        assert poll(b).result == "auth_error"


def test_changed_credentials_are_tried_at_the_next_poll() -> None:
    with bench() as b:
        poll(b)
        b.maildrops["a"].error = REFUSED
        assert poll(b).result == "temporary"
        b.maildrops["a"].error, b.secret = None, b"another"
        assert poll(b).result == "success"


def test_person_sees_when_the_credentials_worked_and_when_they_are_tried_again() -> None:
    with bench() as b:
        poll(b)
        b.maildrops["a"].error = REFUSED
        words = str(poll(b, minutes=40).error)
        assert "The same credentials worked 40 min ago: they are tried again in 5 min, before they count" in words
        assert "no. Check both." in words
        poll(b, minutes=2)  # too early to try: what is shown stays
        status = b.ledger.statuses()["a"]
        assert status.credentials_worked == b.clock.time - 42 * 60
        assert status.retry_at == pytest.approx(b.clock.time + 195)


def test_listings_print_when_the_credentials_worked_and_when_they_are_tried_again() -> None:
    now, expected = time.time(), "a: the server refused the credentials that worked 40 min ago; trying again in 5 min"
    doubted = MailboxStatus(now, "temporary", credentials_worked=now - 2400, retry_at=now + 301)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(listings.mailboxes_table([MailboxState(mailbox("a"), None, None, doubted)]))
    assert expected in capture.get()
    with bench() as b, console.capture() as capture:
        b.ledger.put_status("a", doubted)
        console.print(listings.status_view(read_status(b.ledger, b.events, b.mailboxes.values(), [])))
    assert expected in capture.get()


def test_only_16_bits_of_the_credentials_are_kept() -> None:
    with bench() as b:
        poll(b)
        login = b.ledger.last_login("a")
        assert login is not None
        assert len(login.check) * 4 == 16


def test_secret_that_is_gone_meanwhile_does_no_harm() -> None:
    with bench() as b:
        poll(b)
        b.maildrops["a"].error = REFUSED

        def missing(_: str) -> bytes:
            raise ConfigError(["file:/gone: cannot be read"])

        object.__setattr__(b.poll_stage, "fingerprint", missing)
        assert poll(b).result == "auth_error"
