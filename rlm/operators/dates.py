"""Dates as records write them."""

import re
from datetime import date, datetime

_FORMATS = (
    "%Y-%m-%d",
    "%b %d %Y",
    "%B %d %Y",
    "%d %b %Y",
    "%d %B %Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%Y/%m/%d",
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NOISE = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b|,", re.IGNORECASE)
_CLOCK = re.compile(r"[T ]\d\d:\d\d.*$")
WRITTEN = (
    r"(?:\d{4}-\d\d-\d\d|\d{1,2}/\d{1,2}/\d{4}|\d{1,2}\.\d{1,2}\.\d{4}"
    r"|[A-Z][a-z]{2,8}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}|\d{1,2}(?:st|nd|rd|th)? [A-Z][a-z]{2,8}\.?,? \d{4})"
)
"""A pattern of dates inside sentences."""

_MONTH = re.compile(r"(?:(\d{1,2})/(\d{4})|(\d{4})-(\d{1,2})|([A-Za-z]{3})[a-z]*\.?,? (\d{4}))")


def read_date(text: str) -> date | None:
    """The day; slashes are month first, as in 10/14/2022, and dots day first. None for what is no date."""
    plain = " ".join(_NOISE.sub("", _CLOCK.sub("", text.strip())).replace(". ", " ").split())
    for form in _FORMATS:
        try:
            return datetime.strptime(plain, form).date()
        except ValueError:
            continue
    return None


def has_clock(text: str) -> bool:
    """Whether a date has an hour with it, which `read_date` leaves out."""
    return _CLOCK.search(text) is not None


def read_month(text: str) -> str | None:
    """A month as `2023-04`, from `04/2023`, `2023-04` or `April 2023`; None for what is none."""
    match = _MONTH.fullmatch(text.strip())
    if match is None:
        return None
    if match[5]:
        name = match[5].lower()
        return f"{int(match[6]):04}-{_MONTHS.index(name) + 1:02}" if name in _MONTHS else None
    month, year = (int(match[1]), int(match[2])) if match[1] else (int(match[4]), int(match[3]))
    return f"{year:04}-{month:02}" if 1 <= month <= 12 else None


def month_of(day: date) -> str:
    return f"{day.year:04}-{day.month:02}"
