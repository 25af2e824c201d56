"""Find the title lines above a table, and up to three header rows."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from unicodedata import category

from ingest.parsing.cells import parse_number
from ingest.parsing.sheets.blocks import SheetBlock, SheetRow
from ingest.parsing.sheets.values import Value, format_value, is_text, is_typed_value
from ingest.parsing.tables import MAX_NAME_CHARS

_MAX_HEADER_ROWS = 3
_MAX_NOTE_ROWS = 10
_SAMPLED_ROWS = 200


def count_title_rows(block: SheetBlock) -> int:
    """Return the number of title rows at the top of a block.

    A title row has a single text cell, in the first column or merged across the block. Rows of notes may follow.
    """
    if len(block.columns) < 2:
        return 0
    count = 0
    for row in block.rows[:-1]:
        filled = [at for at in block.columns if row.values[at] != ""]
        across = len(filled) > 1 and set(filled[1:]) <= row.spread and len({row.values[at] for at in filled}) == 1
        if not is_text(row.values[filled[0]]) or not (across or filled == [block.columns[0]]):
            break
        count += 1
    # guard: sheet-notes-above-header
    return count + _count_note_rows(block.rows[count:], block.columns)


def _count_note_rows(rows: Sequence[SheetRow], columns: Sequence[int]) -> int:
    """Return the number of rows with scattered text above the header, which is the first row with text in all columns.

    Returns 0 for a single such row and for rows with merged cells, because they may be part of the header.
    """
    for at, row in enumerate(rows[: _MAX_NOTE_ROWS + 1]):
        cells = [row.values[column] for column in columns]
        if all(map(is_text, cells)):
            names = at + bool(row.spread)
            return at if at > 1 and _has_names_over_values(rows[names : names + 2], columns) else 0
        if row.spread or any(map(is_typed_value, cells)):
            return 0
    return 0


def _has_names_over_values(rows: Sequence[SheetRow], columns: Sequence[int]) -> bool:
    """Return whether the first row has a distinct name for each column, and the second row has typed values."""
    if len(rows) < 2:
        return False
    names, values = ([row.values[at] for at in columns] for row in rows)
    is_named = all(map(is_text, names)) and len({format_value(cell).casefold() for cell in names}) == len(names)
    return is_named and any(map(is_typed_value, values))


def count_header_rows(rows: Sequence[SheetRow], columns: Sequence[int]) -> int:
    """Return the number of header rows at the top, or 0 if the first row looks like the rows below it.

    The header may include a row of units at its end, and a row with a few words at its start, as in pivot tables.
    """
    count = 1
    if not _has_column_names(rows, columns):
        if not _is_group_header(rows, columns):
            return 0
        count = 2
    while count < min(_MAX_HEADER_ROWS, len(rows) - 1) and _is_header_continuation(
        rows[count - 1], rows[count], columns
    ):
        count += 1
    while count < min(_MAX_HEADER_ROWS + 1, len(rows) - 1) and _is_unit_row(rows[count], columns):
        count += 1
    return count


def build_column_names(rows: Sequence[SheetRow], columns: Sequence[int]) -> list[str]:
    """Return the name of each column: the distinct texts of its header cells, joined."""
    return [
        " ".join(dict.fromkeys(text for row in rows if (text := format_value(row.values[at]).strip())))
        for at in columns
    ]


def format_column_letters(column: int) -> str:
    """Return the spreadsheet name of a column, counted from 0: A, B, …, Z, AA."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def _has_column_names(rows: Sequence[SheetRow], columns: Sequence[int]) -> bool:
    """Return whether the first row has names: text above typed values, or distinct texts that no row below repeats."""
    cells = [rows[0].values[at] for at in columns]
    given = [cell for cell in cells if cell != ""]
    typed = [cell for cell in given if is_typed_value(cell)]
    if 2 * len(given) < len(cells) or any(is_text(cell) and len(format_value(cell)) > MAX_NAME_CHARS for cell in given):
        return False
    if typed and not _are_periods(typed):
        return False
    below = rows[1 : 1 + _SAMPLED_ROWS]
    columns_below = [[row.values[at] for row in below if row.values[at] != ""] for at in columns]
    if any(any(map(is_typed_value, values)) for values in columns_below):
        return len(typed) < len(given)
    repeated = any(cell != "" and cell in values for cell, values in zip(cells, columns_below, strict=True))
    return not typed and not repeated and len({format_value(cell).casefold() for cell in given}) == len(given)


def _is_group_header(rows: Sequence[SheetRow], columns: Sequence[int]) -> bool:
    """Return whether the first row groups columns: it has text in less than half of them, above a complete header."""
    given = [rows[0].values[at] for at in columns if rows[0].values[at] != ""]
    if len(rows) < 3 or 2 * len(given) >= len(columns) or not all(map(is_text, given)):
        return False
    below = rows[2 : 2 + _SAMPLED_ROWS]
    if any(rows[1].values[at] == "" for at in columns):
        return False
    return any(is_typed_value(row.values[at]) for row in below for at in columns) and _has_column_names(
        rows[1:], columns
    )


def _is_header_continuation(previous_row: SheetRow, row: SheetRow, columns: Sequence[int]) -> bool:
    """Return whether a row continues the header: it has names below merged or empty cells of the row above."""
    filled = [at for at in columns if row.values[at] != ""]
    typed = [row.values[at] for at in filled if is_typed_value(row.values[at])]
    if len(filled) < 2 or (typed and not _are_periods(typed)):
        return False
    return any(at in previous_row.spread or previous_row.values[at] == "" for at in filled) and any(
        at in previous_row.spread for at in columns
    )


def _is_unit_row(row: SheetRow, columns: Sequence[int]) -> bool:
    """Return whether a row contains the units of the columns."""
    cells = [format_value(row.values[at]).strip() for at in columns if row.values[at] != ""]
    return len(cells) > 1 and all(map(_is_unit_label, cells))


def _is_unit_label(text: str) -> bool:
    """Return whether a cell's text is a currency or percent sign, or is in brackets but not a negative number."""
    if text and all(sign == "%" or category(sign) == "Sc" for sign in text):
        return True
    return text[:1] + text[-1:] in ("()", "[]") and parse_number(text, decimal_comma=False) is None


def _are_periods(cells: Sequence[Value]) -> bool:
    """Return whether cells are consecutive years or ascending dates, as in a table with a column per period."""
    found = list(dict.fromkeys(cells))  # Several headings may have columns for the same periods.
    if len(found) > 1 and all(isinstance(cell, date) for cell in found):
        return all(str(before) < str(after) for before, after in pairwise(found))
    years = [cell for cell in found if isinstance(cell, int | float) and cell == int(cell) and 1000 <= cell < 3000]
    return len(found) == len(years) > 1 and all(abs(after - before) == 1 for before, after in pairwise(years))
