"""Find the code that each `guard:` mark covers, and replace it."""

import functools
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.guards.table import Guard

# Where guards stand; tests are not guarded.
GUARDED = ("api", "deploy", "ingest", "retrieval", "rlm", "workers", "pyproject.toml")
# A comment of Python, YAML, shell, TOML and Docker; JS; SQL; Helm; CSS; Jinja; HTML. It ends its line.
_MARK = re.compile(
    r"(?:#|//|--|\{\{-?\s*/\*|/\*|\{#|<!--)\s*guard: (?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*)"
    r"\s*(?:\*/(?:\s*-?\}\})?|#\}|-->)?\s*$"
)
_COMMENT = re.compile(r"\s*#")


class BrokenGuardError(Exception):
    """A row of the table cannot be applied to the source. The message says why."""


@dataclass(frozen=True)
class Mark:
    """A mark in line `line` (from 0) of `file`, relative to the root. A trailing mark follows code in its own line."""

    slug: str
    file: Path
    line: int
    is_trailing: bool


@dataclass(frozen=True)
class _Statement:
    """A logical line of Python, in lines `start` to `stop` (exclusive, from 0); a header begins a block."""

    start: int
    stop: int
    indent: int
    is_header: bool


def find_marks(root: Path) -> list[Mark]:
    """Find every mark below `root`."""
    marks: list[Mark] = []
    for file in _list_files(root):
        content = file.read_bytes()
        if b"guard: " in content and b"\0" not in content:
            marks += _find_in(content.decode("utf-8"), file.relative_to(root))
    return marks


def replace_region(text: str, mark: Mark, guard: Guard) -> str:
    """Return the text of the mark's file without the guard. Raises `BrokenGuardError`."""
    lines = list(io.StringIO(text))
    is_python = mark.file.suffix == ".py"
    start, stop, is_statement = _find_region(lines, mark, guard, is_python=is_python)
    replacement = guard.replacement.strip("\n")
    if is_statement and not replacement.strip():
        replacement = "pass"
    indent = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
    put = [f"{indent}{line}\n" if line else "\n" for line in replacement.split("\n")] if replacement else []
    changed = "".join([*lines[:start], *put, *lines[stop:]])
    if changed == text:
        raise BrokenGuardError(f"The replacement of {guard.slug} changes nothing.")
    if is_python:
        _require_compiling(changed, guard, mark)
    return changed


def _list_files(root: Path) -> Iterator[Path]:
    for part in GUARDED:
        found = root / part
        for file in sorted(found.rglob("*")) if found.is_dir() else [found]:
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


def _find_in(text: str, file: Path) -> Iterator[Mark]:
    for number, line in enumerate(io.StringIO(text)):
        if found := _MARK.search(line):
            yield Mark(found["slug"], file, number, bool(line[: found.start()].strip()))


def _find_region(lines: list[str], mark: Mark, guard: Guard, *, is_python: bool) -> tuple[int, int, bool]:
    """Return the lines of the region, and whether it is a statement of Python."""
    start = mark.line if mark.is_trailing else _skip_comments(lines, mark.line + 1, is_python=is_python)
    start += guard.skip
    if start + (guard.lines or 1) > len(lines):
        raise BrokenGuardError(f"There is no code below the mark of {guard.slug} in {mark.file}.")
    statements = _list_statements("".join(lines)) if is_python else []
    first = next((number for number, each in enumerate(statements) if each.start == start), None)
    if first is None or mark.is_trailing:
        return start, start + (guard.lines or 1), False
    if guard.lines:
        return start, start + guard.lines, True
    return start, _end_of(statements, first, guard), True


def _skip_comments(lines: list[str], start: int, *, is_python: bool) -> int:
    """Skip other marks, which may stand between a mark and its region, and comments of Python."""
    while start < len(lines) and (_MARK.search(lines[start]) or (is_python and _COMMENT.match(lines[start]))):
        start += 1
    return start


def _end_of(statements: list[_Statement], number: int, guard: Guard) -> int:
    """Return the end of a statement: of its whole block, unless one header replaces another."""
    first = statements[number]
    stop = first.stop
    if first.is_header and not guard.replacement.rstrip().endswith(":"):
        for each in statements[number + 1 :]:
            if each.indent <= first.indent:
                break
            stop = each.stop
    return stop


@functools.lru_cache(maxsize=256)
def _list_statements(text: str) -> list[_Statement]:
    statements: list[_Statement] = []
    tokens: list[tokenize.TokenInfo] = []
    layout = {tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.COMMENT}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NEWLINE:
            row, column = tokens[0].start
            statements.append(_Statement(row - 1, token.end[0], column, tokens[-1].string == ":"))
            tokens = []
        elif token.type not in layout:
            tokens.append(token)
    return statements


def _require_compiling(text: str, guard: Guard, mark: Mark) -> None:
    try:
        compile(text, str(mark.file), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise BrokenGuardError(f"{mark.file} does not compile without {guard.slug}: {error}") from error
