"""Profiles of record tables: empty cells and values of each column, and a few sample rows, all as short strings.

A profile shows how values are spelled, so that a query can be written without reading all rows. It is computed once,
when the table is stored, using bounded memory.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from ingest.storage.tables.types import ColumnProfile, ColumnType

# Maximum number of columns with a profile, and maximum number of distinct values that are counted individually.
MAX_PROFILED_COLUMNS = 60
MAX_COUNTED_VALUES = 1_000
MAX_LISTED_VALUES = 48
# Number of listed values that are the rarest ones, if a column has more values: misspellings are rare.
_RAREST_VALUES = 16
MAX_WHOLE_ROWS = 12  # Maximum number of rows in a table that is shown completely.
MAX_VALUE_CHARS = 60
MAX_CELL_CHARS = 80
ELLIPSIS = "…"
_NUMERIC_TYPES = (ColumnType.INTEGER, ColumnType.NUMBER)
ORDERED_TYPES = (*_NUMERIC_TYPES, ColumnType.DATE, ColumnType.TIMESTAMP)


def choose_sample_rows(row_count: int) -> list[int]:
    """Choose the sample rows for a profile, and return their numbers.

    For a short table, these are all rows; otherwise the first two, the middle and the last row. The last row may be a
    total.
    """
    if row_count <= MAX_WHOLE_ROWS:
        return list(range(1, row_count + 1))
    return [1, 2, (row_count + 1) // 2, row_count]


def truncate_text(text: str, max_chars: int) -> str:
    """Truncate a string to `max_chars` characters. A truncated string ends in an ellipsis."""
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}{ELLIPSIS}"


def format_value(value: object) -> str:
    """Format a value as SQL does, without quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def select_profile_values(counts: Mapping[str, int]) -> dict[str, int]:
    """Select the values to list in a profile: the most common ones, followed by the rarest.

    Equally common values are in alphabetical order.
    """
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    if len(ordered) <= MAX_LISTED_VALUES:
        return dict(ordered)
    return dict([*ordered[: MAX_LISTED_VALUES - _RAREST_VALUES], *ordered[-_RAREST_VALUES:]])


def compute_column_profile(values: Iterable[object], column_type: ColumnType) -> ColumnProfile:
    """Compute the profile of a column whose values are in memory."""
    values = list(values)
    counts = Counter(format_value(value) for value in values if value is not None)
    bounds = sorted(counts, key=_build_sort_key(column_type)) if column_type in ORDERED_TYPES else []
    shown = Counter[str]()
    for text, count in counts.items() if len(counts) <= MAX_COUNTED_VALUES else ():
        shown[truncate_text(text, MAX_VALUE_CHARS)] += count
    return ColumnProfile(
        column_type,
        sum(value is None for value in values),
        len(counts),
        select_profile_values(shown),
        bounds[0] if bounds else None,
        bounds[-1] if bounds else None,
        max(map(len, counts), default=0) if column_type is ColumnType.TEXT else 0,
    )


def merge_profiles(profiles: Sequence[ColumnProfile], column_type: ColumnType) -> ColumnProfile:
    """Merge the profiles of a column that occurs in several tables. `column_type` is the merged column's type."""
    if len(profiles) == 1:
        return profiles[0]
    counts = Counter[str]()
    for each in profiles:
        counts.update(each.values)
    is_listed = all(each.has_all_values for each in profiles)
    bounds = [each for profile in profiles for each in (profile.smallest, profile.largest) if each is not None]
    is_ordered = column_type in ORDERED_TYPES and all(each.type in ORDERED_TYPES for each in profiles)
    has_counts = all(each.values or not each.distinct for each in profiles) and len(counts) <= MAX_COUNTED_VALUES
    return ColumnProfile(
        column_type,
        sum(each.empty for each in profiles),
        len(counts) if is_listed else None,
        select_profile_values(counts) if has_counts else {},
        min(bounds, key=_build_sort_key(column_type)) if bounds and is_ordered else None,
        max(bounds, key=_build_sort_key(column_type)) if bounds and is_ordered else None,
        max(each.longest for each in profiles),
    )


def _build_sort_key(column_type: ColumnType) -> Callable[[str], Decimal | str]:
    return Decimal if column_type in _NUMERIC_TYPES else str
