"""Keeps the fields by a model that a document states: names that its text has, and times that its text mentions."""

import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import date, timedelta

from ingest.describing.dates import find_times
from ingest.describing.fields import limit_size
from ingest.storage.documents.cards.records import CardFields, parse_date, parse_period_start

_NO_WORD = re.compile(r"[\W_]+")


def keep_stated_fields(found: CardFields, text: str, name: str, language: str | None) -> CardFields:
    """Return the fields without values that neither the text nor the name of the file has. A field may become None.

    The title, the version and the subjects must occur as whole words; case, width and punctuation do not count. A
    period or date must be one that the text mentions, in any notation, and a period may also contain such a time. The
    kind and the language are classes rather than names, so they need not occur. `language` is the language of the text.
    """
    words = _fold(f"{text}\n{name}")
    languages = dict.fromkeys((language, found.language))
    times = {
        each.value
        for code in languages
        for part, is_name in ((text, False), (name, True))
        for each in find_times(part, code, is_name=is_name)
    }

    def is_stated(value: str) -> bool:
        return _has_words(words, _fold(value))

    def is_mentioned(value: str) -> bool:
        return value in times or (len(value) == 4 and is_stated(value)) or _contains_any(value, times)

    # guard: described-values-stated
    kept = replace(
        found,
        title=_keep(found.title, is_stated),
        version=_keep(found.version, is_stated),
        subjects=_keep_all(found.subjects, is_stated),
        periods=_keep_all(found.periods, is_mentioned),
        dates=_keep_all(found.dates, lambda value: value in times),
    )
    return limit_size(kept)


def _keep(value: str | None, is_right: Callable[[str], bool]) -> str | None:
    return value if value and is_right(value) else None


def _keep_all(values: Collection[str] | None, is_right: Callable[[str], bool]) -> tuple[str, ...] | None:
    return tuple(filter(is_right, values or ())) or None


def _fold(text: str) -> str:
    return _NO_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _has_words(words: str, wanted: str) -> bool:
    """Return whether folded words contain others that do not begin or end inside a word or number.

    In scripts without upper case, which may have no spaces, words may begin and end anywhere.
    """
    padded = f" {words} "
    start = padded.find(wanted, 1) if wanted else -1
    while start > 0:
        end = start + len(wanted)
        if not (_are_joined(padded[start - 1], wanted[0]) or _are_joined(wanted[-1], padded[end])):
            return True
        start = padded.find(wanted, start + 1)
    return False


def _are_joined(first: str, second: str) -> bool:
    """Return whether two characters are both digits, or both letters of a script with upper case."""
    return (first.isdigit() and second.isdigit()) or (first != first.upper() and second != second.upper())


def _contains_any(period: str, times: Collection[str]) -> bool:
    """Return whether one of the times lies within the period."""
    first, end = _get_bounds(period)
    return any(first <= start and stop <= end for start, stop in map(_get_bounds, times))


def _get_bounds(time: str) -> tuple[date, date]:
    """Return the first day of a date or period, and the day after its last one."""
    first = parse_date(time) or parse_period_start(time)
    if first is None:
        raise ValueError(f"{time!r} is neither a date nor a period.")
    if first.year == date.max.year:
        return first, date.max
    if len(time) == 10:
        return first, first + timedelta(days=1)
    months = 12 if len(time) == 4 else {"Q": 3, "H": 6}.get(time[5], 1)
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return first, date(year, month + 1, 1)
