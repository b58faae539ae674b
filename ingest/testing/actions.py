"""The in-memory twin of what people did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from ingest.ports.actions import ACTIONS_KEPT, Action, ActionRecords, RecordedAction

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


class MemoryActions(ActionRecords):
    """`ActionRecords` for one process. Its positions order actions as those of the real one do."""

    _lock: threading.RLock
    _clock: Callable[[], float]

    def _forget_actions(self) -> None:
        """Lose everything."""
        self._actions: list[RecordedAction] = []

    @override
    def record_action(self, action: Action) -> None:
        with self._lock:
            at = self._clock()
            last = self._number(self._actions[-1].position) if self._actions else (0, 0)
            number = max((round(at * 1000), 0), (last[0], last[1] + 1))
            self._actions.append(RecordedAction(f"{number[0]}-{number[1]}", number[0] / 1000, action))
            del self._actions[:-ACTIONS_KEPT]

    @override
    def actions(self, before: str, limit: int) -> list[RecordedAction]:
        with self._lock:
            known = [one for one in self._actions if not before or self._number(one.position) < self._number(before)]
            return known[::-1][:limit]

    @staticmethod
    def _number(position: str) -> tuple[int, int]:
        milliseconds, _, sequence = position.partition("-")
        return int(milliseconds), int(sequence or 0)
