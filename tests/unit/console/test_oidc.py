"""Logging in through an identity provider, and what hostile answers of one achieve: nothing."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import OctKey
from pydantic import ValidationError
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from ingest.adapters.oidc import Client, Provider, transport
from ingest.console.app import make_app
from ingest.errors import ProviderUnavailableError, SignOnRefusedError
from tests.support.bench import mail, message_key
from tests.support.oidc import (
    CLIENT,
    LOGOUT_EVENT,
    SECRET,
    SUBJECT,
    FakeProvider,
    new_key,
    signed_with_public_key,
    unsigned,
)
from tests.unit.console.conftest import section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx2

    from ingest.config.console import ConsoleSection
    from tests.unit.console.conftest import Console

URL = "https://mail.example.org"
SESSION, LOGIN = "__Host-mailhaul_session", "__Host-mailhaul_login"
ROLES = [
    {"group": "mail-admins", "role": "operator"},
    {"group": "tenant-b", "role": "operator", "labels": {"tenant": "b"}},
    {"group": "staff"},
]


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@dataclass
class Browser:
    """A browser at a console whose users log in through a provider."""

    console: Console
    fake: FakeProvider
    options: dict[str, Any] = field(default_factory=dict)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.provider = Provider(self.registered(), lambda: self.now, time.time)
        self.client = self.at_another_console()

    def registered(self, secret: str = SECRET) -> Client:
        back = f"{URL}/login/oidc/callback"
        return Client(self.fake.issuer, CLIENT, ("openid",), back, lambda: secret)

    def section(self) -> ConsoleSection:
        given = {"url": URL, "issuer": self.fake.issuer, "client_id": CLIENT, "roles": ROLES, **self.options}
        return section(address="0.0.0.0", oidc=given)  # noqa: S104 - nothing listens

    def at_another_console(self) -> TestClient:
        b = self.console.b
        app = make_app(b.runtime, self.console.catalog, self.section(), self.provider)
        return TestClient(app, base_url=URL, follow_redirects=False)

    def begin(self, back: str = "/") -> dict[str, str]:
        answer = self.client.get("/login/oidc", params={"next": back})
        assert answer.status_code == 303, answer.text
        return self.fake.authorize(answer.headers["location"])

    def log_in(self, back: str = "/", **other: str) -> httpx2.Response:
        return self.client.get("/login/oidc/callback", params={**self.begin(back), **other})

    @property
    def is_in(self) -> bool:
        return self.client.get("/mailboxes").status_code == 200


@pytest.fixture
def browser(console: Console, fake: FakeProvider) -> Browser:
    return Browser(console, fake)


def refused(browser: Browser, answer: httpx2.Response, status: int = 400) -> bool:
    return answer.status_code == status and SESSION not in browser.client.cookies and not browser.is_in


# --- the right way -------------------------------------------------------------------------------------------------


def test_user_logs_in_and_lands_where_he_wanted_to(browser: Browser) -> None:
    page = browser.client.get("/mailboxes?x=1")
    assert page.status_code == 401
    assert 'href="/login/oidc?next=%2Fmailboxes%3Fx%3D1"' in page.text
    answer = browser.log_in("/mailboxes?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/mailboxes?x=1")
    assert browser.is_in
    assert "oidc:anna" in browser.client.get("/mailboxes").text


def test_cookies_are_for_this_host_and_its_server_alone(browser: Browser) -> None:
    cookies = browser.log_in().headers.get_list("set-cookie")
    (session,) = [one for one in cookies if one.startswith(SESSION)]
    (login,) = [one for one in cookies if one.startswith(LOGIN)]
    for attribute in ("HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=43200"):
        assert attribute in session
    assert "Domain" not in session
    assert "Max-Age=0" in login


def test_groups_decide_what_a_user_may_see_and_do(browser: Browser) -> None:
    seen = {}
    for group in ("mail-admins", "tenant-b", "staff"):
        browser.fake.claims["groups"] = [group, "others"]
        browser.log_in()
        boxes = sorted(one["id"] for one in browser.client.get("/api/v1/mailboxes").json())
        paused = browser.client.post("/api/v1/mailboxes/b/pause").status_code
        seen[group] = (boxes, paused)
    assert seen == {"mail-admins": (["a", "b"], 202), "tenant-b": (["b"], 202), "staff": (["a", "b"], 403)}


def test_user_without_a_group_of_the_configuration_does_not_come_in(browser: Browser) -> None:
    for groups in ([], ["others"], None, 7, {"a": 1}):
        browser.fake.claims["groups"] = groups
        assert refused(browser, browser.log_in(), 403), groups


@pytest.mark.parametrize(
    ("claim", "claims", "userinfo"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["staff"]}}, {}),
        ("https://example.org/groups", {"https://example.org/groups": "staff"}, {}),
        ("roles", {"roles": {"staff": {"org": "x"}}}, {}),
        ("groups", {"groups": None}, {"groups": ["staff"]}),
        ("email", {"email": "staff", "email_verified": True}, {}),
    ],
)
def test_groups_are_found_where_providers_put_them(
    console: Console, fake: FakeProvider, claim: str, claims: dict[str, Any], userinfo: dict[str, Any]
) -> None:
    fake.claims, fake.userinfo = {"groups": None, **claims}, {**fake.userinfo, **userinfo}
    browser = Browser(console, fake, {"groups_claim": claim})
    assert browser.log_in().status_code == 303


def test_address_that_the_provider_has_not_verified_is_no_group(console: Console, fake: FakeProvider) -> None:
    fake.claims = {"email": "staff"}
    browser = Browser(console, fake, {"groups_claim": "email"})
    assert refused(browser, browser.log_in(), 403)


def test_logging_out_ends_the_session_everywhere_and_leads_to_the_provider(browser: Browser) -> None:
    browser.log_in()
    secret = browser.client.cookies[SESSION]
    other = browser.at_another_console()
    other.cookies.set(SESSION, secret, domain="mail.example.org")
    assert other.get("/mailboxes").status_code == 200
    form = re.search(r'action="/logout"><input type="hidden" name="token" value="(\w+)"', other.get("/").text)
    assert form is not None
    page = browser.client.post("/logout", data={"token": form[1]})
    assert f"{browser.fake.issuer}/logout?client_id=mailhaul&amp;post_logout_redirect_uri=https%3A%2F%2F" in page.text
    assert other.get("/mailboxes").status_code == 401
    assert not browser.is_in


def test_session_outlives_the_provider_and_a_new_console(browser: Browser) -> None:
    browser.log_in()
    browser.fake.__exit__()
    browser.now += 10_000
    assert browser.is_in
    login = browser.at_another_console().get("/login/oidc")
    assert login.status_code == 303, "what it said of itself is still known"


@pytest.mark.parametrize("options", [{"roles": [{"group": "others"}]}, {"client_id": "another"}])
def test_session_ends_when_its_group_or_its_client_is_no_longer_configured(
    browser: Browser, options: dict[str, Any]
) -> None:
    browser.log_in()
    browser.options |= options
    other = browser.at_another_console()
    other.cookies.set(SESSION, browser.client.cookies[SESSION], domain="mail.example.org")
    assert other.get("/mailboxes").status_code == 401


# --- logged out by the provider ------------------------------------------------------------------------------------


def posted(browser: Browser, token: str) -> int:
    """Return how the console answers a provider that posts a token."""
    anybody = TestClient(browser.client.app, base_url=URL)
    return anybody.post("/logout/oidc", data={"logout_token": token}).status_code


def logged_in(browser: Browser, **claims: Any) -> Browser:
    other = Browser(browser.console, browser.fake)
    browser.fake.claims = claims
    other.log_in()
    browser.fake.claims = {}
    return other


def test_provider_ends_one_session_or_all_of_a_user(browser: Browser) -> None:
    first, second, third = [logged_in(browser, sid=sid) for sid in ("1", "2", "3")]
    other = logged_in(browser, sub="another", sid="4")
    without = logged_in(browser)
    everybody = (first, second, third, other, without)
    for claims, left in (
        ({"sid": "1", "sub": None}, [False, True, True, True, True]),
        ({"sid": "2"}, [False, False, True, True, False]),  # the last may be the one that is meant
        ({"sid": "unknown", "sub": None}, [False, False, True, True, False]),
        ({}, [False, False, False, True, False]),
    ):
        assert posted(browser, browser.fake.logout_token(**claims)) == 200
        assert [one.is_in for one in everybody] == left


@pytest.mark.parametrize(
    "claims",
    [
        *({"iss": "https://evil.example"}, {"iss": None}, {"aud": "another-client"}, {"aud": None}),
        *({"iat": None}, {"iat": "now"}, {"iat": 1_600_000_000}, {"iat": 4_000_000_000}),
        *({"exp": 1_600_000_000}, {"exp": "never"}, {"nonce": "any"}, {"nonce": ""}),
        *({"events": None}, {"events": [LOGOUT_EVENT]}, {"events": {"another": {}}}, {"events": {LOGOUT_EVENT: 1}}),
        *({"jti": None}, {"jti": ""}, {"jti": 7}),
        *({"sub": None}, {"sub": ""}, {"sub": 7}, {"sid": ""}, {"sid": 7}, {"padding": "x" * 20_000}),
    ],
    ids=lambda claims: str(claims)[:40],
)
def test_logout_token_with_claims_that_do_not_fit_ends_nothing(browser: Browser, claims: dict[str, Any]) -> None:
    browser.log_in()
    assert posted(browser, browser.fake.logout_token(**claims)) == 400
    assert browser.is_in


def test_logout_token_that_the_provider_did_not_sign_ends_nothing(browser: Browser) -> None:
    browser.log_in()
    fake, right = browser.fake, browser.fake.logout_token()
    claims = jwt.decode(right, fake.key).claims
    forged = FakeProvider(key=new_key("k1")).signed(claims)
    id_token = fake.token("nonce")
    for token in (
        forged,
        unsigned(claims),
        signed_with_public_key(fake, claims),
        id_token,
        "",
        "a.b.c",
        "x" * 17_000,
    ):
        assert posted(browser, token) == 400
    assert browser.is_in
    assert [posted(browser, "forged") for _ in range(4)] == [400, 400, 400, 429], "nobody keeps us busy"
    assert posted(browser, right) == 429
    browser.client.cookies.clear()
    assert browser.log_in().status_code == 303, "failed logouts are no failed logins"


def test_audience_may_be_a_list_and_a_token_without_an_end_counts_for_a_while(browser: Browser) -> None:
    browser.log_in()
    assert posted(browser, browser.fake.logout_token(aud=["another", CLIENT], exp=None)) == 200
    assert not browser.is_in


def test_logout_token_ends_no_session_that_began_after_it_was_used(browser: Browser) -> None:
    browser.log_in()
    token = browser.fake.logout_token()
    assert posted(browser, token) == 200
    again = logged_in(browser)
    assert posted(browser, token) == 200, "the provider may not have received the first answer"
    assert again.is_in
    assert posted(browser, browser.fake.logout_token()) == 200
    assert not again.is_in


def test_page_elsewhere_cannot_pass_a_logout_token_on(browser: Browser) -> None:
    browser.log_in()
    data, headers = {"logout_token": browser.fake.logout_token()}, {"origin": "https://evil.example"}
    assert browser.client.post("/logout/oidc", data=data, headers=headers).status_code == 403
    assert browser.is_in


def test_console_without_a_provider_takes_no_logout_token(console: Console) -> None:
    assert console.client("viewer").post("/logout/oidc", data={"logout_token": "x"}).status_code == 404


# --- hostile browsers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "back",
    [
        *("https://evil.example/", "//evil.example/", "/\\evil.example", "\\/evil.example", "javascript:alert(1)"),
        *("/\t/evil.example", "/x\r\nSet-Cookie: a=b", "/logout", "/login/oidc", "/" + "a" * 1000),
    ],
)
def test_login_leads_nowhere_else(browser: Browser, back: str) -> None:
    answer = browser.client.get("/login/oidc", params={"next": back})
    if answer.status_code == 422:
        return
    finished = browser.client.get("/login/oidc/callback", params=browser.fake.authorize(answer.headers["location"]))
    assert (finished.status_code, finished.headers["location"]) == (303, "/")


def test_login_that_another_browser_began_is_refused(browser: Browser) -> None:
    """An attacker who lets a victim finish his own login would have the victim work in his account."""
    brought = browser.begin()
    victim = Browser(browser.console, browser.fake)
    assert refused(victim, victim.client.get("/login/oidc/callback", params=brought))
    victim.begin()
    assert refused(victim, victim.client.get("/login/oidc/callback", params=brought))
    assert browser.fake.asked["/token"] == 0


def test_login_cookie_that_was_altered_is_refused(browser: Browser) -> None:
    brought = browser.begin()
    text, _, seal = browser.client.cookies[LOGIN].strip('"').rpartition(".")
    for forged in (f"{text}.{'0' * 64}", f"{text[:-4]}AAAA.{seal}", "x", f"{'A' * 5000}.{seal}"):
        browser.client.cookies.clear()
        browser.client.cookies.set(LOGIN, forged, domain="mail.example.org")
        assert browser.client.get("/login/oidc/callback", params=brought).status_code == 400


def test_login_that_took_too_long_is_refused(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = browser.begin()
    cookie = browser.client.cookies[LOGIN].strip('"')
    browser.client.cookies.clear()
    browser.client.cookies.set(LOGIN, cookie, domain="mail.example.org")  # by a browser that does not let it expire
    late = time.time() + 601
    monkeypatch.setattr("ingest.console.login.time.time", lambda: late)
    assert refused(browser, browser.client.get("/login/oidc/callback", params=brought))
    assert browser.fake.asked["/token"] == 0


def test_code_is_redeemed_once(browser: Browser) -> None:
    brought = browser.begin()
    assert browser.client.get("/login/oidc/callback", params=brought).status_code == 303
    browser.client.cookies.clear()
    assert refused(browser, browser.client.get("/login/oidc/callback", params=brought))


@pytest.mark.parametrize("issuer", ["https://evil.example", None])
def test_answer_of_another_provider_is_refused(browser: Browser, issuer: str | None) -> None:
    brought: Mapping[str, str | None] = {**browser.begin(), "iss": issuer}
    given = {name: value for name, value in brought.items() if value is not None}
    assert refused(browser, browser.client.get("/login/oidc/callback", params=given))
    assert browser.fake.asked["/token"] == 0, "its code is sent to nobody"


def test_error_of_the_provider_is_not_quoted(browser: Browser) -> None:
    answer = browser.log_in(error="access_denied", error_description="a link's own words")
    assert refused(browser, answer)
    assert "access_denied" not in answer.text
    assert "own words" not in answer.text


def test_logins_that_fail_at_the_provider_are_limited(browser: Browser) -> None:
    answers = [browser.log_in(code="guessed").status_code for _ in range(10)]
    assert answers == [400] * 10
    assert browser.client.get("/login/oidc").status_code == 429
    assert browser.fake.asked["/token"] == 10


def test_no_secret_is_in_a_url_or_in_the_log(browser: Browser) -> None:
    with capture_logs() as logs:
        answer = browser.client.get("/login/oidc")
        location = answer.headers["location"]
        browser.client.get("/login/oidc/callback", params=browser.fake.authorize(location))
        browser.log_in(code="guessed")
    (form, _) = browser.fake.forms
    for secret in (SECRET, form["code_verifier"], "the access token", browser.client.cookies[SESSION]):
        assert secret not in f"{location} {logs}"
    assert [one["event"] for one in logs] == ["console.logged_in", "console.login_failed"]


# --- hostile providers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": None},
        {"aud": [CLIENT, "another-client"]},
        {"aud": "another-client", "azp": CLIENT},
        {"azp": "another-client"},
        {"exp": 1_600_000_000},
        {"exp": None},
        {"exp": "never"},
        {"iat": None},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"sub": 7},
        {"at_hash": "another"},
        {"padding": "x" * 70_000},
    ],
    ids=str,
)
def test_token_with_claims_that_do_not_fit_is_refused(browser: Browser, claims: dict[str, Any]) -> None:
    browser.fake.claims = claims
    answer = browser.log_in()
    assert refused(browser, answer, 503 if "padding" in claims else 400)


def test_group_that_a_provider_denies_opens_nothing(browser: Browser) -> None:
    browser.fake.claims = {"groups": {"mail-admins": False, "staff": None}}
    assert refused(browser, browser.log_in(), 403)


@pytest.mark.parametrize("name", ["\x00", "\ud800"])
def test_name_that_cannot_be_shown_is_replaced_by_the_subject(browser: Browser, name: str) -> None:
    browser.fake.sign = partial(signed_as_it_is, browser.fake, json.dumps({"preferred_username": name}))
    assert browser.log_in().status_code == 303
    assert f"oidc:{SUBJECT}" in browser.client.get("/mailboxes").text
    browser.fake.sign = partial(signed_as_it_is, browser.fake, json.dumps({"preferred_username": name, "sub": name}))
    browser.client.cookies.clear()
    assert refused(browser, browser.log_in())


def signed_as_it_is(fake: FakeProvider, other: str, claims: dict[str, Any]) -> str:
    payload = json.dumps({**claims, **json.loads(other)}).encode()
    return jws.serialize_compact({"alg": "RS256", "kid": fake.key.kid}, payload, fake.key)


@pytest.mark.parametrize("answer", [{"error": ["x"]}, {"expires_at": {}}])
def test_answer_of_an_unusual_shape_is_refused(browser: Browser, answer: dict[str, Any]) -> None:
    browser.fake.answers["/token"] = 200, json.dumps(answer).encode()
    assert refused(browser, browser.log_in())


def test_token_of_an_unusual_shape_is_refused(browser: Browser) -> None:
    key = browser.fake.key
    browser.fake.sign = lambda _: jws.serialize_compact({"alg": "RS256", "kid": key.kid}, b"[" * 20_000, key)
    assert refused(browser, browser.log_in())


def test_key_of_an_unusual_shape_does_not_matter(browser: Browser) -> None:
    browser.fake.published = [{"kty": []}, {"kty": "RSA", "n": 5}, browser.fake.key.as_dict(private=False)]
    assert browser.log_in().status_code == 303


@pytest.mark.parametrize("url", ["https://\ud800/", "https://x/\r\nSet-Cookie: x=y"])
def test_address_that_does_not_fit_into_a_header_field_is_refused(browser: Browser, url: str) -> None:
    described = {**browser.fake.described(), "authorization_endpoint": url}
    browser.fake.answers["/.well-known/openid-configuration"] = 200, json.dumps(described).encode()
    assert browser.client.get("/login/oidc").status_code == 503


@pytest.mark.parametrize("difference", [-50, 50])
def test_clock_of_the_provider_may_differ_by_a_minute(browser: Browser, difference: int) -> None:
    now = int(time.time()) + difference
    browser.fake.claims = {"iat": now, "nbf": now, "exp": now + 5}
    assert browser.log_in().status_code == 303


def test_token_without_a_signature_of_the_provider_is_refused(browser: Browser) -> None:
    fake = browser.fake
    forger = FakeProvider(key=new_key("k1"))
    for sign in (unsigned, lambda claims: signed_with_public_key(fake, claims), forger.signed, lambda _: "a.b.c"):
        fake.sign = sign
        assert refused(browser, browser.log_in())


def test_key_that_is_a_shared_secret_is_not_used(browser: Browser) -> None:
    """Whoever reads the keys of a provider, which are public, could sign with it."""
    shared = OctKey.generate_key(256, {"kid": "k2", "alg": "HS256"})
    browser.fake.published = [*browser.fake.keys(), shared.as_dict(private=True)]
    browser.fake.sign = lambda claims: jwt.encode({"alg": "HS256", "kid": "k2"}, claims, shared)
    assert refused(browser, browser.log_in())
    browser.fake.published = [shared.as_dict(private=True)]
    with pytest.raises(ProviderUnavailableError, match="names no key"):
        Provider(browser.registered(), lambda: 0.0, time.time).check()


def test_new_keys_of_the_provider_are_fetched_but_not_for_every_unknown_key(browser: Browser) -> None:
    browser.log_in()
    browser.now += 60
    browser.fake.key = new_key("k2")
    assert browser.log_in().status_code == 303
    assert browser.fake.asked["/keys"] == 2
    browser.fake.sign = lambda claims: browser.fake.signed(claims, kid="unknown")
    for _ in range(3):
        browser.client.cookies.clear()
        assert refused(browser, browser.log_in())
    assert browser.fake.asked["/keys"] == 2


def test_keys_that_are_not_understood_are_left_out(browser: Browser) -> None:
    strange: list[Any] = [{"kty": "XX", "kid": "x"}, {"kty": "RSA", "n": "!", "kid": "y"}, "z"]
    browser.fake.published = [*strange, *browser.fake.keys()]
    assert browser.log_in().status_code == 303


def test_user_info_about_somebody_else_is_refused(browser: Browser) -> None:
    browser.fake.claims = {"groups": None}
    browser.fake.userinfo = {"sub": "somebody else", "groups": ["mail-admins"]}
    assert refused(browser, browser.log_in())


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
@pytest.mark.parametrize(
    "answer", [(200, b"[]"), (500, b"{}"), (302, b"https://evil.example/"), (200, b"[" * 70_000)]
)
def test_answer_that_is_none_is_an_unavailable_provider(
    browser: Browser, path: str, answer: tuple[int, bytes]
) -> None:
    browser.fake.answers[path] = answer
    if path != "/token" and answer != (200, b"[]"):
        with pytest.raises(ProviderUnavailableError):
            browser.provider.check()
        browser.now += 60
    first = browser.client.get("/login/oidc")
    if path == "/.well-known/openid-configuration":
        assert first.status_code == 503
        assert "stays so" in first.text
    else:
        back = browser.client.get("/login/oidc/callback", params=browser.fake.authorize(first.headers["location"]))
        assert back.status_code in {400, 503}
    assert not browser.is_in


def test_provider_that_does_not_answer_is_asked_seldom(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "SECONDS", 0.3)
    browser.fake.silent.add("/.well-known/openid-configuration")
    assert [browser.client.get("/login/oidc").status_code for _ in range(5)] == [503] * 5
    assert browser.fake.asked["/.well-known/openid-configuration"] == 1


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"issuer": "https://evil.example"}, "another issuer"),
        ({"token_endpoint": "ftp://evil.example/"}, "not https"),
        ({"jwks_uri": None}, "jwks_uri"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "no algorithm"),
    ],
)
def test_check_says_what_is_wrong_with_the_provider(browser: Browser, metadata: dict[str, Any], words: str) -> None:
    browser.fake.metadata = metadata
    with pytest.raises(ProviderUnavailableError, match=words):
        browser.provider.check()


def test_check_says_whether_the_provider_knows_the_client(browser: Browser) -> None:
    assert browser.provider.check() == "answers; 1 key; knows the client; logs out there too"
    wrong = Provider(browser.registered("wrong"), lambda: 0.0, lambda: 0.0)
    with pytest.raises(SignOnRefusedError, match="client_secret"):
        wrong.check()


def test_login_page_offers_what_is_configured(browser: Browser) -> None:
    page = browser.client.get("/").text
    assert "single sign-on" in page
    assert "Token" not in page
    assert browser.console.client("nobody").get("/login/oidc").status_code == 404


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": "http://login.example.org"},
        {"url": "http://mail.example.org"},
        {"scopes": ["profile"]},
        {"roles": []},
        {"client_secret": "the secret itself"},
    ],
)
def test_configuration_that_is_not_safe_is_refused(options: dict[str, Any]) -> None:
    right = {"url": URL, "issuer": "https://login.example.org", "client_id": "x", "roles": [{"group": "*"}]}
    assert section(oidc=right).oidc
    with pytest.raises(ValidationError):
        section(oidc={**right, **options})


def test_message_of_another_tenant_is_not_found_by_a_user_of_the_provider(browser: Browser) -> None:
    of_a = mail("for a")
    browser.console.haul("a", of_a)
    browser.fake.claims["groups"] = ["tenant-b"]
    browser.log_in()
    assert browser.client.get(f"/api/v1/messages/{message_key('a', of_a)}").status_code == 404
