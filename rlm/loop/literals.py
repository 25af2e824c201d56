"""Telling a value that code computed from one that a model wrote down: by the code, never by the value."""

import ast
from collections.abc import Iterator


class CellCode:
    """The cells of a run so far, and whether the last one states an answer as a literal."""

    def __init__(self) -> None:
        self._assigned: dict[str, list[ast.expr | None]] = {}
        self._calls: list[ast.Call] = []

    def add(self, code: str) -> None:
        """Take in the next cell; code that does not parse is not run, so it assigns nothing."""
        self._calls = []
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                self._calls.append(node)
            for name, value in _assignments(node):
                self._assigned.setdefault(name, []).append(value)

    def states(self, tool: str) -> bool:
        """True if every call of the tool in the last cell hands in a literal, or a name that only ever was one.

        Arithmetic on literals is one too. Where the cell does not name the tool, nothing is known, and it is false.
        """
        answers = [_answer(call) for call in self._calls if isinstance(call.func, ast.Name) and call.func.id == tool]
        return bool(answers) and all(answer is not None and self._is_literal(answer) for answer in answers)

    def _is_literal(self, node: ast.AST, seen: frozenset[str] = frozenset()) -> bool:
        if isinstance(node, ast.Name):
            values = self._assigned.get(node.id, [])
            known = bool(values) and node.id not in seen
            # A list that was empty when it was named is filled later.
            return known and all(
                value is not None and not _may_grow(value) and self._is_literal(value, seen | {node.id})
                for value in values
            )
        literal = (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.JoinedStr)
        if not isinstance(node, (*literal, ast.FormattedValue)):
            return False
        parts = (each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr))
        return all(self._is_literal(each, seen) for each in parts)


def _answer(call: ast.Call) -> ast.expr | None:
    named = (each.value for each in call.keywords if each.arg == "answer")
    return call.args[0] if call.args else next(named, None)


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Names that a node binds, each with its whole value, or None where it is no plain assignment."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id, node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, node.value
    elif isinstance(node, ast.Assign | ast.AugAssign | ast.For | ast.NamedExpr | ast.comprehension | ast.withitem):
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                yield each.id, None
    elif isinstance(node, ast.arg):
        yield node.arg, None


def _may_grow(value: ast.expr) -> bool:
    return isinstance(value, ast.List | ast.Set | ast.Dict)
