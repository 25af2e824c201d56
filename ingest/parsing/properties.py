"""Properties that a file states about itself, such as the sender of a message.

A value is one line of text. A time is written as `2026-02-05 10:00:00`.
"""

from datetime import datetime

from ingest.storage.tables.types import PROPERTY_COLUMNS, ColumnType
from ingest.storage.texts.normalize import normalize

_MAX_VALUE_CHARS = 8_000
_types = {column.name: column.type for columns in PROPERTY_COLUMNS.values() for column in columns}


def parse_properties(properties: object) -> dict[str, str]:
    """Validate properties from an untrusted source, and truncate each value to one line of limited length.

    Raises `ValueError` if they are invalid.
    """
    if not isinstance(properties, dict):
        raise ValueError("The properties are not an object.")
    found: dict[str, str] = {}
    for name, value in properties.items():
        if name not in _types or not isinstance(value, str):
            raise ValueError("A property has an unknown name or is not a string.")
        line = " ".join(normalize(value).split())[:_MAX_VALUE_CHARS].rstrip()
        if line:
            found[name] = format_time(datetime.fromisoformat(line)) if _types[name] is ColumnType.TIMESTAMP else line
    return found


def format_time(timestamp: datetime) -> str:
    """Format a time as wall-clock time, without its time zone."""
    return timestamp.replace(tzinfo=None).isoformat(" ", "seconds")
