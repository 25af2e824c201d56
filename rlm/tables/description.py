"""Describes tables to a model: their columns with values, some rows, and the text around each table.

Except for the frame, the description consists of text from the documents. Each value is on one line and sanitized by
`to_one_line`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, zip_longest

from ingest.storage.counts import format_count
from ingest.storage.tables.parquet import quote_literal
from ingest.storage.tables.profiles import ELLIPSIS, MAX_VALUE_CHARS, truncate_text
from ingest.storage.tables.types import Column, ColumnProfile, ColumnType
from rlm.untrusted import to_one_line

# Maximum number of characters for tables in a prompt: in general, if there are many tables, and for the choice of a
# strategy. Models with a large context window get more.
DESCRIBED_CHARS, MANY_TABLES_CHARS, _OUTLINE_CHARS = 12_000, 6_000, 2_500
# Maximum fractions of these characters if there are many tables: for the columns, for the values and rows of one table,
# and for each of the tables of documents and sections. A table gets at least this many characters for its columns.
_SHARE_OF_COLUMNS, _SHARE_OF_ONE, _SHARE_OF_OTHERS = 3 / 4, 1 / 3, 1 / 4
_FEWEST_BRIEF_CHARS = 240
_MAX_COLUMNS = 60
_NAME_CHARS = 80
_UNIT_CHARS = 8
# Number of examples that are shown for values that occur only once, if a column has more values than the second number.
_EXAMPLES, _MOST_NAMES = 3, 24
_BRIEF_CHARS = 120  # Maximum length of a caption; a longer caption is truncated to its last characters.
# Maximum number of characters for the values of all columns of a table, and minimum number for one column.
_VALUES_CHARS, _FEWEST_VALUES_CHARS = 4_000, 80
# Fraction of the characters for the most common values, if not all values are shown. The rarest values get the
# remaining characters.
_SHARE_OF_COMMON = 2 / 3
# Maximum number of characters for all cells of a row, and minimum number for one cell.
_ROW_CHARS, _FEWEST_CELL_CHARS = 1_600, 16
_FRAME_CHARS = len("  columns:  and 1,000 more") + 2 * len("\n")
_EMPTY = "(empty)"


@dataclass(frozen=True)
class Surroundings:
    """The lines above and below a table in its document, such as notes, or a caption that gives the unit of numbers."""

    name: str
    rows: int
    above: str
    below: str


@dataclass(frozen=True)
class TableContents:
    """The profiles of a table's first columns, as far as they are known, and some of its rows, keyed by number.

    `around` is the text around the first of the `parts` document tables that were merged into this table.
    """

    columns: Sequence[ColumnProfile | None] = ()
    rows: Mapping[int, Sequence[str | None]] = field(default_factory=dict)
    around: Sequence[Surroundings] = ()
    parts: int = 1


@dataclass(frozen=True)
class DescribedTable:
    """A table to describe: its name and columns in SQL, its number of rows, and a description of its source."""

    name: str
    columns: Sequence[Column]
    rows: int | None
    source: str
    contents: TableContents | None


@dataclass(frozen=True)
class Description:
    """The text about tables, and the names of tables by how they are shown: in full, by columns, or not at all."""

    text: str
    whole: frozenset[str]
    brief: frozenset[str]
    omitted: frozenset[str]


def describe_tables(
    record_tables: Sequence[DescribedTable], other_tables: Sequence[DescribedTable], max_chars: int
) -> Description:
    """Describe tables for a prompt: all `other_tables`, and as many `record_tables` as fit, starting with the first.

    As many tables as fit are shown with at least their columns. The first of these are also shown with values and rows.
    The remaining tables are only counted.
    """
    always = ["\n".join(_render_full_table(table, max_chars)) for table in other_tables]
    if sum(map(len, always)) + len(record_tables) * _FEWEST_BRIEF_CHARS > max_chars:
        share = int(max_chars * _SHARE_OF_OTHERS)
        always = [_render_share(table, share) or _render_brief_table(table, share) for table in other_tables]
    room = max(0, max_chars - sum(map(len, always)))
    most = int(max(max_chars * _SHARE_OF_ONE, max_chars / max(1, len(record_tables))))
    most_brief = max(_FEWEST_BRIEF_CHARS, room // max(1, len(record_tables)))
    in_brief = [_render_brief_table(table, most_brief) for table in record_tables]
    brief = _select_fitting_strings(in_brief, 0, int(room * _SHARE_OF_COLUMNS))
    room -= sum(map(len, brief.values()))
    whole: dict[int, str] = {}
    for at, table in enumerate(record_tables[: max(1, len(brief))]):
        text = _render_share(table, most) if table.contents else ""
        added = len(text) - len(brief.get(at, ""))
        # guard: table-prompt-room
        if text and (not whole or added <= room):
            whole[at] = text
            room -= added
    brief |= _select_fitting_strings(in_brief, max(1, len(brief)), room)
    only_brief = {at: text for at, text in brief.items() if at not in whole}
    names = [table.name for table in record_tables]
    omitted = [name for at, name in enumerate(names) if at not in whole and at not in brief]
    lines = [
        *whole.values(),
        *always,
        *_render_omission_note(len(only_brief)),
        *only_brief.values(),
        *_render_table_count(len(omitted)),
    ]
    return Description(
        "\n".join(lines),
        frozenset(names[at] for at in whole),
        frozenset(names[at] for at in only_brief),
        frozenset(omitted),
    )


def outline_tables(
    relevant_tables: Sequence[DescribedTable], other_tables: Sequence[DescribedTable], omitted_tables: int
) -> str:
    """Describe tables for the choice of a strategy, which needs no values and few rows.

    The columns of `other_tables` are shown, and the columns and a row of as many `relevant_tables` as fit. The rest and
    `omitted_tables` are only counted.
    """
    most = int(_OUTLINE_CHARS * _SHARE_OF_ONE)
    always = [_render_brief_table(table, most) for table in other_tables]
    texts = ["\n".join((_render_brief_table(table, most), *_render_rows(table, most))) for table in relevant_tables]
    shown = _select_fitting_strings(texts, 0, _OUTLINE_CHARS - sum(map(len, always)))
    omitted_tables += len(texts) - len(shown)
    return "\n".join((*always, *shown.values(), *_render_table_count(omitted_tables)))


def _select_fitting_strings(strings: Sequence[str], start: int, max_chars: int) -> dict[int, str]:
    """Return as many of the texts as fit, starting with index `start`, keyed by index."""
    lengths = accumulate(map(len, strings[start:]))
    return {
        at: text
        for at, (text, length) in enumerate(zip(strings[start:], lengths, strict=True), start)
        if length <= max_chars
    }


def _render_omission_note(table_count: int) -> Iterator[str]:
    tables = "this table" if table_count == 1 else f"these {table_count:,} tables"
    if table_count:
        yield f"There was no room for the values and rows of {tables}:"


def _render_share(table: DescribedTable, most_chars: int) -> str:
    """Render a table with as much of its contents as fit in its share of the characters.

    If its lines do not fit, the captions of merged tables after the first are left out, then as many rows as necessary
    except the first, then the values of the columns. The result is empty if even that is too long.
    """
    contents = table.contents or TableContents()
    rows = list(contents.rows.items())
    fewer = [replace(contents, around=contents.around[:1], rows=dict(rows[:n])) for n in range(len(rows), 0, -1)]
    for shown in (contents, *fewer, *(replace(each, columns=()) for each in fewer[-1:])):
        text = "\n".join(_render_full_table(replace(table, contents=shown), most_chars))
        # guard: table-prompt-share
        if len(text) <= most_chars:
            return text
    return ""


def _render_full_table(table: DescribedTable, max_chars: int = DESCRIBED_CHARS) -> Iterator[str]:
    """Yield all lines about a table.

    Its values get at most half of the characters, and its rows get the rest.
    """
    contents = table.contents or TableContents()
    yield _render_table_heading(table)
    yield from _render_captions(contents)
    shown = table.columns[:_MAX_COLUMNS]
    is_whole = table.rows is not None and len(contents.rows) >= table.rows
    if is_whole or not any(contents.columns):
        yield _render_columns(table)
    else:
        yield "  columns:"
        columns = list(zip_longest(shown, contents.columns[: len(shown)]))
        rows, of_all = table.rows or 0, min(_VALUES_CHARS, max_chars // 2)
        room = max(
            _FEWEST_VALUES_CHARS,
            _compute_cell_length([_render_profile(each, rows, of_all) if each else "" for _, each in columns], of_all),
        )
        for column, profile in columns:
            yield f"    {_render_column(column)}{_render_profile(profile, rows, room) if profile else ''}"
        if len(table.columns) > len(shown):
            yield f"    and {len(table.columns) - len(shown):,} more columns, which are left out"
    yield from _render_rows(table, max_chars)


def _render_rows(table: DescribedTable, max_chars: int) -> Iterator[str]:
    contents = table.contents or TableContents()
    of_one = min(_ROW_CHARS, max_chars // (2 * max(1, len(contents.rows))))
    for number, row in contents.rows.items():
        cells = [_EMPTY if cell is None else to_one_line(cell) for cell in row[:_MAX_COLUMNS]]
        room = max(_FEWEST_CELL_CHARS, _compute_cell_length(cells, of_one))
        yield f"  row {number}: {' | '.join(truncate_text(cell, room) for cell in cells)}"


def _render_captions(contents: TableContents) -> Iterator[str]:
    """Yield the lines above and below a table.

    If several tables were merged, their names are included, because they identify the rows.
    """
    for each in contents.around:
        above, name = to_one_line(each.above), to_one_line(each.name, _NAME_CHARS)
        if contents.parts == 1:
            which = ""
        else:
            which = f' "{name}" ({format_count(each.rows, "row")})'
            above = above.removeprefix(name).strip(" /") or "(nothing)"
        if above:
            yield f"  above{which}: {above}"
        if each.below:
            yield f"  below{which}: {to_one_line(each.below)}"
    more = contents.parts - len(contents.around)
    if contents.around and more:
        yield f"  and {format_count(more, 'more table')} with the same columns, with no room for the lines around"


def _render_columns(table: DescribedTable, most_chars: int = DESCRIBED_CHARS) -> str:
    shown = _take_fitting_strings(list(map(_render_column, table.columns[:_MAX_COLUMNS])), most_chars)
    more = len(table.columns) - len(shown)
    return f"  columns: {', '.join(shown)}{f' and {more:,} more' if more > 0 else ''}"


def _render_brief_table(table: DescribedTable, most_chars: int) -> str:
    """Render a table with its columns and, if there is room, the end of its caption, in `most_chars` characters."""
    heading = _render_table_heading(table)
    columns = _render_columns(table, most_chars - len(heading) - _FRAME_CHARS)
    above = to_one_line(table.contents.around[0].above) if table.contents and table.contents.around else ""
    room = min(_BRIEF_CHARS, most_chars - len(heading) - len(columns) - len("  above: "))
    if not above or room < min(len(above), _FEWEST_VALUES_CHARS):
        return f"{heading}\n{columns}"
    return f"{heading}\n  above: {above if len(above) <= room else ELLIPSIS + above[-room:]}\n{columns}"


def _render_table_count(table_count: int) -> Iterator[str]:
    if table_count:
        yield f"{format_count(table_count, 'more table')} {'is' if table_count == 1 else 'are'} not shown here."


def _render_table_heading(table: DescribedTable) -> str:
    rows = "" if table.rows is None else f", {format_count(table.rows, 'row')}"
    return f'Table "{table.name}"{rows}{table.source}'


def _render_column(column: Column) -> str:
    quoted = to_one_line(column.name, _NAME_CHARS).replace('"', '""')
    return f'"{quoted}" {column.type}' + (f" (in {to_one_line(column.unit, _UNIT_CHARS)})" if column.unit else "")


def _render_profile(profile: ColumnProfile, row_count: int, max_chars: int) -> str:
    """Describe a column by its number of empty cells, and by all its values, their range, or the most common ones."""
    found: list[str] = []
    if profile.empty:
        found.append(
            "empty" if profile.empty == row_count else f"{profile.empty:,} empty ({profile.empty / row_count:.0%})"
        )
    different = f"{'' if profile.is_exact else 'about '}{profile.distinct:,} different" if profile.distinct else ""
    # If numbers or dates hardly ever repeat, their range is more informative than a list. Long texts have no useful
    # range.
    repeats = profile.distinct is None or 2 * profile.distinct <= row_count - profile.empty
    if profile.smallest is not None and not (profile.has_all_values and repeats):
        found += [f"{profile.smallest} to {profile.largest}", different]
    elif profile.values and (repeats or profile.longest <= MAX_VALUE_CHARS):
        found.append(f"{different}{_render_values(profile, max_chars, repeats=repeats)}".removeprefix(", "))
    else:
        found += [different, f"up to {format_count(profile.longest, 'character')}" if profile.longest else ""]
    said = "; ".join(filter(None, found))
    return f": {said}" if said else ""


def _render_values(profile: ColumnProfile, max_chars: int, *, repeats: bool) -> str:
    """Return values with their counts, written as in SQL.

    These are all values, or the most and least common ones. They are examples if no value repeats, or if they do not
    all fit and most do not repeat.
    """
    is_bare = profile.type in (ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.BOOLEAN)
    shown = [
        f"{to_one_line(value) if is_bare else quote_literal(to_one_line(value))}{f' ({count:,})' if count > 1 else ''}"
        for value, count in profile.values.items()
    ]
    is_whole = len(", ".join(shown)) <= max_chars
    few = profile.has_all_values and len(shown) <= _MOST_NAMES
    if not few and (max(profile.values.values()) == 1 or not (repeats or is_whole)):
        return f", such as {', '.join(shown[:_EXAMPLES])}"
    if is_whole and profile.has_all_values:
        return f": {', '.join(shown)}"
    often = _take_fitting_strings(shown, int(max_chars * _SHARE_OF_COMMON)) or shown[:1]
    rare = _take_fitting_strings(shown[: len(often) - 1 : -1], max_chars - int(max_chars * _SHARE_OF_COMMON))[::-1]
    return f", most often {', '.join(often)}" + (f"; also {', '.join(rare)}" if rare else "")


def _take_fitting_strings(strings: Sequence[str], max_chars: int) -> Sequence[str]:
    """Return the first texts that fit in `max_chars` characters, counting two extra characters per text for ", "."""
    return strings[: sum(length <= max_chars for length in accumulate(len(text) + 2 for text in strings))]


def _compute_cell_length(cells: Sequence[str], max_chars: int) -> int:
    """Return the maximum cell length with which all cells together fit in `max_chars`.

    Characters that short cells do not use are available to longer ones.
    """
    lengths = sorted(map(len, cells))
    for at, length in enumerate(lengths):
        if length * (len(lengths) - at) > max_chars:
            return max_chars // (len(lengths) - at)
        max_chars -= length
    return max(lengths, default=0)
