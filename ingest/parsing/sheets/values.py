"""The words of a cell's value: numbers as short as they are exact, dates by ISO 8601, percentages as percentages."""

import math
import re
from datetime import date, datetime, time, timedelta

Value = str | float | int | bool | date | datetime | time | timedelta

WORKBOOK_PARSER = "workbook-5"

_MAX_DIGITS = 15  # Excel keeps no more of a number, and shows no more
_LONGEST_WHOLE = 10**15
# As Excel and LibreOffice write them.
ERRORS = frozenset({"#REF!", "#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#VALUE!", "#SPILL!", "#CALC!"})
_duration = re.compile(
    r"(?P<sign>-?)PT(?P<hours>\d{1,9})H(?P<minutes>\d{1,9})M(?P<seconds>\d{1,9}(?:\.\d+)?)S", re.ASCII
)


def is_error(value: Value) -> bool:
    """True for an error, by its words or as a number that is none."""
    return value in ERRORS if isinstance(value, str) else isinstance(value, float) and not math.isfinite(value)


def convert_duration(written: str) -> Value:
    """Return a duration that OpenDocument writes as hours, minutes and seconds; other words as they are."""
    found = _duration.fullmatch(written)
    if found is None:
        return written
    length = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]), seconds=float(found["seconds"]))
    return -length if found["sign"] else length


def is_text(value: Value) -> bool:
    """True for a cell of words."""
    return isinstance(value, str) and bool(value)


def is_typed(value: Value) -> bool:
    """True for a number, a date or a truth value."""
    return not isinstance(value, str)


def format_value(value: Value, unit: str = "", *, timed: bool = False) -> str:
    """Return a value as text. `unit` is the sign of its number format, or the zeros of one for numbers that are names.

    `timed` gives dates their midnight.
    """
    match value:
        case str():
            return value
        case bool():
            return "TRUE" if value else "FALSE"
        case float() | int():
            if unit == "%":
                return f"{_format_number(value * 100)}%"
            if unit.startswith("0"):
                return (
                    _format_number(value).zfill(len(unit) + (value < 0))
                    if value == int(value)
                    else _format_number(value)
                )
            return f"{'-' if value < 0 else ''}{unit}{_format_number(abs(value))}" if unit else _format_number(value)
        case datetime():
            return _round_to_seconds(value).isoformat(" ")
        case date():
            return f"{value.isoformat()} 00:00:00" if timed else value.isoformat()
        case time():
            return value.replace(microsecond=0).isoformat()
        case timedelta():
            seconds = round(abs(value.total_seconds()))
            sign = "-" if value < timedelta(0) else ""
            return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _format_number(value: float) -> str:
    if value == int(value) and abs(value) < _LONGEST_WHOLE:
        return str(int(value))
    return f"{value:.{_MAX_DIGITS}g}"


def _round_to_seconds(moment: datetime) -> datetime:
    """Return a moment by whole seconds: a sheet keeps it as a fraction of a day, which is hardly ever exact."""
    return (moment + timedelta(microseconds=500_000)).replace(microsecond=0)
