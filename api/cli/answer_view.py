"""Renders answers in the terminal, both in progress and complete."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.markup import escape
from rich.segment import Segment
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from api.answers.steps import describe_step
from api.answers.verdicts import describe_verdict, format_sign
from api.cli.console import remove_control_chars
from api.languages.catalogue import Texts
from rlm.checking.levels import Level, find_levels

_LINE_CHARS = 160


def shorten_text(text: str, max_chars: int = _LINE_CHARS) -> str:
    """Collapse whitespace to single spaces, then truncate the text to `max_chars` characters."""
    line = " ".join(text.split())
    return line[:max_chars] + ("…" if len(line) > max_chars else "")


_MAX_SOURCES = 10
_QUOTE_CHARS = 160
_SENTENCE_CHARS = 100
_STYLES = {Level.PROVEN: "green", Level.FOUND: "dim"}  # Any other level is yellow.
_LEGEND = "✓ proven   ~ partly proven   ! not supported by its source"
_ENGLISH = Texts("en")


class StatusLine(Protocol):
    """A status line that can be updated in place, such as `rich.status.Status`."""

    def update(self, status: str) -> None: ...


class LiveAnswer:
    """A live view of the current step and, if `text` is true, the answer so far.

    The view is erased when the `with` block exits.
    """

    def __init__(self, console: Console, *, text: bool) -> None:
        self._live = Live(console=console, transient=True, refresh_per_second=8)
        self._shows_text = text
        self._text, self._doing = "", "Asking …"

    def __enter__(self) -> Self:
        self._live.start()
        self.update(self._doing)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, status: str) -> None:
        """Replace the status line."""
        self._doing = status
        self._live.update(self._build_view())

    def show_event(self, name: str, body: Mapping[str, Any]) -> None:
        """Update the view with one event from the answer stream."""
        if name == "delta" and self._shows_text:
            self._text += body["text"]
            self._live.update(self._build_view())
        elif description := describe_event(name, body):
            self.update(description)

    def _build_view(self) -> RenderableType:
        status = Spinner("dots", Text(shorten_text(self._doing), style="dim"))
        return Group(_MarkdownTail(remove_control_chars(self._text)), status) if self._text else status


class _MarkdownTail:
    """The last lines of a Markdown text, as many as fit in the terminal."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(Markdown(self._text, hyperlinks=False), options.update(height=None), pad=False)
        for line in lines[-max(1, console.height - 3) :]:
            yield from line
            yield Segment.line()


def describe_event(name: str, body: Mapping[str, Any]) -> str:
    """Describe the step that an event announces, or return an empty string if it announces none."""
    return remove_control_chars(describe_step(name, body, Texts("en")))


def print_answer(
    console: Console, answer: Mapping[str, Any], *, sources: bool = True, printed_notes: Sequence[str] = ()
) -> None:
    """Print an answer with the sign of each sentence, its verdict, warnings, table, sources and notes.

    If the output is a file or pipe, the Markdown is written unchanged, without signs. Notes in `printed_notes` are
    skipped.
    """
    levels = find_levels(answer)
    console.print()
    if console.is_terminal:
        console.print(Markdown(remove_control_chars(_insert_signs(answer, levels)), hyperlinks=False))
    else:
        _print_plain_text(console, answer["text"])
    console.print()
    _print_verdict(console, answer, levels)
    _print_sentence_warnings(console, answer, levels)
    if answer["table"]:
        _print_result_table(console, answer)
    if sources:
        print_sources(console, answer)
    for reason in answer["reasons"] if answer["coverage"] else ():
        _print_plain_text(console, f"· {reason}", style="dim")
    for note in answer["notes"]:
        if note not in printed_notes:
            _print_plain_text(console, note, style="dim")
    _print_plain_text(console, _format_answer_summary(answer), style="dim")


def print_sources(console: Console, answer: Mapping[str, Any]) -> None:
    """Print the sources of an answer.

    The first `_MAX_SOURCES` sources are printed with their location and quotations. The others are listed by title, so
    that a long list fits on the screen.
    """
    citations = answer["citations"]
    for citation in citations[:_MAX_SOURCES]:
        quotes = [each["text"] for each in citation.get("quotes", ())] or [citation["quote"]]
        first, *more = (
            f"“{shorten_text(remove_control_chars(quote), _QUOTE_CHARS)}”" if quote else "" for quote in quotes
        )
        source = f"[{citation['number']}] {format_location(citation)}"
        for indent, line in ((4, f"{source}: {first}" if first else source), *((6, f"    {quote}") for quote in more)):
            if console.is_terminal:
                console.print(_HangingIndent(line, indent))
            else:
                _print_plain_text(console, line)
    for title, group in groupby(citations[_MAX_SOURCES:], key=lambda citation: citation["title"]):
        numbers = "".join(f"[{citation['number']}]" for citation in group)
        _print_plain_text(console, f"{numbers} {remove_control_chars(title)}")


