"""The pages of replays and reprocesses: choose, see a count, confirm, watch."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from ingest.console.api import JobId
from ingest.console.asking import AskedDesk, Who
from ingest.console.errors import FilterError
from ingest.console.job_work import MOST_MESSAGES
from ingest.console.jobs import JobKind, ReplaySelection
from ingest.console.pages import own_form, page, see_other

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.console.access import Identity
    from ingest.console.desk import Desk

router = APIRouter()
Prefilled = Annotated[str, Query(max_length=32, description="A message key to begin with")]
_PATHS = {JobKind.REPLAY: "/replays", JobKind.REPROCESS: "/reprocesses"}


@router.get("/replays")
def replays(request: Request, desk: AskedDesk, who: Who, message: Prefilled = "") -> Response:
    """Show the form of a replay, and the last ones."""
    return _list(request, desk, who, JobKind.REPLAY, message)


@router.get("/reprocesses")
def reprocesses(request: Request, desk: AskedDesk, who: Who, message: Prefilled = "") -> Response:
    """Show the form of a reprocess, and the last ones."""
    return _list(request, desk, who, JobKind.REPROCESS, message)


@router.get("/replays/{job}")
def replay(request: Request, desk: AskedDesk, who: Who, job: JobId) -> Response:
    """Show one replay."""
    return _one(request, desk, who, JobKind.REPLAY, job)


@router.get("/reprocesses/{job}")
def reprocess(request: Request, desk: AskedDesk, who: Who, job: JobId) -> Response:
    """Show one reprocess."""
    return _one(request, desk, who, JobKind.REPROCESS, job)


@router.post("/replays")
async def start_replay(request: Request, desk: AskedDesk, who: Who) -> Response:
    """Count, or start a replay, then show it."""
    return await _start(request, desk, who, JobKind.REPLAY)


@router.post("/reprocesses")
async def start_reprocess(request: Request, desk: AskedDesk, who: Who) -> Response:
    """Compare, or start a reprocess, then show it."""
    return await _start(request, desk, who, JobKind.REPROCESS)


@router.post("/replays/{job}/stop")
async def stop_replay(request: Request, desk: AskedDesk, who: Who, job: JobId) -> Response:
    """Stop a replay, then show it."""
    return await _stop(request, desk, who, JobKind.REPLAY, job)


@router.post("/reprocesses/{job}/stop")
async def stop_reprocess(request: Request, desk: AskedDesk, who: Who, job: JobId) -> Response:
    """Stop a reprocess, then show it."""
    return await _stop(request, desk, who, JobKind.REPROCESS, job)


def _list(request: Request, desk: Desk, who: Identity, kind: JobKind, message: str) -> Response:
    return page(
        request,
        "jobs",
        who,
        kind=kind,
        paths=_PATHS,
        message=message,
        jobs=desk.jobs.all(kind, who),
        mailboxes=[box for box in desk.runtime.mailboxes() if who.scope.allows(box)],
        sinks=list(desk.runtime.sinks),
    )


def _one(request: Request, desk: Desk, who: Identity, kind: JobKind, job: str) -> Response:
    found = desk.jobs.job(kind, job, who)
    # What a form sends to do the same, from where it stopped if it did.
    wanted = found.selection.model_dump(mode="json", exclude={"dry_run"}, exclude_defaults=True)
    if found.resume_at is not None:
        wanted["since"] = found.resume_at.isoformat()
    return page(request, "job", who, job=found, kind=kind, paths=_PATHS, wanted=wanted, most=MOST_MESSAGES)


async def _start(request: Request, desk: Desk, who: Identity, kind: JobKind) -> Response:
    selection = _selection(await own_form(request, who))
    job = await run_in_threadpool(desk.jobs.start, kind, selection, who)
    return see_other(f"{_PATHS[kind]}/{job.id}")


async def _stop(request: Request, desk: Desk, who: Identity, kind: JobKind, job: str) -> Response:
    await own_form(request, who)
    await run_in_threadpool(desk.jobs.stop, kind, job, who)
    return see_other(f"{_PATHS[kind]}/{job}")


def _selection(form: Mapping[str, str]) -> ReplaySelection:
    """Return what a form chooses; ids are separated by blanks.

    Raises:
        FilterError: a field cannot be used.
    """
    try:
        return ReplaySelection(
            mailboxes=form.get("mailboxes", "").split(),
            messages=form.get("messages", "").split(),
            since=_time(form.get("since", ""), timedelta()),
            until=_time(form.get("until", ""), timedelta(days=1)),
            sink=form.get("sink", ""),
            dry_run=form.get("dry_run", "") != "",
        )
    except ValidationError as error:
        fields = ", ".join(sorted({str(one["loc"][0]) for one in error.errors()}))
        raise FilterError(f"cannot be used: {fields}") from None


def _time(text: str, day: timedelta) -> datetime | None:
    """Return a time; a date is its start in UTC, moved on by `day`."""
    if not text.strip():
        return None
    try:
        return datetime.combine(date.fromisoformat(text.strip()), datetime.min.time(), UTC) + day
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise FilterError("write a date as 2026-11-27, or a time as 2026-11-27T16:00:00Z") from None
