"""The application: routes, and what holds for every request and every answer."""

from __future__ import annotations

import time
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from structlog import get_logger
from typing_extensions import override

from ingest import __version__
from ingest.admin.mailboxes import NotPolledError
from ingest.catalog.database import CatalogError
from ingest.catalog.queries import CursorError
from ingest.console import api, job_pages, login, pages
from ingest.console.access import Access, ForbiddenError, NotLoggedInError
from ingest.console.answers import Problem
from ingest.console.content import OutOfRangeError
from ingest.console.desk import Desk
from ingest.console.errors import FilterError, NotFoundError
from ingest.console.jobs import JobBusyError
from ingest.console.limits import TooManyLoginsError
from ingest.console.live import Live
from ingest.errors import (
    LedgerError,
    LedgerUnavailableError,
    MailhaulError,
    ObjectMissingError,
    ProviderUnavailableError,
    SignOnRefusedError,
    StoreError,
)
from ingest.metric_specs import CONSOLE_SPECS
from ingest.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ingest.adapters.oidc import Provider
    from ingest.catalog.catalog import Catalog
    from ingest.config.console import ConsoleSection
    from ingest.wiring.runtime import Runtime

log = get_logger()

# Pages load files of our own, and show our own answers in frames; nothing comes from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers do not say that a form is ours (Origin: null)
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
_STATUS: tuple[tuple[type[MailhaulError], int], ...] = (
    (SignOnRefusedError, 400),
    (NotLoggedInError, 401),
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (ObjectMissingError, 404),
    (NotPolledError, 409),
    (OutOfRangeError, 416),
    (JobBusyError, 409),
    (FilterError, 422),
    (CursorError, 422),
    (TooManyLoginsError, 429),
    (CatalogError, 503),
    (LedgerError, 503),
    (ProviderUnavailableError, 503),
    (StoreError, 503),
)
# Errors whose text may quote a server's answer or a key of the store.
_NOT_QUOTED = (LedgerError, StoreError)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_UNCHECKED = frozenset({"/livez", "/readyz"})
_NO_PAGE = "there is no such page"
_NOT_JSON = "the body is not JSON"
# Bytes of a body. The library reads all of it before it is known who sends it; a job with every mailbox and message
# that it may name has half of this.
_LARGEST_BODY = 512 * 1024
# Seconds between two looks whether the session of whoever reads an answer goes on.
SESSION_CHECK = 2.0
_COOKIES = (b"mailhaul_", b"__Host-mailhaul_")
PROBLEM_TYPE = "application/problem+json"
DESCRIPTION = (
    "Messages, documents, failures and consumers of a Mailhaul. Log in with `Authorization: Bearer TOKEN`. Answers "
    "show only mailboxes that the token may see. Problems are `application/problem+json` (RFC 9457)."
)


class _Limited:
    """Lets no stranger fill the memory of the process with a body, or keep it busy with cookies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if "headers" in scope:
            # In place: the router leaves the route in it, which `_guarded` counts.
            scope["headers"] = list(map(_with_own_cookies, scope["headers"]))
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > _LARGEST_BODY:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
            return message

        await self._app(scope, limited, send)


class _SessionEndedError(Exception):
    """Nobody may see the rest of an answer. Raised between the server and everything that makes the answer."""


class _Ending:
    """Ends an answer that takes longer than the session of whoever asked, such as a download of a large message."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        checked = time.monotonic()

        async def send_in_session(message: Message) -> None:
            nonlocal checked
            session = scope.get("state", {}).get("session", "")
            if session and message.get("more_body") and time.monotonic() - checked >= SESSION_CHECK:
                if not await run_in_threadpool(_goes_on, scope["app"].state.access, session):
                    raise _SessionEndedError
                checked = time.monotonic()
            await send(message)

        try:
            await self._app(scope, receive, send_in_session)
        except _SessionEndedError:
            # The server closes the connection, so that a browser does not take a part for the whole.
            log.info("console.answer_ended")


def _goes_on(access: Access, session: str) -> bool:
    try:
        return access.goes_on(session)
    except LedgerUnavailableError:
        return True  # whether it has ended is not known before the ledger is back


