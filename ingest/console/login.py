"""Log in and out: with a token, or through an identity provider (OpenID Connect)."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from structlog import get_logger

from ingest.console import pages
from ingest.console.access import SESSION_SECONDS, Access, ForbiddenError, NotLoggedInError
from ingest.console.asking import Who, access_of
from ingest.console.errors import NotFoundError
from ingest.console.limits import TooManyLoginsError
from ingest.domain.claims import claim_of
from ingest.errors import ProviderUnavailableError, SignOnRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.adapters.oidc import Provider
    from ingest.config.console import OidcSection

log = get_logger()
router = APIRouter()

_SESSION_COOKIE, _LOGIN_COOKIE = "session", "login"
# Seconds for which somebody may stay at the provider.
_LOGIN_SECONDS = 600.0
# A page of ours: printable, and no other host, which browsers read in `//` and `/\\` too.
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_LONGEST_PATH = 1_000
_LONGEST_NAME = 200
_LONGEST_COOKIE = 4_000
_LONGEST_TOKEN = 16_000
# Control characters, and halves of characters, which cannot be written.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
Given = Annotated[str, Query(max_length=8_000)]
Issuer = Annotated[str | None, Query(max_length=2_000)]


class Started(BaseModel):
    """A login that has begun. The browser keeps it, sealed, so that nobody can fill the ledger by beginning some."""

    model_config = ConfigDict(frozen=True)

    state: str
    nonce: str
    verifier: str
    path: str
    until: float


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Log in with a token."""
    form = await pages.form_of(request)
    access = access_of(request)
    try:
        secret = form.get("secret", "").strip()
        with _counted(request, "token"):
            session = await run_in_threadpool(access.log_in, secret, access.client(request))
    except NotLoggedInError as error:
        return pages.login(request, 401, str(error))
    await run_in_threadpool(access.log_out, request.cookies.get(access.cookie(request), ""))
    answer = pages.see_other(safe_path(form.get("next", "/")))
    _set_cookie(answer, request, _SESSION_COOKIE, session, SESSION_SECONDS, strict=True)
    return answer


@router.get("/login/oidc")
def begin(request: Request, back: Annotated[str, Query(max_length=_LONGEST_PATH, alias="next")] = "/") -> Response:
    """Send the browser to the identity provider."""
    access, (_, provider) = access_of(request), _provider(request)
    access.limits.require(access.client(request))
    started = Started(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        path=safe_path(back),
        until=time.time() + _LOGIN_SECONDS,
    )
    with access.limits.slot():
        url = provider.authorization_url(started.state, started.nonce, started.verifier)
    answer = pages.see_other(url)
    _set_cookie(answer, request, _LOGIN_COOKIE, sealed(access, started), _LOGIN_SECONDS)
    return answer


@router.get("/login/oidc/callback")
def finish(
    request: Request,
    code: Given = "",
    state: Given = "",
    error: Given = "",
    iss: Annotated[str | None, Query()] = None,
) -> Response:
    """Take the browser back from the identity provider, and log its user in."""
    access = access_of(request)
    try:
        started = _started(request, state)
        with _counted(request, "oidc"):
            session = _redeemed(request, started, "" if error else code, iss)
    except (SignOnRefusedError, ForbiddenError) as refused:
        log.warning("console.login_failed", error=refused.code)
        status = 403 if isinstance(refused, ForbiddenError) else 400
        answer = pages.problem(request, status, f"{refused}. Go back to the start to log in again.")
    else:
        access.log_out(request.cookies.get(access.cookie(request), ""))
        answer = pages.see_other(started.path)
        # Not `strict`: the browser comes from the provider's page, and would not send it to the next one.
        _set_cookie(answer, request, _SESSION_COOKIE, session, SESSION_SECONDS)
    _delete_cookie(answer, request, _LOGIN_COOKIE)
    return answer


@contextmanager
def _counted(request: Request, method: str) -> Iterator[None]:
    """Count a login by its result."""
    result = "unavailable"
    try:
        yield
        result = "ok"
    except TooManyLoginsError:
        result = "limited"
        raise
    except (NotLoggedInError, SignOnRefusedError, ForbiddenError):
        result = "failed"
        raise
    finally:
        request.app.state.metrics.count("console_logins_total", method, result)


def _started(request: Request, state: str) -> Started:
    access = access_of(request)
    started = opened(access, request.cookies.get(access.cookie(request, _LOGIN_COOKIE), ""))
    if started is None or not hmac.compare_digest(started.state.encode(), state.encode()):
        raise SignOnRefusedError("the login took too long, or was begun elsewhere")
    return started


def _redeemed(request: Request, started: Started, code: str, issuer: str | None) -> str:
    """Return the secret of a new session for whoever the provider names. Failures count for the client."""
    access, (section, provider) = access_of(request), _provider(request)
    client = access.client(request)
    access.limits.require(client)
    try:
        with access.limits.slot():
            provider.require_issuer(issuer)
            claims = provider.claims(code, started.verifier, started.nonce, section.groups_claim)
        name = name_of(claims, section.user_claim)
        sid = claims.get("sid")
        session = access.log_in_by_provider(
            name, groups_of(claims, section.groups_claim), claims["sub"], sid if isinstance(sid, str) else None
        )
    except (SignOnRefusedError, ForbiddenError):
        access.limits.failed(client)
        raise
    log.info("console.logged_in", user=f"oidc:{name}")
    return session


