"""The kinds of values in a policy file: sizes, durations, times of day, moments and zones."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from querywarden.config.policy_kinds import Clock, Duration, Moment, Seconds, Size, Zone, zone_of

GOOD = [
    (Size, 1, 1),
    (Size, "10", 10),
    (Size, "10B", 10),
    (Size, "64kB", 64_000),
    (Size, "64KB", 64_000),
    (Size, "64KiB", 65_536),
    (Size, "64 KiB", 65_536),
    (Size, "5MB", 5_000_000),
    (Size, "5Mi", 5 * 1024**2),
    (Size, "2GiB", 2 * 1024**3),
    (Size, "1TB", 10**12),
    (Duration, "90s", 90),
    (Duration, "30m", 1800),
    (Duration, "8h", 28_800),
    (Duration, "2d", 172_800),
    (Duration, "1w", 604_800),
    (Seconds, 30, 30.0),
    (Seconds, 0.5, 0.5),
    (Seconds, "5m", 300.0),
    (Clock, "00:00", 0),
    (Clock, "09:30", 570),
    (Clock, "24:00", 1440),
    (Moment, date(2026, 12, 20), date(2026, 12, 20)),
    (Moment, "2026-12-20", date(2026, 12, 20)),
    (Moment, "2026-12-20 18:00", datetime(2026, 12, 20, 18, 0)),  # noqa: DTZ001 - told by the zone of its section
    (Moment, "2026-12-20T18:00+02:00", datetime(2026, 12, 20, 18, 0, tzinfo=timezone(timedelta(hours=2)))),
    (Zone, "Europe/Vienna", "Europe/Vienna"),
    (Zone, "UTC", "UTC"),
]
BAD = [
    (Size, 0), (Size, -1), (Size, True), (Size, 1.5), (Size, "1.5MB"), (Size, "MB"), (Size, "1 i"), (Size, ""), (Size, None), (Size, 2**63),
    (Duration, 30), (Duration, "30"), (Duration, "m"), (Duration, "0m"), (Duration, "-1m"), (Duration, "1y"), (Duration, "1h30m"),
    (Duration, "366d"), (Duration, None), (Duration, "１m"),
    (Seconds, 0), (Seconds, -1), (Seconds, True), (Seconds, float("nan")), (Seconds, float("inf")), (Seconds, 1e9), (Seconds, "1"),
    (Clock, 1020), (Clock, 9), (Clock, "9:00"), (Clock, "09:60"), (Clock, "25:00"), (Clock, "24:01"), (Clock, "09:00:00"), (Clock, True),
    (Moment, "tomorrow"), (Moment, 2026), (Moment, "2026-13-01"), (Moment, None), (Moment, True),
    (Zone, "Mars"), (Zone, ""), (Zone, "/etc/localtime"), (Zone, "../UTC"), (Zone, "Europe"), (Zone, "a\0b"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "expected"), GOOD)
def test_what_people_write_is_read(kind, value, expected):
    assert expected == TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_what_is_none_is_told(kind, value):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)

    assert caught.value.errors()[0]["ctx"]["hint"]


def test_utc_needs_no_time_zones_on_the_machine():
    assert zone_of("UTC") is UTC
