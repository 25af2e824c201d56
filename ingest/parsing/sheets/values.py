"""Format cell values as text: numbers with at most 15 digits, dates in ISO 8601, percentages with a percent sign."""

import math
import re
from datetime import date, datetime, time, timedelta

Value = str | float | int | bool | date | datetime | time | timedelta

WORKBOOK_PARSER = "workbook-5"

_MAX_DIGITS = 15  # Maximum number of significant digits. Excel neither stores nor displays more.
_LONGEST_WHOLE = 10**15
# The error values of Excel and LibreOffice.
ERRORS = frozenset({"#REF!", "#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#VALUE!", "#SPILL!", "#CALC!"})
_duration = re.compile(
    r"(?P<sign>-?)PT(?P<hours>\d{1,9})H(?P<minutes>\d{1,9})M(?P<seconds>\d{1,9}(?:\.\d+)?)S", re.ASCII
)


def is_error_value(value: Value) -> bool:
    """Return whether a value is an error, which is either an error text or a number that is not finite."""
    return value in ERRORS if isinstance(value, str) else isinstance(value, float) and not math.isfinite(value)


def convert_duration(text: str) -> Value:
    """Convert an OpenDocument duration to a `timedelta`. Other text is returned unchanged."""
    found = _duration.fullmatch(text)
    if found is None:
        return text
    length = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]), seconds=float(found["seconds"]))
    return -length if found["sign"] else length


def is_text(value: Value) -> bool:
    """Return whether a cell contains text."""
    return isinstance(value, str) and bool(value)


def is_typed_value(value: Value) -> bool:
    """Return whether a cell contains a number, a date or a boolean."""
    return not isinstance(value, str)


def format_value(value: Value, unit: str = "", *, has_time: bool = False) -> str:
    """Format a value as text.

    `unit` is the percent or currency sign of its number format, or the zeros to which an identifier is padded. If
    `has_time` is set, dates are written with their time, which is midnight.
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
            return f"{value.isoformat()} 00:00:00" if has_time else value.isoformat()
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


def _round_to_seconds(timestamp: datetime) -> datetime:
    """Round to whole seconds. Sheets store times as fractions of a day, which are rarely exact."""
    return (timestamp + timedelta(microseconds=500_000)).replace(microsecond=0)
