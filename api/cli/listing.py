"""Prints lists as tables that never cut an id."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from api.cli.console import Console, remove_control_chars

_LEAST_TEXT_CELLS = 12
_BORDER_CELLS = 3  # Each column has a border and a space on both sides.


@dataclass
class Listing:
    """A table of rows, of which the first column is an id or a name that other commands accept.

    Args:
        columns: the headings.
        texts: the columns that may be wrapped. The others are never cut or wrapped.
        optional: the columns that a narrow terminal does without, the most useful first.

    If the output is not a terminal, the table has all columns, no borders, and one line per row.
    """

    columns: Sequence[str]
    texts: Sequence[str] = ()
    optional: Sequence[str] = ()
    _rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row with one plain text per column. The texts are not markup, and their line breaks are spaces."""
        self._rows.append(tuple(" ".join(remove_control_chars(cell).splitlines()) for cell in cells))

    def print(self, console: Console | None = None) -> None:
        """Print the table, and on standard error the names of columns that a narrow terminal does without."""
        console = console or Console()
        if not console.is_terminal:
            self._print_lines()
            return
        shown, left_out = self._choose_columns(console.width)
        table = Table()
        for column in shown:
            is_text = column in self.texts
            table.add_column(
                column,
                no_wrap=not is_text,
                overflow="fold",
                min_width=min(self._measure(column), _LEAST_TEXT_CELLS) if is_text else self._measure(column),
            )
        for row in self._rows:
            table.add_row(*(Text(row[self.columns.index(column)]) for column in shown))
        # A table that is wider than the terminal continues in the next line of the terminal, and nothing is cut.
        least = self._measure_table(shown)
        console.print(table, width=max(console.width, least), soft_wrap=least > console.width, crop=False)
        if left_out:
            Console(stderr=True).print(
                f"Not shown in {console.width} columns: {', '.join(left_out)}.", style="dim", highlight=False
            )

    def _choose_columns(self, width: int) -> tuple[list[str], list[str]]:
        shown, left_out = list(self.columns), []
        for column in reversed(self.optional):
            if self._measure_table(shown) <= width:
                break
            shown.remove(column)
            left_out.append(column)
        return shown, left_out[::-1]

    def _measure_table(self, columns: Sequence[str]) -> int:
        """Return the least width, in terminal cells, of a table with these columns."""
        widths = (
            min(self._measure(column), _LEAST_TEXT_CELLS) if column in self.texts else self._measure(column)
            for column in columns
        )
        return sum(widths) + _BORDER_CELLS * len(columns) + 1

    def _measure(self, column: str) -> int:
        at = self.columns.index(column)
        return max(cell_len(line) for line in (column, *(row[at] for row in self._rows)))

    def _print_lines(self) -> None:
        widths = [self._measure(column) for column in self.columns]
        for row in (tuple(name.upper() for name in self.columns), *self._rows):
            cells = (text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True))
            sys.stdout.write("  ".join(cells).rstrip() + "\n")
