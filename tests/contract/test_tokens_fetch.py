"""Fetching an access token: three ways to get one, and whose fault it is when there is none."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trustme

from ingest.adapters.tokens.fetch import fetch
from ingest.adapters.tokens.transport import ANSWER_BYTES
from ingest.errors import MaildropAuthError, TokenUnavailableError
from tests.support.oauth import REFRESH, TokenServer
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.domain.grant import Grant

SHORT = 0.3  # seconds, for a deadline that is to be met


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as running:
        yield running


def grants(server: TokenServer) -> list[Grant]:
    return [server.application(), server.user(), server.user(secret=None), server.service_account()]


def test_each_grant_type_gets_a_token(server: TokenServer) -> None:
    for number, grant in enumerate(grants(server), 1):
        fetched = fetch(grant)
        assert (fetched.access_token, fetched.lives) == (f"token-{number}", 3600)


def test_nothing_of_a_grant_or_token_is_printed(server: TokenServer) -> None:
    for secret in ("s3cret", REFRESH, "PRIVATE KEY", "token-1"):
        assert secret not in repr([grants(server), fetch(server.application())])


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("which", "words"),
    [("secret", "secrets expire"), ("refresh", "consent again"), ("subject", "delegation")],
)
def test_refusal_names_who_has_to_act(server: TokenServer, which: str, words: str) -> None:
    by_kind: dict[str, Grant] = {
        "secret": server.application(secret="old"),
        "refresh": server.user(refresh_token="old"),
        "subject": server.service_account(subject="other@example.org"),
    }
    with pytest.raises(MaildropAuthError, match=words) as raised:
        fetch(by_kind[which])
    assert "Somebody" in str(raised.value), "the server's own words help too"
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("invalid_client", ["client_secret"] * 4),
        ("unauthorized_client", ["POP.AccessAsApp", "issued", "issued", "delegation"]),
        ("invalid_grant", ["Check `auth`", "consent again", "consent again", "delegation"]),
        ("access_denied", ["consent", "consent again", "consent again", "delegation"]),
        ("interaction_required", ["Check `auth`", "consent again", "consent again", "Check `auth`"]),
        ("consent_required", ["Check `auth`", "consent again", "consent again", "Check `auth`"]),
        ("invalid_request", ["tenant"] * 4),
        ("invalid_scope", ["Check `scope`"] * 4),
        ("what_is_this", ["Check `auth`"] * 4),
    ],
)
def test_each_code_has_a_remedy_for_each_grant_type(server: TokenServer, code: str, words: list[str]) -> None:
    server.answer = 400, json.dumps({"error": code}).encode()
    for grant, remedy in zip(grants(server), words, strict=True):
        with pytest.raises(MaildropAuthError, match=remedy):
            fetch(grant)


def test_server_text_cannot_harm_a_terminal(server: TokenServer) -> None:
    said = {"error": "\x1b[2Jinvalid_grant" + "x" * 10_000, "error_description": "\x1b]0;title\x07" + "y" * 10_000}
    server.answer = 400, json.dumps(said).encode()
    with pytest.raises(MaildropAuthError) as raised:
        fetch(server.application())
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500


def test_invalid_key_is_reported_before_anything_is_sent(server: TokenServer) -> None:
    for key in ("", "{}", "[]", '{"client_email": 1}', "-----BEGIN PRIVATE KEY-----"):
        with pytest.raises(MaildropAuthError, match="JSON file"):
            fetch(replace(server.service_account(), key=key))
    assert server.requests == []


# --- answers that say nothing of the grant -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, b"oops"), "out of order"),
        ((503, b'{"error": "temporarily_unavailable"}'), "out of order"),
        ((500, b'{"error": "invalid_grant"}'), "out of order"),
        ((429, b"slow down"), "fewer requests"),
        ((429, b'{"error": "invalid_client"}'), "fewer requests"),
        ((404, b"<html>nothing here</html>"), "token_url"),
        ((200, b"<html>log in here</html>"), "token_url"),
        ((200, b"[]"), "token_url"),
        ((200, b"{}"), "usable"),
        ((200, b'{"access_token": ""}'), "usable"),
        ((200, b'{"access_token": 5}'), "usable"),
        ((200, b'{"access_token": "t", "expires_in": "soon"}'), "usable|something other than a token"),
        ((200, b'{"access_token": "t", "expires_in": NaN}'), "usable|something other than a token"),
        ((200, b'{"access_token": "t", "expires_in": 0}'), "usable"),
        ((200, b'{"access_token": "t", "expires_in": -1}'), "usable"),
        ((200, b'{"access_token": "t\\r\\nDELE 1", "expires_in": 60}'), "usable"),
        ((400, b'{"error": "server_error"}'), "repeated later"),
        ((400, b'{"error": {"code": 5}}'), "Check `auth`"),
    ],
)
def test_unusable_answer_is_not_a_refused_grant(server: TokenServer, answer: tuple[int, bytes], words: str) -> None:
    server.answer = answer
    kind = MaildropAuthError if words == "Check `auth`" else TokenUnavailableError
    for grant in grants(server):
        with pytest.raises(kind, match=words):
            fetch(grant)


def test_lifetime_may_be_text_or_missing(server: TokenServer) -> None:
    for written, lives in ((b', "expires_in": "120"', 120), (b"", 3600), (b', "expires_in": 1e12', 86_400)):
        server.answer = 200, b'{"access_token": "t"%b}' % written
        assert fetch(server.application()).lives == lives


def test_oversized_answer_is_refused(server: TokenServer) -> None:
    server.answer = 200, b'{"access_token": "%b"}' % (b"x" * ANSWER_BYTES)
    for grant in grants(server):
        with pytest.raises(TokenUnavailableError, match="more than a token"):
            fetch(grant)


# --- time --------------------------------------------------------------------------------------------------------


def test_unavailable_server_is_asked_again_later(server: TokenServer) -> None:
    with pytest.raises(TokenUnavailableError, match="cannot be reached"):
        fetch(replace(server.application(), token_url=f"http://127.0.0.1:{free_port()}/token"))
    with pytest.raises(TokenUnavailableError, match="unknown host name"):
        fetch(replace(server.application(), token_url="http://no-such-host.invalid/token"))


def test_silent_server_ends_at_the_deadline(server: TokenServer) -> None:
    server.silent = True
    for grant in grants(server):
        with pytest.raises(TokenUnavailableError, match=r"within 0\.3 s"):
            fetch(grant, SHORT)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n",
    ],
)
def test_dripping_server_does_not_extend_the_deadline(server: TokenServer, beginning: bytes) -> None:
    """In the status line, in the head, in a body with and without a length; and no thread stays behind."""
    server.beginning, server.drip = beginning, b" "
    for grant in grants(server):
        with pytest.raises(TokenUnavailableError, match=r"within 0\.3 s"):
            fetch(grant, SHORT)
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


# --- where it goes -----------------------------------------------------------------------------------------------


def test_secrets_are_not_sent_to_a_redirect_target(server: TokenServer) -> None:
    with TokenServer() as other:
        server.location = other.url
        for grant in grants(server):
            with pytest.raises(TokenUnavailableError, match="redirects elsewhere"):
                fetch(grant)
        assert other.requests == []


def test_netrc_passwords_are_not_sent(server: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for grant in grants(server):
        fetch(grant)
        assert "authorization" not in server.headers


def test_environments_proxy_is_used(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the whole address, so that this server can play the proxy too."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    grant = replace(server.application(), token_url="http://tokens.invalid/token")
    assert fetch(grant).access_token == "token-1"


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def serving(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(grant: Grant, ca_file: str | None) -> Grant:
    return replace(grant, ca_file=ca_file)


def test_configured_ca_is_trusted_for_each_grant_type(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where the environment names another one for requests."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    with TokenServer(tls=serving(authority, "127.0.0.1")) as server:
        for number, grant in enumerate(grants(server), 1):
            assert fetch(trusting(grant, ca_file)).access_token == f"token-{number}"


def test_systems_certificates_are_trusted_and_no_others(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TokenServer(tls=serving(authority, "127.0.0.1")) as server:
        with pytest.raises(TokenUnavailableError, match=r"auth\.ca"):
            fetch(server.application())
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)  # what OpenSSL takes for the system's
        assert fetch(server.application()).access_token == "token-1"


def test_nothing_is_sent_to_a_server_with_another_name(authority: trustme.CA, ca_file: str) -> None:
    with TokenServer(tls=serving(authority, "other.example")) as server:
        for grant in grants(server):
            with pytest.raises(TokenUnavailableError, match="certificate"):
                fetch(trusting(grant, ca_file))
        assert server.requests == []


def test_server_without_tls_is_reported(server: TokenServer) -> None:
    url = server.url.replace("http:", "https:")
    with pytest.raises(TokenUnavailableError, match="TLS"):
        fetch(replace(server.application(), token_url=url))


def test_certificates_that_cannot_be_read_name_the_option(server: TokenServer, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(TokenUnavailableError, match=r"auth\.ca"):
            fetch(trusting(server.application(), str(tmp_path / name)))
    assert server.requests == []
