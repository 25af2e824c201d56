"""Renders a table answer: the planned sentence with the result filled in, and the result as a Markdown table.

Cells contain text from documents or from a model, so they are escaped: nothing in them may act as Markdown, HTML or a
marker.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal, localcontext

from babel import Locale, UnknownLocaleError
from babel.numbers import format_decimal

from rlm.answers import Interval, Result, convert_to_json_value
from rlm.checking.markers import list_sentence_spans, merge_full_stops
from rlm.tables.sql import SqlResult
from rlm.untrusted import to_one_line

MAX_SHOWN_ROWS = 20
_MAX_LISTED = 20
_CELL_CHARS = 300
_MAX_DIGITS = 400
_PLAIN_FLOATS = 1e15  # Minimum size of floats that are formatted with an exponent.
_MARKDOWN = re.compile(r"([\\`*\[\]<|~]|&(?=#?\w+;)|^[#>+-](?=\s))")
_EMPHASIS = re.compile(r"(?<!\w)_|_(?!\w)")
_MARKER = re.compile(r"\s*\[\d+\]")
_PLACEHOLDER = re.compile(r"\{([^{}]{1,100})\}")
_LIST = "list:"
_ROW_COUNT = "row_count"
_NO_ROWS = "No record matches the question."
_RESULT_HEADING = "The result of the query:"
_EMPTY = "—"
ENGLISH = Locale("en")


class _Figure(str):
    """A number as it is displayed, with spaces that keep it on one line."""

    __slots__ = ()


def get_locale(tag: str) -> Locale:
    """Return the locale of a BCP 47 tag for formatting numbers, or the English locale if the tag is unknown."""
    try:
        return Locale.parse(tag, sep="-")
    except (ValueError, UnknownLocaleError):
        return ENGLISH


def render_sentence(
    template: str, result: SqlResult, markers: str, row_markers: Sequence[str] = (), locale: Locale = ENGLISH
) -> str:
    """Return the sentences of an answer with their markers.

    `markers` are placed before the end of the first sentence, and `row_markers` at the rows of a list. A fixed sentence
    is used if the result has no rows or values, unless the planned sentence only counts rows. A fixed sentence is also
    used if the result lacks columns named in the planned sentence, or if the plan has no sentence.
    """
    template = _MARKER.sub("", to_one_line(template))
    names = set(_PLACEHOLDER.findall(template))
    if not _has_values(result) and not names & {_ROW_COUNT}:
        return _NO_ROWS
    if not _is_usable_sentence(template, result):
        return _add_markers(_RESULT_HEADING, markers, result)
    known = {name.casefold(): at for at, name in enumerate(result.columns)}

    def fill_placeholder(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name == _ROW_COUNT:
            return _format_number(result.total_rows, 0, locale)
        columns = [known[each.casefold()] for each in _parse_columns(name, result)]
        if name.startswith(_LIST):
            return _render_list(result, columns, row_markers, locale)
        return render_cell(_format_figures(result, locale)[0][columns[0]]) if result.rows else _EMPTY

    return _add_markers(merge_full_stops(_PLACEHOLDER.sub(fill_placeholder, template)), markers, result)


def _is_usable_sentence(template: str, result: SqlResult) -> bool:
    """Return whether a planned sentence has words, and the result has all columns that the sentence names."""
    return not list_unknown_placeholders(template, result) and _has_words(template, result)


def _has_words(template: str, result: SqlResult) -> bool:
    """Return whether a planned sentence contains words of its own or string values, and not only numbers."""
    places = (place.strip() for place in _PLACEHOLDER.findall(template))
    named = {name.casefold() for place in places for name in _parse_columns(place, result)}
    placed = [at for at, column in enumerate(result.columns) if column.casefold() in named]
    texts = (row[at] for row in result.rows for at in placed if isinstance(row[at], str))
    return any(map(str.isalpha, _PLACEHOLDER.sub("", template))) or any(texts)


def list_unknown_placeholders(template: str, result: SqlResult) -> list[str]:
    """Return the placeholders in a sentence that do not name columns of the result."""
    known = {name.casefold() for name in result.columns}
    places = (place.strip() for place in _PLACEHOLDER.findall(template))
    named = (name for place in places if place != _ROW_COUNT for name in _parse_columns(place, result))
    return [name for name in named if name.casefold() not in known]


def needs_table(template: str, result: SqlResult) -> bool:
    """Return whether the sentence alone does not show the whole result, so that a table is needed."""
    if not _has_values(result):
        return False
    places = (place.strip() for place in _PLACEHOLDER.findall(template))
    shown = (place for place in places if place.startswith(_LIST) or result.total_rows == 1)
    placed = {name.casefold() for place in shown for name in _parse_columns(place, result)}
    columns = {
        name.casefold() for at, name in enumerate(result.columns) if at not in find_stated_columns(template, result)
    }
    return not _is_usable_sentence(template, result) or not columns <= placed or result.total_rows > _MAX_LISTED


def has_row_list(template: str, result: SqlResult) -> bool:
    """Return whether the sentence lists the rows of the result."""
    lists = any(place.strip().startswith(_LIST) for place in _PLACEHOLDER.findall(template))
    return lists and _has_values(result) and not list_unknown_placeholders(template, result)


def find_stated_columns(template: str, result: SqlResult) -> set[int]:
    """Return the columns that the sentence names and that have the same value in all rows, such as a total.

    The result is empty if these are all columns of the result.
    """
    named = {place.strip().casefold() for place in _PLACEHOLDER.findall(template)}
    whole = result.total_rows == len(result.rows) >= 1 and _is_usable_sentence(template, result)
    columns = enumerate(zip(result.columns, zip(*result.rows, strict=True), strict=True)) if whole else ()
    found = {
        at for at, (name, column) in columns if name.casefold() in named and column.count(column[0]) == len(column)
    }
    return found if len(found) < len(result.columns) else set()


def render_markdown_table(
    result: SqlResult, excluded_columns: Collection[int] = (), row_markers: Sequence[str] = (), locale: Locale = ENGLISH
) -> str:
    """Return the first rows of a result as a Markdown table, followed by the number of remaining rows.

    Columns in `excluded_columns` are omitted. A row's markers are placed at its end.
    """
    shown = _format_figures(result, locale)[:MAX_SHOWN_ROWS]
    columns = [at for at in range(len(result.columns)) if at not in excluded_columns]
    marked = zip(shown, row_markers or [""] * len(shown), strict=False)
    lines = [
        _render_row(_escape_markdown(result.columns[at]) for at in columns),
        "|" + " --- |" * len(columns),
        *(_render_row(_add_cell_markers([render_cell(each[at]) for at in columns], marker)) for each, marker in marked),
    ]
    more = result.total_rows - len(shown)
    if more <= 0:
        return "\n".join(lines)
    left_out = (
        f"and {more:,} more row{'' if more == 1 else 's'}"
        if _is_english(locale)
        else _render_remaining_count(more, locale)
    )
    return "\n".join([*lines, "", f"… {left_out}"])


def render_cell(value: object) -> str:
    """Return a value formatted for display on one line."""
    return value if isinstance(value, _Figure) else _escape_markdown(_format_value(value))


def build_result(result: SqlResult, interval: Interval | None, max_rows: int) -> Result:
    """Return the result for programs: a number or label for one cell, a list for one column, otherwise a table."""
    rows = [convert_to_json_value(row) for row in result.rows[:max_rows]]
    if len(result.columns) == 1:
        if result.total_rows == 1:
            (value,) = rows[0]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return Result("number" if number else "label", value, interval)
        return Result("list", [row[0] for row in rows])
    return Result("table", [dict(zip(result.columns, row, strict=True)) for row in rows])


def _has_values(result: SqlResult) -> bool:
    return any(value is not None for row in result.rows for value in row)


def _parse_columns(placeholder: str, result: SqlResult) -> list[str]:
    """Return the columns named by a placeholder: one column, or several in `list:name, orders`."""
    name = placeholder.removeprefix(_LIST).strip()
    is_column = name.casefold() in map(str.casefold, result.columns)
    return [name] if is_column or not placeholder.startswith(_LIST) else [each.strip() for each in name.split(",")]


def _render_list(result: SqlResult, columns: Sequence[int], markers: Sequence[str], locale: Locale) -> str:
    """Return the first rows as a list in a sentence. Rows with several columns are written as "Ann (7), Bob (2)".

    Values that contain commas are separated by semicolons.
    """
    rows = [[render_cell(row[at]) for at in columns] for row in _format_figures(result, locale)[:_MAX_LISTED]]
    shown = [first + (f" ({', '.join(others)})" if others else "") for first, *others in rows]
    shown = [f"{each} {marker}" for each, marker in zip(shown, markers, strict=False)] if markers else shown
    more = result.total_rows - len(shown)
    between = "; " if any(", " in each for row in rows for each in row) else ", "
    if more <= 0:
        return between.join(shown)
    left_out = f" and {more:,} more" if _is_english(locale) else f"{between}… {_render_remaining_count(more, locale)}"
    return between.join(shown) + left_out


def _is_english(locale: Locale) -> bool:
    return locale.language == ENGLISH.language


def _render_remaining_count(count: int, locale: Locale) -> str:
    """Return the number of rows omitted from a list, without words."""
    return f"(+{_format_number(count, 0, locale)})"


def _format_figures(result: SqlResult, locale: Locale) -> list[list[object]]:
    """Return the rows with the numbers in each column formatted alike.

    All numbers in a column have the same number of decimals. Counts and sums have thousands separators.
    """
    most = [
        max((len(_format_decimal(each).partition(".")[2]) for each in column if isinstance(each, Decimal)), default=0)
        for column in zip(*result.rows, strict=True)
    ]
    parted = [at in result.quantities for at in range(len(result.columns))]
    return [[_format_figure(*each, locale) for each in zip(row, most, parted, strict=True)] for row in result.rows]


def _format_figure(value: object, decimal_places: int, has_separators: bool, locale: Locale) -> object:
    match value:
        case Decimal():
            return _format_number(value, decimal_places, locale, has_separators=has_separators)
        case int() if has_separators and not isinstance(value, bool):
            return _format_number(value, 0, locale)
        case float() if abs(value) < _PLAIN_FLOATS:
            number = Decimal(_format_float(value))
            return _format_number(
                number, max(0, -int(number.as_tuple().exponent)), locale, has_separators=has_separators
            )
        case _:
            return value


def _format_number(value: int | Decimal, decimal_places: int, locale: Locale, *, has_separators: bool = True) -> str:
    pattern = ("#,##0" if has_separators else "0") + f".{'0' * decimal_places}" * bool(decimal_places)
    with localcontext(prec=_MAX_DIGITS):  # The library raises an error for a number with more than 28 digits.
        return _Figure(format_decimal(value, format=pattern, locale=locale))


def _format_float(value: float) -> str:
    """Return the number without digits that result only from its binary representation."""
    return f"{value:.{10 if abs(value) < 1e10 else 15}g}" if abs(value) < _PLAIN_FLOATS else repr(value)


def _add_markers(text: str, markers: str, result: SqlResult) -> str:
    """Return a string with markers before the end of its first sentence, which gives the answer.

    Any further sentence is about omitted rows.
    """
    if not markers:
        return text
    values = (render_cell(value) for row in result.rows for value in row if isinstance(value, str))
    spans = list_sentence_spans(text, values) or [(0, len(text))]
    body = text[: spans[0][1]].rstrip(".!?:;… ")
    return f"{body} {markers}{text[len(body) :].rstrip()}"


def _add_cell_markers(cells: list[str], markers: str) -> list[str]:
    return [*cells[:-1], f"{cells[-1]} {markers}"] if markers else cells


def _render_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape_markdown(text: str) -> str:
    return _EMPHASIS.sub(r"\\_", _MARKDOWN.sub(r"\\\1", to_one_line(text, _CELL_CHARS)))


def _format_value(value: object) -> str:
    match value:
        case None:
            return _EMPTY
        case bool():
            return "yes" if value else "no"
        case float():
            return _format_float(value)
        case Decimal():
            return _format_decimal(value)
        case datetime():
            return value.isoformat(sep=" ")
        case date():
            return value.isoformat()
        case list() | tuple():
            return ", ".join(map(_format_value, value))
        case _:
            return str(value)


def _format_decimal(value: Decimal) -> str:
    """Return the decimal without trailing zeros that come from its type, but with at least two decimals, if any."""
    text = f"{value:f}"
    whole, point, decimals = text.partition(".")
    kept = decimals.rstrip("0")
    return whole if not kept else f"{whole}{point}{kept.ljust(min(2, len(decimals)), '0')}"
