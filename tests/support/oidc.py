"""An identity provider on loopback that issues what a test wants, right or wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from typing_extensions import override

from tests.support.answering import Answering, Handler
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT, SECRET = "mailhaul", "s3cret of the client"
SUBJECT = "248289761001"
GROUPS = ["staff", "mail-admins"]
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@cache
def usual_key() -> RSAKey:
    """Return the same key for all tests of a process, since it takes a while to make one."""
    return new_key("k1")


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, private=True)


@dataclass
class FakeProvider(Answering):
    """Issues tokens for the codes of `authorize`.

    Attributes:
        metadata: what replaces or adds to its description; None leaves a field out.
        claims: the same for the claims of its tokens.
        userinfo: its user info.
        sign: makes a token of claims, instead of the right way.
        answers: status and body instead of what a path would answer.
        silent: paths that are never answered.
        asked: how often each path was asked.
        forms: that were posted to its token endpoint.
    """

    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=lambda: {"sub": SUBJECT})
    sign: Callable[[dict[str, Any]], str] | None = None
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    forms: list[dict[str, str]] = field(default_factory=list)
    key: RSAKey = field(default_factory=usual_key)
    published: list[dict[str, Any]] | None = None
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}/realm"

    def authorize(self, url: str) -> dict[str, str]:
        """Log a user in at an authorization URL; return what the browser brings back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked["code_challenge"], asked["nonce"]
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    def described(self) -> dict[str, Any]:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return without_none({**found, **self.metadata})

    def redeem(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        self.forms.append(form)
        kind, _, encoded = authorization.partition(" ")
        known = kind == "Basic" and unquote(base64.b64decode(encoded).decode()) == f"{CLIENT}:{SECRET}"
        if not known:
            return 401, {"error": "invalid_client"}
        challenge, nonce = self.codes.pop(form["code"], ("", ""))
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        if proof != challenge:
            return 400, {"error": "invalid_grant", "error_description": "<script>private</script>"}
        return 200, {"access_token": "the access token", "token_type": "Bearer", "id_token": self.token(nonce)}

    def token(self, nonce: str) -> str:
        now = int(time.time())
        right = {"iss": self.issuer, "sub": SUBJECT, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": nonce}
        claims = without_none({**right, "preferred_username": "anna", "groups": GROUPS, **self.claims})
        return (self.sign or self.signed)(claims)

    def logout_token(self, **claims: Any) -> str:
        """Return a logout token; the claims replace or add to the right ones, and None leaves one out."""
        now = int(time.time())
        right = {
            "iss": self.issuer,
            "sub": SUBJECT,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_hex(),
        }
        return self.signed(without_none({**right, "events": {LOGOUT_EVENT: {}}, **claims}), typ="logout+jwt")

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid, **header}, claims, self.key)

    def keys(self) -> list[dict[str, Any]]:
        return [self.key.as_dict(private=False)] if self.published is None else self.published


def signed_with_public_key(provider: FakeProvider, claims: dict[str, Any]) -> str:
    """Return a token of a forger, who takes the public key for the secret of an HMAC."""
    text = f"{_encoded({'alg': 'HS256', 'kid': provider.key.kid})}.{_encoded(claims)}"
    digest = hmac.new(provider.key.as_pem(private=False), text.encode(), "sha256").digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def unsigned(claims: dict[str, Any]) -> str:
    return f"{_encoded({'alg': 'none'})}.{_encoded(claims)}."


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class _Handler(Handler[FakeProvider]):
    @override
    def get(self) -> None:
        provider, path = self.owner, self._path()
        match path:
            case "/.well-known/openid-configuration":
                found: tuple[int, Any] = 200, provider.described()
            case "/keys":
                found = 200, {"keys": provider.keys()}
            case "/userinfo" if self.headers["authorization"] == "Bearer the access token":
                found = 200, provider.userinfo
            case _:
                found = 404, {}
        self._answer(path, *found)

    @override
    def post(self) -> None:
        self._answer(self._path(), *self.owner.redeem(self.form(), self.headers.get("authorization", "")))

    def _path(self) -> str:
        path = self.path.removeprefix("/realm")
        self.owner.asked[path] += 1
        return path

    def _answer(self, path: str, status: int, found: Any) -> None:
        if path in self.owner.silent:
            self.owner.stopped.wait(PATIENCE)
            return
        status, body = self.owner.answers.get(path, (status, json.dumps(found).encode()))
        self.answer(status, body, body.decode() if 300 <= status < 400 else "")


FakeProvider.handler = _Handler
