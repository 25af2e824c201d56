"""Properties that a file states in addition to its text, such as the sender of a message.

A value is one line of text; a time is written as `2026-02-05 10:00:00`.
"""

from datetime import datetime

from ingest.storage.tables.types import PROPERTY_COLUMNS, ColumnType
from ingest.storage.texts.normalize import normalize

_MAX_VALUE_CHARS = 8_000
_types = {column.name: column.type for columns in PROPERTY_COLUMNS.values() for column in columns}


def parse_properties(raw: object) -> dict[str, str]:
    """Validate properties from an untrusted source. Values are put on one line and truncated.

    Raises `ValueError` if they are invalid.
    """
    if not isinstance(raw, dict):
        raise ValueError("The properties have the wrong shape.")
    found: dict[str, str] = {}
    for name, value in raw.items():
        if name not in _types or not isinstance(value, str):
            raise ValueError("A property has the wrong shape.")
        line = " ".join(normalize(value).split())[:_MAX_VALUE_CHARS].rstrip()
        if line:
            found[name] = format_time(datetime.fromisoformat(line)) if _types[name] is ColumnType.TIMESTAMP else line
    return found


def format_time(moment: datetime) -> str:
    """Format a time as its wall-clock time, without the time zone."""
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")