def format_location(passage: Mapping[str, Any]) -> str:
    """Format the location of a citation or hit: title, page, slide or row, and nearest heading."""
    if passage.get("deleted"):
        return "a deleted document"
    page = (
        f"page {passage['page']}" if passage.get("page") else ""
    )  # Answers that earlier releases stored have no `place`.
    location = passage.get("place") or page
    headings = " > ".join(passage.get("heading_path", [])[-1:])
    return remove_control_chars(
        f"{passage['title']}" + (f", {location}" if location else "") + (f" ({headings})" if headings else "")
    )


def _insert_signs(answer: Mapping[str, Any], levels: Sequence[Level | None]) -> str:
    """Return the answer's Markdown with the sign of each sentence at its end: in a table, in the last cell of a row."""
    text: str = answer["text"]
    parts, at = [], 0
    for sentence, level in zip(answer["sentences"], levels, strict=True):
        if level is None:
            continue
        written = text[at : sentence["end"]].rstrip()
        in_row = text[sentence["start"] : sentence["end"]].lstrip().startswith("|") and written.endswith("|")
        sign = format_sign(level, _ENGLISH)
        parts.append(f"{written[:-1].rstrip()} {sign} |" if in_row else f"{written} {sign}")
        at += len(written)
    return "".join(parts) + text[at:]


def _print_verdict(console: Console, answer: Mapping[str, Any], levels: Sequence[Level | None]) -> None:
    """Print how many statements are proven and, on a terminal, what the signs in the answer mean."""
    verdict = describe_verdict(answer, _ENGLISH)
    if verdict:
        _print_plain_text(console, verdict, style="bold")
    if console.is_terminal and any(levels):
        console.print(Text(_LEGEND, style="dim"))
    if verdict:
        console.print()


class _HangingIndent:
    """A text whose second and later lines are indented."""

    def __init__(self, text: str, indent: int) -> None:
        self._text, self._indent = text, indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        first, *rest = Text(self._text).wrap(console, max(20, options.max_width - self._indent))
        yield first
        for line in rest:
            yield Text(" " * self._indent) + line


def _print_sentence_warnings(console: Console, answer: Mapping[str, Any], levels: Sequence[Level | None]) -> None:
    """Print a warning for each sentence that is not proven, or only in part, with the reason."""
    for sentence, level in zip(answer["sentences"], levels, strict=True):
        if level is None or not (sentence["reason"] or sentence["check"] == "unsupported"):
            continue
        sign, style = format_sign(level, _ENGLISH), _STYLES.get(level, "yellow")
        reason = remove_control_chars(sentence["reason"]) or "The cited text does not support this sentence."
        excerpt = shorten_text(remove_control_chars(sentence["text"]), _SENTENCE_CHARS)
        console.print(
            Text.assemble((sign, style), f" “{excerpt}” ", (reason, style)), soft_wrap=not console.is_terminal
        )


def _print_result_table(console: Console, answer: Mapping[str, Any]) -> None:
    found = answer["table"]
    quantities = found.get("quantities", ())
    table = Table(*(escape(remove_control_chars(column)) for column in found["columns"]))
    for row in found["rows"]:
        table.add_row(
            *(escape(remove_control_chars(_format_cell_value(value, at in quantities))) for at, value in enumerate(row))
        )
    console.print(table)
    if len(found["rows"]) < found["total_rows"]:
        _print_plain_text(
            console, f"Showing the first {len(found['rows']):,} of {found['total_rows']:,} rows.", style="dim"
        )
    for column, instruction in found["semantic_columns"].items():
        _print_plain_text(console, f"{column} (filled in by the model): {instruction}", style="dim")
    _print_plain_text(console, found["sql"], style="dim")


def _format_cell_value(value: object, is_quantity: bool) -> str:
    if is_quantity and isinstance(value, int | float):
        return f"{value:,}"
    return "" if value is None else str(value)


def _format_answer_summary(answer: Mapping[str, Any]) -> str:
    """Format one line with the answer's status, strategy, model, duration, row count and cost."""
    rows = f"based on {answer['rows_behind_total']:,} rows" if answer["rows_behind_total"] else ""
    cost = f"${answer['dollars']:.4f}" if answer["dollars"] else ""
    status = str(answer["status"]).replace("_", " ")
    parts = [status, answer["strategy"], answer["model"] or "no language model"]
    seconds = f"{answer['timings_ms'].get('total', 0.0) / 1000:.1f} s"
    return " · ".join(filter(None, [*parts, seconds, rows, cost]))


def _print_plain_text(console: Console, text: str, *, style: str = "") -> None:
    """Print text without markup and without wrapping lines."""
    console.print(Text(remove_control_chars(text), style=style), soft_wrap=True)
