"""What the in-memory ledger knows of logins: connection slots, refusals, and messages that servers fail at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.errors import StaleClaimError
from ingest.ports.slots import ConnectionSlots, Refusals
from ingest.ports.troubled import TroubledMessages

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from ingest.ports.claims import Claim
    from ingest.ports.slots import LastLogin, Refusal
    from ingest.ports.troubled import TroubledMessage
    from ingest.testing.workset import MemoryWorkSet


class MemorySlots(ConnectionSlots, Refusals, TroubledMessages):
    """`ConnectionSlots`, `Refusals` and `TroubledMessages` for one process."""

    _clock: Callable[[], float]
    _lock: threading.RLock
    _mailboxes: MemoryWorkSet

    def _forget_slots(self) -> None:
        """Lose everything."""
        self._slots: dict[str, dict[str, Claim]] = {}
        self._refusals: dict[str, tuple[Refusal, float]] = {}
        self._last_logins: dict[str, LastLogin] = {}
        self._troubled: dict[str, list[TroubledMessage]] = {}

    @override
    def acquire_slot(self, claim: Claim, server: str, address: str, limit: int) -> bool:
        with self._lock:
            if not self._mailboxes.holds(claim):
                raise StaleClaimError("the claim is stale; nothing was changed")
            limited = [self._slots.setdefault(of, {}) for of in (server, address)]
            for slots in limited:
                others = [held for id_, held in slots.items() if id_ != claim.id and self._mailboxes.lives(held)]
                if len(others) >= limit:
                    return False
            for slots in limited:
                slots[claim.id] = claim
            return True

    @override
    def put_refusal(self, mailbox: str, refusal: Refusal, seconds: float) -> None:
        with self._lock:
            self._refusals[mailbox] = (refusal, self._clock() + seconds)

    @override
    def refusal(self, mailbox: str) -> Refusal | None:
        with self._lock:
            refusal, until = self._refusals.get(mailbox, (None, 0.0))
            return refusal if self._clock() < until else None

    @override
    def put_last_login(self, mailbox: str, login: LastLogin) -> None:
        with self._lock:
            self._last_logins[mailbox] = login

    @override
    def last_login(self, mailbox: str) -> LastLogin | None:
        with self._lock:
            return self._last_logins.get(mailbox)

    @override
    def put_troubled(self, mailbox: str, messages: Sequence[TroubledMessage]) -> None:
        with self._lock:
            if messages:
                self._troubled[mailbox] = list(messages)
            else:
                self._troubled.pop(mailbox, None)

    @override
    def troubled(self, mailbox: str) -> list[TroubledMessage]:
        with self._lock:
            return list(self._troubled.get(mailbox, []))

    @override
    def all_troubled(self) -> dict[str, list[TroubledMessage]]:
        with self._lock:
            return {mailbox: list(messages) for mailbox, messages in self._troubled.items()}
