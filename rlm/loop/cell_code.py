"""Reads the cells of a run for one thing: does an answer rest on what tools returned, or does the code state it?"""

import ast
import builtins
from collections.abc import Iterable, Iterator

_BUILT_IN = frozenset(dir(builtins))


class CellCode:
    """The cells of a run so far, and whether the last one states its answer.

    Each name is followed to the names that its values were made of. A value made of literals, built-in functions and
    imported modules alone is stated, whatever the arithmetic. A name that nobody bound, as those of tools and of
    parameters, may be anything, and what is made of it was computed. That says nothing of how: no reading of code
    could tell a sum from a sum that was multiplied by nought.
    """

    def __init__(self) -> None:
        self._made_of: dict[str, set[str]] = {}
        self._calls: list[ast.Call] = []

    def add(self, code: str) -> None:
        """Add the next cell; code that does not parse is not run, so it binds nothing."""
        self._calls = []
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        self._calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        self._follow(tree.body, frozenset())

    def states(self, tool: str) -> bool:
        """True if every call of the tool in the last cell hands in what the code states.

        If the cell does not name the tool, nothing is known and the result is False.
        """
        answers = [_answer(call) for call in self._calls if isinstance(call.func, ast.Name) and call.func.id == tool]
        return bool(answers) and all(answer is not None and self._is_stated(answer) for answer in answers)

    def _is_stated(self, answer: ast.expr) -> bool:
        if any(isinstance(node, ast.Starred) for node in ast.walk(answer)):
            return False
        open_, seen = _loaded(ast.walk(answer)), set[str]()
        while open_:
            name = open_.pop()
            if name in seen or (name in _BUILT_IN and name not in self._made_of):
                continue
            if name not in self._made_of:
                return False
            seen.add(name)
            open_ |= self._made_of[name]
        return True

    def _follow(self, statements: list[ast.stmt], under: frozenset[str]) -> None:
        """Note what the statements bind; `under` are the names that decide whether, and how often, they run."""
        for statement in statements:
            own = [node for part in _expressions(statement) for node in ast.walk(part)]
            loaded = _loaded(own)
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self._bind(statement.name, _loaded(ast.walk(statement)))
            if isinstance(statement, ast.Import | ast.ImportFrom):
                for alias in statement.names:
                    self._bind((alias.asname or alias.name).partition(".")[0], set())
            for node in own:
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    counts = isinstance(statement, ast.AugAssign)
                    self._bind(node.id, loaded | (under if counts else set()))
                elif name := _changed_by(node):
                    self._bind(name, loaded | under)
            is_branch = isinstance(statement, ast.If | ast.While | ast.For | ast.With | ast.Try | ast.Match)
            for body in _bodies(statement):
                self._follow(body, under | loaded if is_branch else under)

    def _bind(self, name: str, made_of: set[str]) -> None:
        self._made_of.setdefault(name, set()).update(made_of)


def _answer(call: ast.Call) -> ast.expr | None:
    named = (each.value for each in call.keywords if each.arg == "answer")
    return call.args[0] if call.args else next(named, None)


def _loaded(nodes: Iterable[ast.AST]) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _changed_by(node: ast.AST) -> str | None:
    """Return the name whose object a node changes, or may: `x[k] = …`, `x.y = …`, `x.append(…)`."""
    target: ast.AST | None = None
    if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
        target = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        target = node.func.value
    while isinstance(target, ast.Subscript | ast.Attribute):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the parts of a statement that are no statements."""
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case | ast.arguments):
            yield child


def _bodies(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for holder in (statement, *getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        for name in ("body", "orelse", "finalbody"):
            if body := getattr(holder, name, None):
                yield body
