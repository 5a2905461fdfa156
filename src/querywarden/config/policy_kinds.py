"""The kinds of values in a policy file: names, durations, sizes and times as people write them, each with what would be right."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints
from pydantic_core import PydanticCustomError

from querywarden.config.yaml_lines import nearest_name
from querywarden.masking.operators import Operator
from querywarden.model.catalogue import DataClass
from querywarden.model.decision import WaitMode
from querywarden.model.facts import Hazard, Verb
from querywarden.model.principal import PrincipalKind
from querywarden.model.resource import Environment
from querywarden.policy.language import Property, Trait
from querywarden.policy.windows import DAYS, MINUTES_OF_DAY

PROPERTIES: dict[str, Property] = {each.value: each for each in (*Hazard, *Trait)}
"""The properties of statements that a policy file may name."""

DURATION_SECONDS_MAX = 365 * 86_400
"""A year: what is longer is no duration but a state."""

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_UNIT_BYTES = {"": 1, "k": 1000, "ki": 1024, "m": 1000**2, "mi": 1024**2, "g": 1000**3, "gi": 1024**3, "t": 1000**4, "ti": 1024**4}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SIZE = re.compile(r"([0-9]{1,15}) ?([kmgt]?i?)b?", re.IGNORECASE)
_CLOCK = re.compile(r"([0-9]{2}):([0-9]{2})")


class Section(BaseModel):
    """The root of all sections of a policy file: unknown keys are errors, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


def one_as_list(value: Any) -> Any:
    """One name alone stands for a list of it."""
    return [value] if isinstance(value, str) else value


def entry_as_list(value: Any) -> Any:
    """One entry alone stands for a list of it."""
    return [value] if isinstance(value, dict) else value


def _one_of(names: Iterable[str]) -> Callable[[str], str]:
    valid = frozenset(names)

    def check(value: str) -> str:
        if value not in valid:
            expected = ", ".join(f"'{name}'" for name in sorted(valid))
            raise PydanticCustomError("literal_error", "unknown name", {"expected": expected})
        return value

    return check


def _without_schema(value: str) -> str:
    if "." in value:
        raise PydanticCustomError("schema", "a function is trusted by its name, in every schema", {"hint": "leave the schema out"})
    return value


def _duration(value: Any) -> int:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match is not None else 0
    if not 0 < seconds <= DURATION_SECONDS_MAX:
        raise PydanticCustomError("duration", "not a duration", {"hint": "a number and a unit, such as 90s, 30m, 8h or 2d; at most 365d"})
    return seconds


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 < value <= DURATION_SECONDS_MAX:
            return float(value)
        raise PydanticCustomError("seconds", "not a number of seconds", {"hint": "above 0, at most a year; or a duration such as 5m"})
    return float(_duration(value))


def _size(value: Any) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = int(match[1]) * _UNIT_BYTES[match[2].lower()] if match is not None and match[2].lower() != "i" else 0
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    if not 0 < size < 2**63:
        raise PydanticCustomError("size", "not a number of bytes", {"hint": "a whole number, or one with a unit such as 64KiB or 10MB"})
    return size


def _clock(value: Any) -> int:
    """The minutes since midnight of a time of day."""
    if isinstance(value, int) and not isinstance(value, bool) and 60 <= value <= MINUTES_OF_DAY:
        # YAML 1.1 takes 17:00 for a number to the base of 60, but 09:00 for text.
        meant = f"{value // 60:02}:{value % 60:02}"
        raise PydanticCustomError("clock", "YAML reads a time without quotation marks as a number", {"hint": f'if you mean it, "{meant}"'})
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match is not None and int(match[2]) < 60 else -1
    if not 0 <= minutes <= MINUTES_OF_DAY:
        raise PydanticCustomError("clock", "not a time of day", {"hint": 'hours and minutes in quotation marks, such as "09:30"'})
    return minutes


def _moment(value: Any) -> datetime.date:
    """A date, or a date with a time: without an offset it is told by the clock of the section's zone."""
    if isinstance(value, datetime.date):
        return value
    if isinstance(value, str):
        try:
            return datetime.date.fromisoformat(value) if len(value) <= 10 else datetime.datetime.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("moment", "not a date", {"hint": "as 2026-12-20, or 2026-12-20 18:00"})


@lru_cache(maxsize=64)
def zone_of(name: str) -> datetime.tzinfo:
    """The time zone of a name.

    Raises: ValueError when there is none.
    """
    if name.upper() == "UTC":
        return datetime.UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as error:
        raise ValueError(name) from error


def _zone(value: str) -> str:
    try:
        zone_of(value)
    except ValueError:
        known = available_timezones()
        near = nearest_name(value, known)
        hint = f"did you mean {near}?" if near is not None else "as Europe/Vienna or America/New_York"
        if not known:
            hint = "this machine has no time zones: install tzdata, or use UTC"
        raise PydanticCustomError("zone", "unknown time zone", {"hint": hint}) from None
    return value


def _operator(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError(
            "operator", "YAML reads this as nothing", {"hint": 'write "null" in quotation marks, or name another one'}
        )
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], BeforeValidator(one_as_list)]
BareNames = Annotated[tuple[Annotated[Name, AfterValidator(_without_schema)], ...], BeforeValidator(one_as_list)]
Verbs = Annotated[tuple[Verb, ...], BeforeValidator(one_as_list)]
Environments = Annotated[tuple[Environment, ...], BeforeValidator(one_as_list)]
Kinds = Annotated[tuple[PrincipalKind, ...], BeforeValidator(one_as_list)]
PropertyNames = Annotated[tuple[Annotated[str, AfterValidator(_one_of(PROPERTIES))], ...], BeforeValidator(one_as_list)]
ClassNames = Annotated[tuple[Annotated[str, AfterValidator(_one_of(["all", *DataClass]))], ...], BeforeValidator(one_as_list)]
ClassName = Annotated[str, AfterValidator(_one_of(["none", *DataClass]))]
DayNames = Annotated[tuple[Annotated[str, AfterValidator(_one_of(DAYS))], ...], BeforeValidator(one_as_list)]
OperatorName = Annotated[Operator, BeforeValidator(_operator)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Amount = Annotated[int, Field(strict=True, ge=1, lt=2**63)]
Bound = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Quorum = Annotated[int, Field(strict=True, ge=1, le=20)]
Mode = WaitMode
Duration = Annotated[int, PlainValidator(_duration)]
Seconds = Annotated[float, PlainValidator(_seconds)]
Size = Annotated[int, PlainValidator(_size)]
Clock = Annotated[int, PlainValidator(_clock)]
Moment = Annotated[datetime.date, PlainValidator(_moment)]
Zone = Annotated[str, AfterValidator(_zone)]
