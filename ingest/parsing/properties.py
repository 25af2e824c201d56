"""The properties that a file states beside its text, such as the sender of a message.

A value is one line of text; one of a column of times is written as `2026-02-05 10:00:00`.
"""

from datetime import datetime

from ingest.storage.tables.types import PROPERTY_COLUMNS, ColumnType
from ingest.storage.texts.normalize import normalize

_MAX_VALUE_CHARS = 8_000
_types = {column.name: column.type for columns in PROPERTY_COLUMNS.values() for column in columns}


def parse_properties(raw: object) -> dict[str, str]:
    """Read properties from where they cannot be trusted, each on one line and cut. Raises `ValueError`."""
    if not isinstance(raw, dict):
        raise ValueError("The properties are of another shape.")
    found: dict[str, str] = {}
    for name, value in raw.items():
        if name not in _types or not isinstance(value, str):
            raise ValueError("A property is of another shape.")
        line = " ".join(normalize(value).split())[:_MAX_VALUE_CHARS].rstrip()
        if line:
            found[name] = format_time(datetime.fromisoformat(line)) if _types[name] is ColumnType.TIMESTAMP else line
    return found


def format_time(moment: datetime) -> str:
    """Write a time as its clock shows it, without its zone."""
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")
