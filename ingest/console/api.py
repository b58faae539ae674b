"""The HTTP API, under `/api/v1`."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response, Security
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer

from ingest.catalog.queries import LARGEST_PAGE, PAGE
from ingest.console.answers import (
    ActionList,
    DeadLetterAnswer,
    EventList,
    FailureAnswer,
    MailboxAnswer,
    MessageList,
    Problem,
    SinkAnswer,
    StatusAnswer,
    StepAnswer,
    action_list,
    dead_letter_answer,
    event_list,
    failure_answer,
    listed,
    mailbox_answer,
    sink_answer,
    step_answer,
)
from ingest.console.asking import Asked, AskedDesk, Who, known_parameters
from ingest.console.content import MAIL_POLICY, is_known, safe_html, send_object
from ingest.console.desk import at
from ingest.console.errors import NotFoundError
from ingest.console.events import StreamReader, shown
from ingest.console.jobs import Job, JobKind, ReplaySelection, Selection
from ingest.domain.manifest import Attachment, Document, Manifest
from ingest.usecases.recover.republish import events_from_manifest

_PROBLEM: dict[str, Any] = {"model": Problem}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {**_PROBLEM, "description": words}
    for status, words in (
        (401, "Nobody is logged in"),
        (403, "Whoever is logged in may not do this"),
        (404, "It does not exist, or may not be seen"),
        (422, "A parameter cannot be used"),
        (503, "A part of the service is unavailable; try again"),
    )
}
# Only described here: `Access` decides, which also knows sessions and proxies.
_BEARER = HTTPBearer(auto_error=False, bearerFormat="token", description="A token that `mailhaul token` made")
router = APIRouter(prefix="/api/v1", responses=_PROBLEMS, dependencies=[Security(_BEARER), Depends(known_parameters)])
_CONFLICT: dict[int | str, dict[str, Any]] = {409: {**_PROBLEM, "description": "It is not in a state for that"}}
Key = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="The message key")]
EventId = Annotated[str, Path(pattern="^[0-9a-f]{32}(-[0-9]{1,9})?$", description="The event's id")]
Part = Annotated[str, Path(pattern=r"^[0-9.]{1,200}$", description="Path of the part, as in 2.1")]
Name = Annotated[str, Path(max_length=64)]
Position = Annotated[str, Query(pattern=r"^([0-9]{1,19}-[0-9]{1,19})?$", description="`next` of the page before")]
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Its id")]
_ALL_EVENTS, _ALL_MESSAGES = ReplaySelection(), Selection()
_BUSY: dict[int | str, dict[str, Any]] = {409: {**_PROBLEM, "description": "Another one is active"}}
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def _file(media_type: str) -> dict[int | str, dict[str, Any]]:
    """Describe the answers with an object of the store."""
    return {
        200: {"description": "The whole", "content": {media_type: _BYTES}},
        206: {"description": "The range that was asked for", "content": {media_type: _BYTES}},
        304: {"description": "As named in If-None-Match"},
        416: {**_PROBLEM, "description": "The range lies outside; Content-Range has the size"},
    }


@router.get("/messages", tags=["messages"])
def messages(
    desk: AskedDesk,
    who: Who,
    search: Asked,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
    cursor: Annotated[str, Query(max_length=100, description="`next` of the page before")] = "",
) -> MessageList:
    """Search messages: every filter that is given has to fit."""
    page = desk.queries.search(search, who.scope, limit, cursor)
    return MessageList(messages=[listed(one) for one in page.messages], next=page.next)


@router.get("/messages/{key}", tags=["messages"], responses={304: {"description": "As named in If-None-Match"}})
def message(desk: AskedDesk, who: Who, key: Key, request: Request, response: Response) -> Manifest:
    """Return a message's manifest, as it is in the store."""
    manifest = desk.manifest(key, who)
    tag = f'"{hashlib.sha256(manifest.to_json()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if is_known(tag, request):
        return Response(status_code=304, headers=headers)  # type: ignore[return-value]  # FastAPI sends it as it is
    response.headers.update(headers)
    return manifest


@router.get("/messages/{key}/event", tags=["messages"])
def event(desk: AskedDesk, who: Who, key: Key) -> dict[str, Any]:
    """Return a message's event, as it would be published again: CloudEvents 1.0."""
    where = desk.manifest(key, who).manifest
    assert where is not None
    for stored in desk.runtime.store.stored(where):
        # Its own is before that of its last update.
        for found in events_from_manifest(desk.runtime.store, stored)[:1]:
            return shown(found, desk.queries, who.scope)
    raise NotFoundError("the message has no event")


