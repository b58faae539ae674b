"""Long work that a person started, in Redis or Valkey: one hash for each kind.

Its fields are the ids of jobs with their bodies, `active` and `until`, the job that holds the lease and its end in
milliseconds, and `stop`, the job that is to stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.adapters.ledger.workset import milliseconds
from ingest.ports.jobs import JOBS_KEPT, JOBS_SECONDS, JobOrder, JobRecord, Jobs

if TYPE_CHECKING:
    from ingest.adapters.ledger.connection import RedisConnection
    from ingest.adapters.ledger.names import Names

_ORDERS = {0: JobOrder.LOST, 1: JobOrder.CONTINUE, 2: JobOrder.STOP}
_OTHER_FIELDS = ("active", "until", "stop")


class RedisJobs(Jobs):
    """`Jobs` in Redis or Valkey."""

    _connection: RedisConnection
    _names: Names

    @override
    def begin_job(self, kind: str, job: str, body: bytes, lease: float) -> bool:
        kept = (JOBS_KEPT, milliseconds(JOBS_SECONDS))
        return bool(
            self._connection.run("begin_job", [self._names.jobs(kind)], (job, body, milliseconds(lease), *kept))
        )

    @override
    def report_job(self, kind: str, job: str, body: bytes, lease: float) -> JobOrder:
        arguments = (job, body, milliseconds(lease), milliseconds(JOBS_SECONDS))
        reported = self._connection.run("report_job", [self._names.jobs(kind)], arguments)
        return _ORDERS[int(reported)]

    @override
    def end_job(self, kind: str, job: str, body: bytes) -> None:
        self.report_job(kind, job, body, 0.0)

    @override
    def stop_job(self, kind: str, job: str) -> bool:
        arguments = (job, milliseconds(JOBS_SECONDS))
        return bool(self._connection.run("stop_job", [self._names.jobs(kind)], arguments))

    @override
    def jobs(self, kind: str) -> list[JobRecord]:
        found, (seconds, microseconds) = self._connection.read(("HGETALL", self._names.jobs(kind)), ("TIME",))
        fields = {name.decode(): value for name, value in found.items()}
        active, until, stop = (fields.pop(name, b"").decode() for name in _OTHER_FIELDS)
        if int(until or 0) <= int(seconds) * 1000 + int(microseconds) // 1000:
            active = ""
        ids = sorted(fields, reverse=True)
        return [JobRecord(id_, fields[id_], id_ == active, active == stop == id_) for id_ in ids]
