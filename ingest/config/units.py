"""Durations and sizes, as people write them in the configuration."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from ingest.domain.retention import Period as _Period

SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# Ten years: above any use, and below what overflows a due time in the ledger.
LONGEST = 3650 * SECONDS["d"]
LARGEST = 2**50
MOST_YEARS = 100

_DURATION = re.compile(r"(?=\d)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s?)?", re.ASCII)
_SIZE = re.compile(r"(\d{1,16}(?:\.\d{1,9})?) ?(B|kB|MB|GB|KiB|MiB|GiB)?", re.ASCII)
_PERIOD = re.compile(r"(?:(\d{1,3})y)?(.*)", re.ASCII)
_PERIOD_FORMS = "write a period with its units, such as 90d, 2y or 1y30d, at most 100y and 3650d"
_DURATION_FORMS = "write a duration such as 60s, 5m, 1h30m or 30d, at most 3650d (a plain number counts seconds)"
_SIZE_FORMS = "write a size such as 500KiB or 150MiB (a plain number counts bytes)"


def parse_duration(value: object) -> float:
    """Return seconds from `60s`, `5m`, `1h30m`, `30d`, or a number of seconds.

    Raises:
        ValueError: it has another form; the text says how to write it.
    """
    if isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = sum(
            float(number or 0) * unit for number, unit in zip(found.groups(), SECONDS.values(), strict=True)
        )
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(min(value, LONGEST + 1)):
        seconds = float(min(value, LONGEST + 1))
    else:
        raise ValueError(_DURATION_FORMS)
    if not 0 <= seconds <= LONGEST:
        raise ValueError(_DURATION_FORMS)
    return seconds


def parse_period(value: object) -> _Period:
    """Return a period from `10y`, `1y30d`, or `90d`. Years are calendar years.

    A plain number is refused: where it counts seconds, and somebody meant years, everything would be erased.

    Raises:
        ValueError: it has another form, or no length; the text says how to write it.
    """
    found = _PERIOD.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[2][-1:].isdigit():
        raise ValueError(_PERIOD_FORMS)
    try:
        years = int(found[1] or 0)
        period = _Period(years, parse_duration(found[2]) if found[2] or not years else 0.0)
    except ValueError:
        raise ValueError(_PERIOD_FORMS) from None
    if period.years > MOST_YEARS or not (period.years or period.seconds):
        raise ValueError(_PERIOD_FORMS)
    return period


def parse_size(value: object) -> int:
    """Return bytes from `150MiB`, `20 MB`, or a number of bytes.

    Raises:
        ValueError: it has another form; the text says how to write it.
    """
    if isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())):
        size = round(float(found[1]) * BYTES[found[2] or "B"])
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise ValueError(_SIZE_FORMS)
    if not 1 <= size <= LARGEST:
        raise ValueError(_SIZE_FORMS)
    return size


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("must be longer than 0s; write a duration such as 15s")
    return seconds


def _at_least_a_second(seconds: float) -> float:
    if seconds < 1:
        raise ValueError("must be 1s or longer")
    return seconds


_WRITTEN_DURATION = (
    Annotated[float, Field(ge=0, le=LONGEST)]
    | Annotated[str, Field(pattern=r"^(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s?)?$")]
)
_WRITTEN_SIZE = (
    Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?(B|kB|MB|GB|KiB|MiB|GiB)?$")]
)

Duration = Annotated[
    float, BeforeValidator(lambda value: _positive(parse_duration(value)), json_schema_input_type=_WRITTEN_DURATION)
]
Interval = Annotated[
    float,
    BeforeValidator(
        lambda value: _at_least_a_second(parse_duration(value)), json_schema_input_type=_WRITTEN_DURATION
    ),
]
Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=_WRITTEN_SIZE)]
Period = Annotated[
    _Period,
    BeforeValidator(parse_period),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 2,
            "pattern": r"^(\d{1,3}y)?(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s)?$",
        }
    ),
]