@router.post("/logout")
async def log_out(request: Request, who: Who) -> Response:
    """Log out here, and then at the identity provider if that logged somebody in."""
    # A cookie that is deleted while its session goes on would only look like logging out.
    await pages.own_form(request, who)
    await run_in_threadpool(access_of(request).log_out, who.session)
    elsewhere = await run_in_threadpool(_logout_url, request) if who.by_provider else None
    # Not a redirect: the answer to a form may only lead to pages of ours.
    answer = pages.page(request, "logged_out", None, url=elsewhere) if elsewhere else pages.see_other("/")
    _delete_cookie(answer, request, _SESSION_COOKIE)
    return answer


@router.post("/logout/oidc")
async def end_by_provider(request: Request) -> Response:
    """End sessions because the provider says so (OpenID Connect Back-Channel Logout 1.0)."""
    token = (await pages.form_of(request)).get("logout_token", "")
    return await run_in_threadpool(_ended_by_provider, request, token)


def _ended_by_provider(request: Request, token: str) -> Response:
    access, (_, provider) = access_of(request), _provider(request)
    client = access.client(request)
    access.logout_limits.require(client)
    try:
        with access.logout_limits.slot():
            found = provider.logged_out(token[:_LONGEST_TOKEN])
    except SignOnRefusedError as refused:
        access.logout_limits.failed(client)
        log.warning("console.logout_failed", error=refused.code)
        return JSONResponse({"error": "invalid_request", "error_description": str(refused)}, 400)
    ended = access.end_by_provider(found.subject, found.sid, found.token_id, found.seconds)
    if ended is None:
        log.info("console.logout_repeated")  # by the provider, which had no answer, or by whoever has read the token
    else:
        log.info("console.logged_out_by_provider", count=ended)
    return Response()


def _logout_url(request: Request) -> str | None:
    try:
        section, provider = _provider(request)
        return provider.logout_url(f"{section.url.rstrip('/')}/")
    except (ProviderUnavailableError, NotFoundError):
        return None


def sealed(access: Access, started: Started) -> str:
    """Return a login that has begun as a cookie that nobody else can make."""
    text = base64.urlsafe_b64encode(started.model_dump_json().encode()).decode()
    return f"{text}.{_seal(access, text)}"


def opened(access: Access, cookie: str) -> Started | None:
    """Return the login that a cookie holds; None if it is forged or too old."""
    text, _, seal = cookie.rpartition(".")
    if len(cookie) > _LONGEST_COOKIE or not hmac.compare_digest(_seal(access, text).encode(), seal.encode()):
        return None
    try:
        started = Started.model_validate_json(base64.urlsafe_b64decode(text))
    except (binascii.Error, ValidationError):
        return None
    return started if time.time() < started.until else None


def _seal(access: Access, text: str) -> str:
    return hmac.new(access.shared_key().encode(), f"login\0{text}".encode(), "sha256").hexdigest()


def safe_path(text: str) -> str:
    """Return a path of this console; the start for anything that could lead elsewhere, or log in or out again."""
    fits = len(text) <= _LONGEST_PATH and _PATH.fullmatch(text) is not None
    return text if fits and not text.startswith(("/login", "/logout")) else "/"


def groups_of(claims: dict[str, Any], name: str) -> set[str]:
    """Return the groups that a claim names: a list, the keys of an object whose values say more than no, or one."""
    if name == "email" and claims.get("email_verified") is not True:
        return set()  # at some providers users write what they like
    found = claim_of(claims, name)
    if isinstance(found, str):
        return {found}
    if isinstance(found, dict):
        return {one for one, value in found.items() if value}  # {"admins": false} makes nobody an admin
    return {one for one in found if isinstance(one, str)} if isinstance(found, list) else set()


def name_of(claims: dict[str, Any], name: str) -> str:
    """Return the name of a user, as it is shown and kept.

    Raises:
        SignOnRefusedError: nothing of it can be shown.
    """
    found = claim_of(claims, name)
    texts = (_CONTROL.sub("", one) for one in (found, claims["sub"]) if isinstance(one, str))
    shown = next((one for one in texts if one.strip()), "")
    if not shown:
        raise SignOnRefusedError("the provider's ID token names nobody")
    return shown[:_LONGEST_NAME]


def _provider(request: Request) -> tuple[OidcSection, Provider]:
    section, provider = access_of(request).section.oidc, request.app.state.provider
    if section is None or provider is None:
        raise NotFoundError("no identity provider is configured")
    return section, provider


def _set_cookie(
    answer: Response, request: Request, name: str, value: str, seconds: float, *, strict: bool = False
) -> None:
    access = access_of(request)
    answer.set_cookie(
        access.cookie(request, name),
        value,
        max_age=int(seconds),
        httponly=True,
        samesite="strict" if strict else "lax",
        secure=access.is_secure(request),
    )


def _delete_cookie(answer: Response, request: Request, name: str) -> None:
    access = access_of(request)
    answer.delete_cookie(access.cookie(request, name), httponly=True, secure=access.is_secure(request))
