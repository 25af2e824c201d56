"""The properties that a file states beside its text, such as the sender of a message: their columns, by media type.

A value is one line of text; one of a column of times is written as `2026-02-05 10:00:00`.
"""

from collections.abc import Mapping
from datetime import datetime

from ingest.normalize import normalize
from ingest.parsing.containers import EML, MSG
from ingest.tables import Column, ColumnType

MAIL_SENDER = Column("mail_sender", ColumnType.TEXT)
MAIL_SENDER_ADDRESS = Column("mail_sender_address", ColumnType.TEXT)
MAIL_RECIPIENTS = Column("mail_recipients", ColumnType.TEXT)
MAIL_DATE = Column("mail_date", ColumnType.TIMESTAMP)  # as it is written, in whatever zone
MAIL_DATE_UTC = Column("mail_date_utc", ColumnType.TIMESTAMP)
MAIL_SUBJECT = Column("mail_subject", ColumnType.TEXT)
MAIL = (MAIL_SENDER, MAIL_SENDER_ADDRESS, MAIL_RECIPIENTS, MAIL_DATE, MAIL_DATE_UTC, MAIL_SUBJECT)

PROPERTY_COLUMNS: Mapping[str, tuple[Column, ...]] = {EML: MAIL, MSG: MAIL}

_VALUE_CHARS = 8_000
_types = {column.name: column.type for columns in PROPERTY_COLUMNS.values() for column in columns}


def read_properties(raw: object) -> dict[str, str]:
    """Read properties from where they cannot be trusted, each on one line and cut. Raises `ValueError`."""
    if not isinstance(raw, dict):
        raise ValueError("The properties are of another shape.")
    found: dict[str, str] = {}
    for name, value in raw.items():
        if name not in _types or not isinstance(value, str):
            raise ValueError("A property is of another shape.")
        line = " ".join(normalize(value).split())[:_VALUE_CHARS].rstrip()
        if line:
            found[name] = written_time(datetime.fromisoformat(line)) if _types[name] is ColumnType.TIMESTAMP else line
    return found


def written_time(moment: datetime) -> str:
    """Write a time as its clock shows it, without its zone."""
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")
