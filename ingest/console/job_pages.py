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


router = APIRouter()
Prefilled = Annotated[str, Query(max_length=32, description="A message key to begin with")]


def _add_pages(kind: JobKind) -> None:
    """Add the pages of a kind of jobs."""
    path = f"/{kind.plural}"

    @router.get(path)
    def last(request: Request, desk: AskedDesk, who: Who, message: Prefilled = "") -> Response:
        """Show the form of a job, and the last ones."""
        return page(
            request,
            "jobs",
            who,
            kind=kind,
            message=message,
            jobs=desk.jobs.all(kind, who),
            mailboxes=[box for box in desk.runtime.mailboxes() if who.scope.allows(box)],
            sinks=list(desk.runtime.sinks),
        )

    @router.get(f"{path}/{{job}}")
    def one(request: Request, desk: AskedDesk, who: Who, job: JobId) -> Response:
        """Show a job."""
        found = desk.jobs.job(kind, job, who)
        # What a form sends to do the same, from where it stopped if it did.
        wanted = found.selection.model_dump(mode="json", exclude={"dry_run"}, exclude_defaults=True)
        if found.resume_at is not None:
            wanted["since"] = found.resume_at.isoformat()
        return page(request, "job", who, job=found, kind=kind, wanted=wanted, most=MOST_MESSAGES)

    @router.post(path)
    async def start(request: Request, desk: AskedDesk, who: Who) -> Response:
        """Count or compare, or start a job, then show it."""
        selection = _selection(await own_form(request, who))
        job = await run_in_threadpool(desk.jobs.start, kind, selection, who)
        return see_other(f"{path}/{job.id}")

    @router.post(f"{path}/{{job}}/stop")
    async def stop(request: Request, desk: AskedDesk, who: Who, job: JobId) -> Response:
        """Stop a job, then show it."""
        await own_form(request, who)
        await run_in_threadpool(desk.jobs.stop, kind, job, who)
        return see_other(f"{path}/{job}")


for _kind in JobKind:
    _add_pages(_kind)


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
