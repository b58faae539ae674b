"""Access tokens: three ways to get one, whose fault it is when there is none, and how seldom they are asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ingest.adapters.tokens.cache import TokenCache
from ingest.adapters.tokens.fetch import Fetched, fetch
from ingest.config import ConfigSource
from ingest.domain.mailbox import Mechanism
from ingest.errors import MaildropAuthError, TokenUnavailableError
from ingest.metrics import Metrics
from ingest.ports.hints import NoHints
from ingest.runtime import build
from tests.support.oauth import CLIENT, REFRESH, SCOPE, SECRET, TokenServer
from tests.support.servers import free_port
from tests.support.service import write_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.domain.grant import Grant
    from tests.support.valkey import Valkey


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as running:
        yield running


def grants(server: TokenServer) -> list[Grant]:
    return [server.application(), server.user(), server.user(secret=None), server.service_account()]


def test_each_way_gets_a_token(server: TokenServer) -> None:
    for number, grant in enumerate(grants(server), 1):
        fetched = fetch(grant)
        assert (fetched.access_token, fetched.lives) == (f"token-{number}", 3600)


def test_nothing_of_a_grant_or_token_is_printed(server: TokenServer) -> None:
    for secret in ("s3cret", REFRESH, "PRIVATE KEY", "token-1"):
        assert secret not in repr([grants(server), fetch(server.application())])


@pytest.mark.parametrize(
    ("which", "words"),
    [("secret", "secrets of applications expire"), ("refresh", "consent again"), ("subject", "delegation")],
)
def test_a_refusal_says_who_has_to_do_what(server: TokenServer, which: str, words: str) -> None:
    by_kind: dict[str, Grant] = {
        "secret": server.application(secret="old"),
        "refresh": server.user(refresh_token="old"),
        "subject": server.service_account(subject="other@example.org"),
    }
    with pytest.raises(MaildropAuthError, match=words) as told:
        fetch(by_kind[which])
    assert "\n" not in str(told.value)


def test_a_key_that_is_none_is_told_before_anything_is_sent(server: TokenServer) -> None:
    for key in ("", "{}", "[]", '{"client_email": 1}', "-----BEGIN PRIVATE KEY-----"):
        with pytest.raises(MaildropAuthError, match="JSON file"):
            fetch(replace(server.service_account(), key=key))
    assert server.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"oops"),
        (503, b'{"error": "temporarily_unavailable"}'),
        (429, b"slow down"),
        (200, b"<html>log in here</html>"),
        (200, b"{}"),
        (200, b"[]"),
        (200, b'{"access_token": ""}'),
        (200, b'{"access_token": "t", "expires_in": "soon"}'),
        (200, b'{"access_token": "t", "expires_in": -1}'),
        (400, b'{"error": "server_error"}'),
    ],
)
def test_an_answer_that_makes_no_sense_is_nobodys_wrong_password(
    server: TokenServer, answer: tuple[int, bytes]
) -> None:
    server.answer = answer
    for grant in grants(server):
        with pytest.raises(TokenUnavailableError):
            fetch(grant)


def test_a_server_that_is_away_or_silent_is_asked_again_later(server: TokenServer) -> None:
    with pytest.raises(TokenUnavailableError):
        fetch(replace(server.application(), token_url=f"http://127.0.0.1:{free_port()}/token"))
    server.silent = True
    with pytest.raises(TokenUnavailableError):
        fetch(server.application(), seconds=0.2)


def test_secrets_are_not_sent_to_where_a_server_points(server: TokenServer) -> None:
    with TokenServer() as other:
        server.location = other.url
        for grant in grants(server):
            with pytest.raises(TokenUnavailableError):
                fetch(grant)
        assert other.requests == []


# --- the cache ---------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_token_is_used_until_shortly_before_it_ends(server: TokenServer) -> None:
    clock = Clock()
    cache, grant = TokenCache(clock), server.application()
    for now, token in ((0, 1), (3299, 1), (3301, 2), (6600, 2), (6602, 3)):
        clock.now = now
        assert cache.token(grant) == f"token-{token}"


def test_a_short_lived_token_is_used_for_nine_tenths_of_its_life(server: TokenServer) -> None:
    server.lives = 100
    clock = Clock()
    cache, grant = TokenCache(clock), server.application()
    for now, token in ((0, 1), (89, 1), (91, 2)):
        clock.now = now
        assert cache.token(grant) == f"token-{token}"


def test_a_refused_token_is_replaced_once_for_all_who_hold_it(server: TokenServer) -> None:
    cache, grant = TokenCache(Clock()), server.application()
    assert cache.token(grant) == "token-1"
    assert [cache.token(grant, refused="token-1") for _ in range(3)] == ["token-2"] * 3


def test_fifty_threads_fetch_one_token(server: TokenServer) -> None:
    cache, grant = TokenCache(Clock()), server.application()
    with ThreadPoolExecutor(50) as threads:
        tokens = list(threads.map(lambda _: cache.token(grant), range(200)))
    assert set(tokens) == {"token-1"}
    assert server.issued == 1


def test_a_slow_grant_holds_up_no_other(server: TokenServer) -> None:
    with TokenServer() as other:

        def ask(grant: Grant) -> Fetched:
            return fetch(grant, seconds=1.0)

        cache = TokenCache(Clock(), ask)
        other.silent = True
        with ThreadPoolExecutor(2) as threads:
            slow = threads.submit(cache.token, other.application())
            assert threads.submit(cache.token, server.application()).result() == "token-1"
            with pytest.raises(TokenUnavailableError):
                slow.result()


def test_a_changed_secret_is_another_grant(server: TokenServer) -> None:
    cache = TokenCache(Clock())
    assert cache.token(server.application()) == "token-1"
    with pytest.raises(MaildropAuthError):
        cache.token(server.application(secret="new, and not known there yet"))


def test_a_refresh_token_that_the_server_changes_is_followed(server: TokenServer) -> None:
    server.rotate = True
    clock = Clock()
    cache, grant = TokenCache(clock), server.user()
    for number in (1, 2, 3):
        assert cache.token(grant) == f"token-{number}"
        clock.now += 3600
    assert [form["refresh_token"] for form in server.requests] == [REFRESH, "refresh-1", "refresh-2"]


# --- put together ------------------------------------------------------------------------------------------------


def test_a_mailbox_gets_a_token_for_its_login_and_one_more_when_it_is_refused(
    server: TokenServer, tmp_path: Path, valkey: Valkey
) -> None:
    application = {"client_id": CLIENT, "client_secret": "env:TOKEN_SECRET", "token_url": server.url, "scope": SCOPE}
    boxes = [
        {"id": name, "host": "pop.example", "auth": {"type": "oauth2", "username": name, **application}}
        for name in "ab"
    ]
    source = ConfigSource(write_config(tmp_path, boxes, ledger=valkey.url), {"TOKEN_SECRET": SECRET})
    runtime = build(source, valkey.url, Metrics(), NoHints())
    try:
        first = runtime.credentials("a")
        assert (first.username, first.password, first.mechanism) == ("a", "token-1", Mechanism.XOAUTH2)
        assert runtime.credentials("b").password == "token-1", "one token serves all that the application may open"
        assert first.renew is not None
        second = first.renew()
        assert (second.password, second.renew) == ("token-2", None)
        assert runtime.credentials("b").password == "token-2"
    finally:
        runtime.close()
