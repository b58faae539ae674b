"""The in-memory twin of `RedisJobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.ports.jobs import JOBS_KEPT, JobOrder, JobRecord, Jobs

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


class MemoryJobs(Jobs):
    """`Jobs` for one process."""

    _clock: Callable[[], float]
    _lock: threading.RLock

    def _forget_jobs(self) -> None:
        """Lose everything."""
        self._jobs: dict[str, dict[str, bytes]] = {}
        self._active_jobs: dict[str, tuple[str, float]] = {}
        self._stopping_jobs: dict[str, str] = {}

    @override
    def begin_job(self, kind: str, job: str, body: bytes, lease: float) -> bool:
        with self._lock:
            if self._active(kind):
                return False
            self._active_jobs[kind] = (job, self._clock() + lease)
            kept = self._jobs.setdefault(kind, {})
            kept[job] = body
            for id_ in sorted(kept.keys() - {job})[: max(0, len(kept) - JOBS_KEPT)]:
                del kept[id_]
            return True

    @override
    def report_job(self, kind: str, job: str, body: bytes, lease: float) -> JobOrder:
        with self._lock:
            if self._active(kind) != job:
                return JobOrder.LOST
            self._jobs[kind][job] = body
            self._active_jobs[kind] = (job, self._clock() + lease)
            return JobOrder.STOP if self._stopping_jobs.get(kind) == job else JobOrder.CONTINUE

    @override
    def end_job(self, kind: str, job: str, body: bytes) -> None:
        with self._lock:
            if job in self._jobs.get(kind, {}):
                self._jobs[kind][job] = body
            if self._active(kind) == job:
                del self._active_jobs[kind]

    @override
    def stop_job(self, kind: str, job: str) -> bool:
        with self._lock:
            if self._active(kind) != job:
                return False
            self._stopping_jobs[kind] = job
            return True

    @override
    def jobs(self, kind: str) -> list[JobRecord]:
        with self._lock:
            active, stopping = self._active(kind), self._stopping_jobs.get(kind)
            found = sorted(self._jobs.get(kind, {}).items(), reverse=True)
            return [JobRecord(id_, body, id_ == active, active == stopping == id_) for id_, body in found]

    def _active(self, kind: str) -> str:
        job, until = self._active_jobs.get(kind, ("", 0.0))
        return job if until > self._clock() else ""