@router.get("/messages/{key}/timeline", tags=["messages"])
def timeline(desk: AskedDesk, who: Who, key: Key) -> list[StepAnswer]:
    """Return the steps of a message's way, from the store to each consumer."""
    return [step_answer(step) for step in desk.timeline(key, who)]


@router.get("/messages/{key}/documents", tags=["messages"])
def documents(desk: AskedDesk, who: Who, key: Key) -> list[Document]:
    """Return the documents of a message, with the reasons for what they are."""
    return desk.manifest(key, who).documents


@router.get("/messages/{key}/raw", tags=["messages"], responses=_file("message/rfc822"), response_class=Response)
def raw(desk: AskedDesk, who: Who, key: Key, request: Request) -> Response:
    """Return a message as the server sent it. Range requests are answered."""
    ref = desk.raw(key, who)
    return send_object(desk.runtime.store, ref, request, media_type="message/rfc822", filename=f"{key}.eml")


@router.get("/messages/{key}/html", tags=["messages"], response_class=HTMLResponse)
def html(desk: AskedDesk, who: Who, key: Key) -> Response:
    """Return a message's HTML, made safe to show: nothing in it runs or is loaded from elsewhere."""
    found = safe_html(desk.runtime.store, desk.manifest(key, who))
    if found is None:
        raise NotFoundError("the message has no HTML that can be shown")
    headers = {"Content-Security-Policy": MAIL_POLICY}
    return Response(found, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/messages/{key}/attachments", tags=["messages"])
def attachments(desk: AskedDesk, who: Who, key: Key) -> list[Attachment]:
    """Return the attachments of a message."""
    return desk.manifest(key, who).attachments


@router.get("/messages/{key}/attachments/{part}", tags=["messages"], responses=_file("*/*"), response_class=Response)
def attachment(desk: AskedDesk, who: Who, key: Key, part: Part, request: Request) -> Response:
    """Return an attachment, byte for byte. Range requests are answered."""
    found = desk.attachment(key, part, who)
    return send_object(
        desk.runtime.store, found.object, request, media_type=found.detected_type, filename=found.filename
    )


@router.get("/events", tags=["events"])
def events(
    desk: AskedDesk,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
    cursor: Position = "",
    mailbox: Annotated[str, Query(max_length=200, description="Only of this one")] = "",
    type: Annotated[str, Query(max_length=200, description="Only of this type")] = "",  # noqa: A002 - as in events
) -> EventList:
    """Return events of the stream, the oldest first: at least the last thousand are kept there.

    A page ends before its `limit` where its events have more than 1 MiB; go on with `next` until there are none.
    """
    return event_list(StreamReader(desk.runtime.events, desk.queries).page(who.scope, cursor, limit, mailbox, type))


@router.get("/mailboxes", tags=["mailboxes"])
def mailboxes(desk: AskedDesk, who: Who) -> list[MailboxAnswer]:
    """Return the mailboxes, those that need somebody first."""
    return [mailbox_answer(view) for view in desk.mailboxes(who)]


@router.get("/mailboxes/{mailbox}", tags=["mailboxes"])
def mailbox(desk: AskedDesk, who: Who, mailbox: Name) -> MailboxAnswer:
    """Return one mailbox."""
    for view in desk.mailboxes(who):
        if view.id == mailbox:
            return mailbox_answer(view)
    raise NotFoundError("there is no such mailbox")


@router.post("/mailboxes/{mailbox}/poll", tags=["mailboxes"], status_code=202, responses=_CONFLICT)
def poll(desk: AskedDesk, who: Who, mailbox: Name) -> None:
    """Let a mailbox be polled at once."""
    desk.poll(mailbox, who)


@router.post("/mailboxes/{mailbox}/pause", tags=["mailboxes"], status_code=202)
def pause(desk: AskedDesk, who: Who, mailbox: Name) -> None:
    """Poll a mailbox no longer, until it is resumed."""
    desk.pause(mailbox, who, paused=True)


@router.post("/mailboxes/{mailbox}/resume", tags=["mailboxes"], status_code=202)
def resume(desk: AskedDesk, who: Who, mailbox: Name) -> None:
    """Poll a paused mailbox again."""
    desk.pause(mailbox, who, paused=False)


@router.get("/failures", tags=["failures"])
def failures(desk: AskedDesk, who: Who) -> list[FailureAnswer]:
    """Return the failed messages, the oldest failure first."""
    return [failure_answer(one) for one in desk.failures(who)]


@router.post("/failures/{key}/retry", tags=["failures"], status_code=202)
def retry(desk: AskedDesk, who: Who, key: Key) -> None:
    """Let a failed message be processed again."""
    desk.retry(key, who)


@router.post("/failures/{key}/drop", tags=["failures"], status_code=202)
def drop(desk: AskedDesk, who: Who, key: Key) -> None:
    """Drop the record of a failed message; its raw mail stays in the store."""
    desk.drop(key, who)


@router.get("/sinks", tags=["sinks"])
def sinks(desk: AskedDesk, who: Who) -> list[SinkAnswer]:
    """Return the consumers of the event stream."""
    return [sink_answer(view) for view in desk.sinks(who)]


@router.post("/sinks/{sink}/resume", tags=["sinks"], status_code=202)
def resume_sink(desk: AskedDesk, who: Who, sink: Name) -> None:
    """Try a consumer at once that is disabled or waits for its next try."""
    desk.resume_sink(sink, who)


@router.get("/sinks/{sink}/dead-letters", tags=["sinks"])
def dead_letters(desk: AskedDesk, who: Who, sink: Name) -> list[DeadLetterAnswer]:
    """Return the events that a consumer rejected, both retrying and dead-lettered."""
    return [dead_letter_answer(one) for one in desk.letters(sink, who)]


@router.post("/sinks/{sink}/dead-letters/{event_id}/retry", tags=["sinks"], status_code=202)
def retry_event(desk: AskedDesk, who: Who, sink: Name, event_id: EventId) -> None:
    """Deliver a rejected event again, now."""
    desk.redeliver(sink, event_id, who, drop=False)


@router.post("/sinks/{sink}/dead-letters/{event_id}/drop", tags=["sinks"], status_code=202)
def drop_event(desk: AskedDesk, who: Who, sink: Name, event_id: EventId) -> None:
    """Remove a rejected event, which the consumer will never receive."""
    desk.redeliver(sink, event_id, who, drop=True)


@router.get("/actions", tags=["actions"])
def actions(
    desk: AskedDesk, who: Who, limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE, cursor: Position = ""
) -> ActionList:
    """Return what operators did, the latest first: for operators, and only what was about mailboxes of theirs."""
    return action_list(desk.audit.seen(who, cursor, limit + 1), limit)


def _add_routes(kind: JobKind) -> None:
    """Add what shows and stops the jobs of a kind."""
    name = kind.plural

    @router.get(f"/{name}", tags=[name], name=name, description=f"Return the last {name}, the newest first.")
    def last(desk: AskedDesk, who: Who) -> list[Job]:
        return desk.jobs.all(kind, who)

    @router.get(
        f"/{name}/{{job}}", tags=[name], name=kind, description=f"Return how far a {kind} is, or how it ended."
    )
    def one(desk: AskedDesk, who: Who, job: JobId) -> Job:
        return desk.jobs.job(kind, job, who)

    @router.delete(
        f"/{name}/{{job}}",
        tags=[name],
        name=f"stop_{kind}",
        status_code=202,
        description=f"Stop a {kind}, if it is active.",
    )
    def stop(desk: AskedDesk, who: Who, job: JobId) -> Job:
        return desk.jobs.stop(kind, job, who)


@router.post("/replays", tags=["replays"], status_code=202, responses=_BUSY)
def start_replay(desk: AskedDesk, who: Who, selection: Annotated[ReplaySelection, Body()] = _ALL_EVENTS) -> Job:
    """Publish the events of messages again, or count them; only one replay is active at a time."""
    return desk.jobs.start(JobKind.REPLAY, selection, who)


_add_routes(JobKind.REPLAY)


@router.post("/reprocesses", tags=["reprocesses"], status_code=202, responses=_BUSY)
def start_reprocess(desk: AskedDesk, who: Who, selection: Annotated[Selection, Body()] = _ALL_MESSAGES) -> Job:
    """Read messages again and update those that change, or compare them; only one is active at a time."""
    return desk.jobs.start(JobKind.REPROCESS, selection, who)


_add_routes(JobKind.REPROCESS)


@router.get("/status", tags=["status"])
def status(desk: AskedDesk, who: Who) -> StatusAnswer:
    """Return the state of the system, as far as it may be seen."""
    found = desk.status()
    seen = [row for row in found.mailboxes if who.scope.allows(row.id)]
    counts = dict(found.counts) if who.scope.mailboxes is None else {"failed": len(desk.failures(who))}
    return StatusAnswer(
        mailboxes=len(seen),
        counts=counts,
        polling_stopped=found.polling_stopped,
        last_tick=at(found.last_tick),
        catalog_rebuilding=desk.catalog.state("rebuild") != "",
    )
