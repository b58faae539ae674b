"""The pages: made on the server, complete without JavaScript, which only brings them up to date."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Query, Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from ingest.admin.failed import failure_remedy
from ingest.catalog.queries import PAGE
from ingest.console import words
from ingest.console.access import ForbiddenError, Identity, NotLoggedInError
from ingest.console.answers import action_list
from ingest.console.api import Key, Name, Part, Position
from ingest.console.asking import Asked, AskedDesk, Listening, Who, access_of, is_amount
from ingest.console.content import MAIL_POLICY, SHOWN_PICTURES, may_be_shown, read_text, safe_html, send_object
from ingest.console.errors import FilterError, NotFoundError
from ingest.console.live import Listener
from ingest.errors import LedgerError

if TYPE_CHECKING:
    from ingest.console.desk import Desk
    from ingest.console.live import Live
    from ingest.domain.manifest import Manifest

_HERE = FilePath(__file__).parent
_STATIC = {
    name: ((_HERE / "static" / name).read_bytes(), media_type)
    for name, media_type in (
        ("console.css", "text/css"),
        ("console.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    )
}
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= words.FILTERS
# A picture or a PDF is shown by the browser itself.
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'self'"
# Bytes of a form: of the largest, which names the mailboxes and messages of a job.
_LARGEST_FORM = 256 * 1024
_STATUSES = ("complete", "partial", "oversize", "failed")
_KINDS = ("invoice", "document", "image", "calendar", "contact", "message", "archive", "encrypted", "signature")

# What went wrong and what to do, for people who do not know the words of HTTP.
_TITLES = {
    403: ("Not allowed", ""),
    404: ("Not found", ""),
    409: ("Not possible now", ""),
    422: ("That cannot be used", "Go back, and change what you wrote."),
    429: ("Too many tries", ""),
    503: ("Unavailable for the moment", "Reload the page in a minute."),
}
# The browser has forgotten a session that ended by logging out, and one of twelve hours ago.
_ENDED = (
    "Your session has ended: it was not used for a while, was ended by a login elsewhere, or was lost. Log in again. "
    "If you were about to do something, it was not done."
)

router = APIRouter()


def page(request: Request, name: str, who: Identity | None, status: int = 200, **values: Any) -> Response:
    """Return a page.

    Args:
        request: to which it answers.
        name: of the template.
        who: whoever asks; None if nobody is logged in.
        status: the HTTP status.
        values: for the template.
    """
    token = access_of(request).form_token(who) if who else ""
    text = _ENVIRONMENT.get_template(f"{name}.html").render(
        who=who, path=request.url.path, query=dict(request.query_params), token=token, **values
    )
    return Response(text, status, media_type="text/html; charset=utf-8")


def login(request: Request, status: int, detail: str = "") -> Response:
    """Return the page to log in."""
    section = access_of(request).section
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    here = asked if request.method == "GET" and not request.url.path.startswith("/log") else "/"
    return page(
        request,
        "login",
        None,
        status,
        detail=detail,
        here=here,
        by_token=bool(section.tokens),
        by_provider=section.oidc is not None,
    )


def problem(request: Request, status: int, detail: str) -> Response:
    """Return a page that says what is wrong; the form to log in if nobody is logged in."""
    if status == HTTPStatus.UNAUTHORIZED:
        access = access_of(request)
        return login(request, status, _ENDED if access.cookie(request) in request.cookies else "")
    title, advice = _TITLES.get(status, (HTTPStatus(status).phrase, ""))
    shown = {"detail": detail[:1].upper() + detail[1:], "title": title, "advice": advice}
    # Without the ledger some are not known, and forms of others cannot be made.
    if not getattr(request.state, "ledger_unavailable", False):
        with suppress(NotLoggedInError, LedgerError):
            return page(request, "problem", access_of(request).identify(request), status, **shown)
    return page(request, "problem", None, status, **shown)


@router.get("/console.css")
@router.get("/console.js")
@router.get("/icon.svg")
def static(request: Request) -> Response:
    """Return a file that is the same for everybody."""
    content, media_type = _STATIC[request.url.path.rpartition("/")[2]]
    return Response(content, media_type=media_type, headers={"Cache-Control": "max-age=300"})


@router.get("/")
def messages(
    request: Request, desk: AskedDesk, who: Who, search: Asked, cursor: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    """Search messages."""
    found = desk.queries.search(search, who.scope, PAGE, cursor)
    asked = {name: value for name, value in request.query_params.items() if value and name != "cursor"}
    return page(
        request,
        "messages",
        who,
        found=found.messages,
        asked=asked,
        narrowed=bool(asked.keys() - {"q"}),
        is_amount=is_amount(search.words),
        older=urlencode({**asked, "cursor": found.next}) if found.next else "",
        mailboxes=[box for box in desk.runtime.mailboxes() if who.scope.allows(box)],
        labels=desk.labels(who, found.messages),
        statuses=_STATUSES,
        kinds=_KINDS,
        rebuilding=desk.catalog.state("rebuild") != "",
    )


@router.get("/messages/{key}")
def message(request: Request, desk: AskedDesk, who: Who, key: Key) -> Response:
    """Show a message."""
    found = desk.found(key, who)
    manifest = desk.manifest(key, who) if found.row["manifest"] else None
    failure = next((one for one in desk.failures(who) if one.message.key == key), None)
    return page(
        request,
        "message",
        who,
        row=found.row,
        manifest=manifest,
        steps=desk.timeline(key, who),
        text=_text(desk, manifest),
        has_html=manifest is not None and any(body.kind == "html" for body in manifest.bodies),
        files={one.part: one for one in manifest.attachments} if manifest else {},
        shown={one.part for one in manifest.attachments if may_be_shown(one)} if manifest else set(),
        pictures=SHOWN_PICTURES,
        failure=failure,
        remedy=failure_remedy(failure.reason) if failure else None,
    )


def _text(desk: Desk, manifest: Manifest | None) -> str:
    """Return the text of a message, or what was made of its HTML."""
    bodies = manifest.bodies if manifest else []
    for body in sorted(bodies, key=lambda one: one.kind != "text"):
        plain = next((one.object for one in body.derived if one.kind == "plain"), None)
        if plain is not None or body.kind == "text":
            return read_text(desk.runtime.store, plain or body.object)
    return ""


@router.get("/messages/{key}/html")
def html(desk: AskedDesk, who: Who, key: Key) -> Response:
    """Show a message's HTML, in a frame in which nothing runs and nothing is loaded."""
    found = safe_html(desk.runtime.store, desk.manifest(key, who))
    if found is None:
        raise NotFoundError("this HTML cannot be shown safely; the text and the raw message can")
    headers = {"Content-Security-Policy": MAIL_POLICY}
    return Response(found, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/messages/{key}/files/{part}")
def file(request: Request, desk: AskedDesk, who: Who, key: Key, part: Part, save: bool = False) -> Response:  # noqa: FBT001, FBT002 - of the query
    """Show a picture or a PDF; hand out anything else for saving."""
    found = desk.attachment(key, part, who)
    inline = not save and may_be_shown(found)
    answer = send_object(
        desk.runtime.store,
        found.object,
        request,
        media_type=found.detected_type if inline else "application/octet-stream",
        filename=found.filename,
        inline=inline,
    )
    answer.headers["Content-Security-Policy"] = _FILE_POLICY
    return answer


@router.get("/messages/{key}/source/{what}")
def source(request: Request, desk: AskedDesk, who: Who, key: Key, what: Name) -> Response:
    """Show a message's manifest or raw mail as text."""
    manifest = desk.manifest(key, who)
    if what == "manifest":
        text = manifest.model_dump_json(by_alias=True, indent=2)
    elif what == "raw":
        text = read_text(desk.runtime.store, desk.raw(key, who))
    else:
        raise NotFoundError("there is no such source")
    return page(request, "source", who, key=key, what=what, text=text, subject=manifest.headers.subject or "")


@router.get("/mailboxes")
def mailboxes(request: Request, desk: AskedDesk, who: Who) -> Response:
    """Show the mailboxes at a glance."""
    now = desk.runtime.now().timestamp()
    return page(request, "mailboxes", who, views=desk.mailboxes(who), now=now)


@router.get("/failures")
def failures(request: Request, desk: AskedDesk, who: Who) -> Response:
    """Show failed messages, and the events that consumers rejected."""
    letters = {sink: desk.letters(sink, who) for sink in desk.runtime.sinks}
    found = desk.failures(who)
    remedies = {one.reason: failure_remedy(one.reason) for one in found}
    return page(request, "failures", who, failures=found, remedies=remedies, letters=letters)


@router.get("/consumers")
def consumers(request: Request, desk: AskedDesk, who: Who) -> Response:
    """Show the consumers."""
    return page(request, "consumers", who, sinks=desk.sinks(who), now=desk.runtime.now().timestamp())


@router.get("/activity")
def activity(request: Request, desk: AskedDesk, who: Who, cursor: Position = "") -> Response:
    """Show what operators did."""
    found = action_list(desk.audit.seen(who, cursor, PAGE + 1), PAGE)
    return page(request, "activity", who, found=found)


@router.get("/live")
async def live(request: Request, who: Listening) -> Response:
    """Send an event whenever the catalog has read something new; 204 where a browser has enough streams."""
    streams: Live = request.app.state.live
    stream = streams.open(Listener(who.name, who.session), request.is_disconnected)
    return Response(status_code=204) if stream is None else StreamingResponse(stream, media_type="text/event-stream")


@router.post("/actions/{action}/{first}")
async def act(request: Request, desk: AskedDesk, who: Who, action: Name, first: Name) -> Response:
    """Do what a form asks for, then show the page that it came from."""
    return await _act(request, desk, who, action, first)


@router.post("/actions/{action}/{first}/{second}")
async def act_on_event(
    request: Request, desk: AskedDesk, who: Who, action: Name, first: Name, second: Name
) -> Response:
    """Do what a form asks for with an event of a consumer."""
    return await _act(request, desk, who, action, first, second)


async def _act(request: Request, desk: Desk, who: Identity, action: str, *about: str) -> Response:
    form = await own_form(request, who)
    actions: dict[tuple[str, int], Any] = {
        ("poll", 1): lambda: desk.poll(about[0], who),
        ("pause", 1): lambda: desk.pause(about[0], who, paused=True),
        ("resume", 1): lambda: desk.pause(about[0], who, paused=False),
        ("retry", 1): lambda: desk.retry(about[0], who),
        ("drop", 1): lambda: desk.drop(about[0], who),
        ("resume-sink", 1): lambda: desk.resume_sink(about[0], who),
        ("retry-event", 2): lambda: desk.redeliver(about[0], about[1], who, drop=False),
        ("drop-event", 2): lambda: desk.redeliver(about[0], about[1], who, drop=True),
    }
    chosen = actions.get((action, len(about)))
    if chosen is None:
        raise NotFoundError("there is no such action")
    await run_in_threadpool(chosen)
    back = form.get("back", "/")
    return see_other(back if back in {"/mailboxes", "/failures", "/consumers"} else "/")


async def own_form(request: Request, who: Identity) -> dict[str, str]:
    """Return the fields of a form that was made for this session.

    Raises:
        FilterError: it is too large.
        ForbiddenError: it was made for another session, or by a page elsewhere.
    """
    form = await form_of(request)
    if not await run_in_threadpool(access_of(request).is_form_token, who, form.get("token", "")):
        raise ForbiddenError("the form is too old; reload the page and try again")
    return form


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        FilterError: it is too large.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            raise FilterError("the form is too large")
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def see_other(path: str) -> Response:
    """Return where the browser is to go next."""
    return Response(status_code=303, headers={"Location": path})