def _with_own_cookies(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return a header field, Cookie with those of the console alone.

    The library reads all of them for every request. Python before 3.11.10 and 3.12.6 takes seconds for one of 64 KiB
    with backslashes (CVE-2024-7592), which ours do not have.
    """
    name, value = header
    if name != b"cookie":
        return header
    own = (one for one in value.split(b";") if one.strip().startswith(_COOKIES) and b"\\" not in one)
    return name, b";".join(own)


class _Application(FastAPI):
    """Describes problems in the media type in which they are sent; FastAPI would put them into that of the answer."""

    @override
    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            for operation in _operations(super().openapi()):
                for status, answer in operation["responses"].items():
                    if int(status) >= HTTPStatus.BAD_REQUEST:
                        answer["content"] = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        return super().openapi()


def _operations(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in described["paths"].values():
        yield from path.values()


def make_app(
    runtime: Runtime,
    catalog: Catalog,
    section: ConsoleSection,
    provider: Provider | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        runtime: of this process.
        catalog: to search in.
        section: the configuration.
        provider: logs people in, if one is configured.
        metrics: of `CONSOLE_SPECS`; without them nobody sees what is counted.
    """
    app = routed_app()
    app.state.desk = Desk(runtime, catalog)
    app.state.access = access = Access(section, runtime.mailboxes, runtime.ledger)
    app.state.live = Live(partial(catalog.state, "position"), access.ended)
    app.state.provider = provider
    app.state.metrics = metrics or Metrics(specs=CONSOLE_SPECS)
    app.state.metrics.watch("console_live_streams", app.state.live.count)
    return app


def routed_app() -> FastAPI:
    """Return the application without what it works with; enough for its description."""
    app = _Application(
        title="Mailhaul",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.include_router(api.router)
    app.include_router(pages.router, include_in_schema=False)
    app.include_router(job_pages.router, include_in_schema=False)
    app.include_router(login.router, include_in_schema=False)
    app.add_api_route("/livez", _alive, include_in_schema=False)
    app.add_api_route("/readyz", _ready, include_in_schema=False)
    app.add_middleware(_Limited)
    app.middleware("http")(_guarded)
    app.add_middleware(_Ending)
    app.add_exception_handler(MailhaulError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    return app


def _alive() -> Response:
    return Response("ok\n", media_type="text/plain")


def _ready(request: Request) -> Response:
    desk: Desk = request.app.state.desk
    desk.runtime.ledger.ping()
    desk.catalog.state("position")
    return Response("ok\n", media_type="text/plain")


async def _guarded(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse requests for another host, and actions that a page elsewhere sends; add headers to every answer."""
    access: Access = request.app.state.access
    host, began = request.headers.get("host", ""), time.monotonic()
    if request.url.path not in _UNCHECKED and not access.knows_host(host):
        answer = _problem(421, "host", "this is not a name of the console; add it to console.hosts")
    elif request.method not in _SAFE_METHODS and not _is_own(request, host):
        answer = _problem(403, "origin", "the request comes from a page elsewhere")
    elif request.method == "HEAD":
        answer = await _without_body(request, proceed)
    else:
        answer = await _answered(request, proceed)
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    _measure(request, answer.status_code, time.monotonic() - began)
    return answer


def _measure(request: Request, status: int, seconds: float) -> None:
    # The path as it was declared: what somebody asks for makes no series.
    route = getattr(request.scope.get("route"), "path", "other")
    metrics: Metrics = request.app.state.metrics
    metrics.observe("console_request_duration_seconds", seconds, route, f"{status // 100}xx")


async def _answered(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
    """Return the answer to a request; one that says nothing of the error if there is an error in the program."""
    try:
        return await proceed(request)
    except Exception:  # boundary: an answer has to be a problem with the headers of every other answer
        log.exception("console.failed")
        return _problem(500, "internal", "the console made a mistake; its log has more")


async def _without_body(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
    """Return the head of the answer to GET. Its body is not waited for, so that no file is read from the store."""
    request.scope["method"], request.state.without_body = "GET", True
    try:
        found = await _answered(request, proceed)
    finally:
        request.scope["method"] = "HEAD"  # by which the server knows that no body follows
    answer = Response(status_code=found.status_code)
    answer.raw_headers = found.raw_headers
    return answer


def _is_own(request: Request, host: str) -> bool:
    """Whether a request comes from a page of ours or from no page at all. Browsers name the page in these fields."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is not None and urlsplit(origin).netloc != host:
        return False
    return site in {None, "same-origin", "none"}


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, MailhaulError)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    detail = str(error)
    if isinstance(error, ObjectMissingError):
        detail = "the store no longer has this"
    elif isinstance(error, ProviderUnavailableError):
        detail = (
            "the identity provider cannot be reached, so that nobody can log in through it now; whoever is logged in "
            "stays so. Try again in a minute; `mailhaul check` shows the cause"
        )
    elif isinstance(error, LedgerUnavailableError):
        # Asking it who this is would take as long again, if it is one that does not answer.
        request.state.ledger_unavailable = True
        detail = "the ledger is unavailable; `mailhaul check` says why"
    elif isinstance(error, _NOT_QUOTED):
        detail = "a part of the service is unavailable"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("console.failed", error=error.code)
    answer = _answer(request, status, error.code, detail)
    if isinstance(error, OutOfRangeError):
        answer.headers["Content-Range"] = f"bytes */{error.size}"
    return answer


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if not request.url.path.startswith("/api/") and error.errors()[0]["loc"][0] == "path":
        return _answer(request, 404, "not_found", _NO_PAGE)
    # The input is not quoted: it may be a token in the wrong place.
    reasons = [
        _NOT_JSON
        if one["type"] == "json_invalid"
        else f"{one['loc'][-1]}: {str(one['msg']).removeprefix('Value error, ')}"
        for one in error.errors()
    ]
    return _answer(request, 422, "parameter", "; ".join(reasons))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:  # the library's word for a body that is not UTF-8
        return _answer(request, 422, "parameter", _NOT_JSON)
    is_page = error.status_code == HTTPStatus.NOT_FOUND and not request.url.path.startswith("/api/")
    answer = _answer(request, error.status_code, "http", _NO_PAGE if is_page else str(error.detail))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return answer


def _methods(request: Request) -> set[str]:
    """Return the methods that a path has (RFC 9110, section 15.5.6). The router names those of one route only."""
    routes = chain(*(one.routes for one in (api.router, pages.router, job_pages.router, login.router, request.app)))
    matching = [one for one in routes if isinstance(one, Route) and one.matches(request.scope)[0] is not Match.NONE]
    found = {name for one in matching for name in one.methods or ()}
    return found | {"HEAD"} if "GET" in found else found


def _answer(request: Request, status: int, code: str, detail: str) -> Response:
    if request.url.path.startswith("/api/"):
        return _problem(status, code, detail)
    return pages.problem(request, status, detail)


def _problem(status: int, code: str, detail: str) -> Response:
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    body = Problem(title=title, status=status, detail=detail, code=code).model_dump_json()
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return Response(body, status, headers, PROBLEM_TYPE)
