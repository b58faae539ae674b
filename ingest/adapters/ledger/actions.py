"""What people did, in Redis or Valkey: a stream, whose oldest entries are dropped."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from typing_extensions import override

from ingest.ports.actions import ACTIONS_KEPT, Action, ActionRecords, RecordedAction

if TYPE_CHECKING:
    from ingest.adapters.ledger.connection import RedisConnection
    from ingest.adapters.ledger.names import Names

_action_adapter = cache(lambda: TypeAdapter(Action))


class RedisActions(ActionRecords):
    """`ActionRecords` in Redis or Valkey."""

    _connection: RedisConnection
    _names: Names

    @override
    def record_action(self, action: Action) -> None:
        parts = [part for name, value in asdict(action).items() if value not in ("", None) for part in (name, value)]
        self._connection.call("XADD", self._names.actions, "MAXLEN", "~", ACTIONS_KEPT, "*", *parts)

    @override
    def actions(self, before: str, limit: int) -> list[RecordedAction]:
        end = f"({before}" if before else "+"
        rows = self._connection.call("XREVRANGE", self._names.actions, end, "-", "COUNT", limit)
        return [_recorded(position.decode(), fields) for position, fields in rows]


def _recorded(position: str, fields: dict[bytes, bytes]) -> RecordedAction:
    values = {name.decode(): value.decode() for name, value in fields.items()}
    return RecordedAction(position, int(position.partition("-")[0]) / 1000, _action_adapter().validate_python(values))
