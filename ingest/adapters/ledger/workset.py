"""Work sets in Redis or Valkey: one Lua script for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.ports.claims import Backlog, Claim, Standing, WorkSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ingest.adapters.ledger.connection import RedisConnection


def milliseconds(seconds: float) -> int:
    """Convert to the scripts' unit; negative delays become 0."""
    return max(0, round(seconds * 1000))


class RedisWorkSet(WorkSet):
    """A `WorkSet` of four keys with a common prefix; see `scripts/claims.lua`.

    An expired claim may still be renewed, released and used until somebody claims, because nobody else has the item.
    """

    def __init__(self, connection: RedisConnection, prefix: str) -> None:
        self._connection = connection
        self.due = f"{prefix}:due"
        self.claimed = f"{prefix}:claimed"
        self.fences = f"{prefix}:fences"
        self.tries = f"{prefix}:tries"
        self.keys = (self.due, self.claimed, self.fences, self.tries)
        """All four keys, in the order in which scripts take them."""
        names = connection.names
        self._claim_keys = (*self.keys, names.fence, names.latest_time)

    @override
    def add(self, ids: Iterable[str]) -> int:
        return int(self._connection.run("add", [self.due, self.claimed], list(ids)))

    @override
    def run_now(self, item: str) -> bool:
        return bool(self._connection.run("run_now", [self.due, self.claimed], [item]))

    @override
    def due_in(self, item: str) -> float | None:
        (second, microsecond), score = self._connection.read(("TIME",), ("ZSCORE", self.due, item))
        if score is None:
            return None
        return max(0.0, float(score) / 1000 - int(second) - int(microsecond) / 1e6)

    @override
    def drop(self, ids: Iterable[str]) -> None:
        self._connection.run("drop", self.keys, list(ids))

    @override
    def members(self) -> set[str]:
        due, claimed = self._connection.read(
            ("ZRANGE", self.due, 0, -1),
            ("ZRANGE", self.claimed, 0, -1),
        )
        return {item.decode() for item in (*due, *claimed)}

    @override
    def standing(self) -> dict[str, Standing]:
        (second, microsecond), due, claimed = self._connection.read(
            ("TIME",),
            ("ZRANGE", self.due, 0, -1, "WITHSCORES"),
            ("ZRANGE", self.claimed, 0, -1, "WITHSCORES"),
        )
        now = int(second) + int(microsecond) / 1e6
        return {
            **{item: Standing(max(0.0, at - now)) for item, at in _times(due)},
            **{item: Standing(0.0, claimed=at > now) for item, at in _times(claimed)},
        }

    @override
    def claim(self, limit: int, lease: float) -> list[Claim]:
        rows = self._connection.run("claim", self._claim_keys, [limit, milliseconds(lease)])
        return [Claim(item.decode(), int(fence), tries, int(late) / 1000) for item, fence, tries, late in rows]

    @override
    def claim_one(self, item: str, lease: float) -> Claim | None:
        row = self._connection.run("claim_one", self._claim_keys, [item, milliseconds(lease)])
        return None if row is None else Claim(item, int(row[0]), row[1], int(row[2]) / 1000)

    @override
    def begin_attempt(self, claim: Claim) -> bool:
        arguments = (claim.id, claim.fence, claim.tries)
        return bool(self._connection.run("begin_attempt", [self.fences, self.tries], arguments))

    @override
    def renew(self, claim: Claim, lease: float) -> bool:
        arguments = (claim.id, claim.fence, milliseconds(lease))
        keys = (self.claimed, self.fences, self._connection.names.latest_time)
        return bool(self._connection.run("renew", keys, arguments))

    @override
    def release(self, claim: Claim, delay: float, tries: int = 0) -> bool:
        arguments = (claim.id, claim.fence, milliseconds(delay), tries)
        return bool(self._connection.run("release", (*self.keys, self._connection.names.latest_time), arguments))

    @override
    def backlog(self) -> Backlog:
        due, claimed, waiting, lag = self._connection.run("backlog", [self.due, self.claimed])
        return Backlog(due, claimed, waiting, int(lag) / 1000)


def _times(reply: Sequence[bytes]) -> Iterator[tuple[str, float]]:
    """Items and times (seconds since 1970) from the flat reply of ZRANGE WITHSCORES."""
    for item, score in zip(reply[::2], reply[1::2], strict=True):
        yield item.decode(), float(score) / 1000
