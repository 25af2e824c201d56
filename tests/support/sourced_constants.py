"""Reads a module that is a table of constants: what each decides, its unit and its source, from its comments."""

import ast
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourcedConstant:
    """A constant with the comment above it (`decides`), and the unit and source from the comment behind it.

    A part that is missing is empty.
    """

    name: str
    decides: str
    unit: str
    source: str


def read_constants(module: Path) -> list[SourcedConstant]:
    """Return the constants of a module, in order."""
    with module.open("rb") as file:
        tokens = tokenize.tokenize(file.readline)
        comments = {token.start: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    above = {line: text for (line, column), text in comments.items() if column == 0}
    behind = {line: text for (line, column), text in comments.items() if column > 0}
    found = []
    for statement in top_assignments(module):
        unit, source = [*re.split(r"[.;] ", behind.get(statement.lineno, ""), maxsplit=1), ""][:2]
        found.append(SourcedConstant(assigned_name(statement), above.get(statement.lineno - 1, ""), unit, source))
    return found


def top_assignments(module: Path) -> Iterator[ast.Assign | ast.AnnAssign]:
    """Yield the assignments at the top level of a module."""
    for statement in ast.parse(module.read_text("utf-8")).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            yield statement


def assigned_name(statement: ast.Assign | ast.AnnAssign) -> str:
    """Return what an assignment's left side says."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return ", ".join(map(ast.unparse, targets))


def has_number(statement: ast.Assign | ast.AnnAssign) -> bool:
    """True if the value of an assignment has a numeric literal."""
    literals = (node.value for node in ast.walk(statement.value or statement) if isinstance(node, ast.Constant))
    return any(isinstance(value, int | float) and not isinstance(value, bool) for value in literals)


def used_names(module: Path) -> set[str]:
    """Return the names that a module reads."""
    tree = ast.parse(module.read_text("utf-8"))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
