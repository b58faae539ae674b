"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest

from ingest.config.units import LARGEST, LONGEST, parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("60s", 60),
        ("5m", 300),
        ("1h30m", 5400),
        ("30d", 2_592_000),
        ("1d2h3m4.5s", 93_784.5),
        ("0.5s", 0.5),
        ("90", 90),
        (" 5m ", 300),
        (0, 0),
        (90, 90),
        (1.5, 1.5),
        ("3650d", LONGEST),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        *("", "s", "5 m", "5x", "m5", "30m1h", "-5s", "1.5h", "5S", "٣s", "3651d", "9" * 400),
        *(True, None, -1, 10**400, float("nan"), float("inf"), [], {}),
    ],
)
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="1h30m"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("150MiB", 157_286_400),
        ("20 MB", 20_000_000),
        ("1.5GiB", 1_610_612_736),
        ("500KiB", 512_000),
        ("1kB", 1000),
        ("7B", 7),
        ("7", 7),
        (7, 7),
        (LARGEST, LARGEST),
    ],
)
def test_sizes(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "0", 0, -1, "MiB", "5mb", "5 TiB", "9" * 400, 1.5, True, None, LARGEST + 1])
def test_what_is_no_size(written: object) -> None:
    with pytest.raises(ValueError, match="150MiB"):
        parse_size(written)
