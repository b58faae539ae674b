"""Access tokens: fetched once for all threads, renewed before they expire, and not asked for in vain all the time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from ingest.adapters.tokens import cache
from ingest.adapters.tokens.cache import TokenCache
from ingest.adapters.tokens.fetch import Fetched
from ingest.domain.grant import ClientCredentials, Grant, RefreshToken
from ingest.errors import MaildropAuthError, TokenUnavailableError
from tests.support.clock import Clock
from tests.support.waiting import eventually

APPLICATION = ClientCredentials(token_url="https://l.example/t", client_id="id", client_secret="s", scope="pop")
USER = RefreshToken(token_url="https://l.example/t", client_id="id", client_secret=None, refresh_token="first")
HOUR = 3_600.0


@dataclass
class Server:
    """A token server: numbers its tokens, and fails while `error` is set."""

    clock: Clock = field(default_factory=Clock)
    asked: list[Grant] = field(default_factory=list)
    error: Exception | None = None
    lives: float = HOUR
    refresh_token: str | None = None
    gate: threading.Event | None = None

    def __post_init__(self) -> None:
        self.tokens = TokenCache(self.clock, self.ask)

    def ask(self, grant: Grant) -> Fetched:
        self.asked.append(grant)
        if self.gate is not None:
            self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return Fetched(f"token-{len(self.asked)}", self.lives, self.refresh_token)


@pytest.fixture
def server() -> Server:
    return Server()


def test_token_is_kept_until_shortly_before_it_expires(server: Server) -> None:
    assert server.tokens.token(APPLICATION) == "token-1"
    server.clock.time += HOUR - 901
    assert server.tokens.token(APPLICATION) == "token-1"
    server.clock.time += 1
    assert server.tokens.token(APPLICATION) == "token-2"
    assert len(server.asked) == 2


def test_token_that_lives_for_minutes_is_renewed_in_its_last_quarter(server: Server) -> None:
    server.lives = 400.0
    server.tokens.token(APPLICATION)
    server.clock.time += 299
    assert server.tokens.token(APPLICATION) == "token-1"
    server.clock.time += 1
    assert server.tokens.token(APPLICATION) == "token-2"


def test_token_belongs_to_a_grant(server: Server) -> None:
    assert server.tokens.token(APPLICATION) == "token-1"
    assert server.tokens.token(replace(APPLICATION, client_secret="new")) == "token-2"
    assert server.tokens.token(replace(APPLICATION)) == "token-1"


def test_refused_token_is_not_returned_again(server: Server) -> None:
    assert server.tokens.token(APPLICATION) == "token-1"
    assert server.tokens.token(APPLICATION, refused="token-1") == "token-2"
    assert server.tokens.token(APPLICATION, refused="token-1") == "token-2", "another mailbox was refused the old one"
    server.error = TokenUnavailableError("down")
    with pytest.raises(TokenUnavailableError):
        server.tokens.token(APPLICATION, refused="token-2")


def test_threads_without_a_token_wait_for_the_one_that_fetches_it(server: Server) -> None:
    server.gate = threading.Event()
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(server.tokens.token, APPLICATION) for _ in range(8)]
        eventually(lambda: server.asked)
        server.gate.set()
        assert {one.result(30) for one in waiting} == {"token-1"}
    assert len(server.asked) == 1


def test_threads_continue_with_their_token_while_one_renews_it(server: Server) -> None:
    server.tokens.token(APPLICATION)
    server.clock.time += HOUR - 900
    server.gate = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        renewing = threads.submit(server.tokens.token, APPLICATION)
        eventually(lambda: len(server.asked) == 2)
        assert server.tokens.token(APPLICATION) == "token-1"
        server.gate.set()
        assert renewing.result(30) == "token-2"


def test_old_token_is_used_to_its_end_while_no_newer_one_can_be_fetched(server: Server) -> None:
    server.tokens.token(APPLICATION)
    server.error = TokenUnavailableError("down")
    server.clock.time += HOUR - 61
    assert server.tokens.token(APPLICATION) == "token-1"
    server.clock.time += 1
    with pytest.raises(TokenUnavailableError, match="down"):
        server.tokens.token(APPLICATION)


@pytest.mark.parametrize("kind", [MaildropAuthError, TokenUnavailableError])
def test_failure_is_returned_without_asking_for_growing_pauses(
    server: Server, kind: type[MaildropAuthError | TokenUnavailableError]
) -> None:
    server.error = kind("no")
    pauses = []
    for _ in range(8):
        began, asked = server.clock.time, len(server.asked)
        while len(server.asked) == asked:
            with pytest.raises(kind, match="no"):
                server.tokens.token(APPLICATION)
            server.clock.time += 1
        pauses.append(server.clock.time - began)
    assert pauses == sorted(pauses)
    assert (pauses[1], pauses[2], pauses[-1]) == (10, 20, 300)
    server.error = None
    server.clock.time += 300
    assert server.tokens.token(APPLICATION)


def test_refresh_token_that_the_server_rotated_is_used_until_it_is_refused(server: Server) -> None:
    server.refresh_token = "second"
    server.tokens.token(USER)
    server.refresh_token = None
    server.clock.time += HOUR
    server.tokens.token(USER)
    server.error = MaildropAuthError("no")
    server.clock.time += HOUR
    with pytest.raises(MaildropAuthError):
        server.tokens.token(USER)
    server.error = None
    server.clock.time += 10
    server.tokens.token(USER)
    used = [grant.refresh_token for grant in server.asked if isinstance(grant, RefreshToken)]
    assert used == ["first", "second", "second", "first"]


def test_number_of_kept_grants_is_limited(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MOST", 2)
    for number in range(3):
        server.tokens.token(replace(APPLICATION, client_secret=f"{number}"))
    server.tokens.token(replace(APPLICATION, client_secret="2"))
    assert len(server.asked) == 3
    server.tokens.token(replace(APPLICATION, client_secret="0"))
    assert len(server.asked) == 4
