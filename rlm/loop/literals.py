"""Finds numbers in the code of a run: numbers that flow into its answer, in string literals, and in comparisons."""

import ast
import builtins
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

_BUILT_IN = frozenset(dir(builtins))
# Functions whose arguments are counts, precisions or dates, so these arguments are not part of a sum.
_MEASURE_FUNCTIONS = frozenset({"range", "round", "date", "datetime", "timedelta", "enumerate", "zip"})
_MIN_LONG_DIGITS = 3
_PLAIN_NUMBER = re.compile(r"[\s\d.,_'+-]+")
NUMBER = re.compile(r"\d+(?:[,.'\u202f\u00a0]\d+)*")
_PERCENTAGE = re.compile(r"\d+(?:[.,]\d+)?")
_WITH_WORDS = re.compile(rf"(?:[^\s\d]+\s+)?[^\s\d]*{NUMBER.pattern}[^\s\d]*(?:\s+[^\s\d]+)?")
_LETTER = re.compile(r"[^\W\d_]")


class CellLiterals:
    """The long numbers in a run's cells, keyed by the names into which they flow.

    A number flows like any value: through arithmetic, as an element, and as an argument of a function. It does not flow
    through a comparison, through an index, or as an argument of a tool. Numbers with fewer than three digits and powers
    of ten are ignored, because they occur in percentages and units.
    """

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self._literals: dict[str, set[str]] = {}
        self._defined: set[str] = set()
        self._answers: list[tuple[str, ast.expr]] = []

    def add_cell(self, code: str) -> None:
        """Add the next cell. Code that cannot be parsed is ignored, because it does not run."""
        self._answers = []
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        for node in ast.walk(tree):
            self._record_node(node)

    def get_answer_numbers(self, tool_name: str) -> frozenset[str]:
        """Return the long numbers that flow into the answer submitted by the last cell, in Python notation.

        `tool_name` is the tool that submitted the answer.
        """
        found, open_, seen = set[str](), set[str](), set[str]()
        for name, answer in self._answers:
            if name == tool_name:
                self._collect_names_and_literals(answer, open_, found)
        while open_:
            name = open_.pop()
            if name not in seen:
                seen.add(name)
                found |= self._literals.get(name, set())
                open_ |= self._names.get(name, set())
        return frozenset(found)

    def _record_node(self, node: ast.AST) -> None:
        for target, value in _iter_bindings(node):
            self._bind_target(target, value)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._defined.add(node.name)
            case ast.Import() | ast.ImportFrom():
                self._defined |= {alias.asname or alias.name for alias in node.names}
            case ast.Call(func=ast.Name(id=name)):
                named = (each.value for each in node.keywords if each.arg == "answer")
                answer = node.args[0] if node.args else next(named, None)
                if answer is not None:
                    self._answers.append((name, answer))

    def _bind_target(self, target: ast.expr, value: ast.expr) -> None:
        names, literals = set[str](), set[str]()
        self._collect_names_and_literals(value, names, literals)
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self._names.setdefault(node.id, set()).update(names)
                self._literals.setdefault(node.id, set()).update(literals)

    def _collect_names_and_literals(self, value: ast.AST, names: set[str], literals: set[str]) -> None:
        for node in _iter_value_nodes(value, self._defined | {*self._names}):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Constant):
                literals |= _extract_long_number(node.value)


def _iter_bindings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield the targets that a node binds or changes, each with the expression that flows into it."""
    match node:
        case ast.Assign():
            yield from ((target, node.value) for target in node.targets)
        case ast.AnnAssign() | ast.NamedExpr() | ast.AugAssign() if node.value is not None:
            yield node.target, node.value
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            yield node.target, node.iter
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            for part in ast.walk(node):
                if isinstance(part, ast.Return | ast.Yield) and part.value is not None:
                    yield ast.Name(node.name), part.value
        case ast.Call(func=ast.Attribute(value=ast.Name() as changed)):
            yield from ((changed, argument) for argument in (*node.args, *(each.value for each in node.keywords)))


def extract_numbers(text: str) -> list[str]:
    """Return the digits of each number in a string, without decimal points or commas."""
    return [extract_digits(number) for number in NUMBER.findall(text)]


def extract_digits(number: str) -> str:
    """Return the digits of a number, without decimal points or commas."""
    return re.sub(r"\D", "", number)


def has_number(question: str, number: str) -> bool:
    """Return whether a question contains a number, either as such or as a percentage.

    A percentage p stands for the numbers p/100, 1 + p/100 and 1 - p/100.
    """
    if extract_digits(number) in extract_numbers(question):
        return True
    try:
        factor = Decimal(number)
    except InvalidOperation:
        return False
    shares = [Decimal(each.replace(",", ".")) / 100 for each in _PERCENTAGE.findall(question)]
    return any(factor in {share, 1 + share, 1 - share} for share in shares)


def extract_number_contexts(code: str) -> frozenset[str]:
    """Return each number in the string literals of a cell, together with the adjacent words.

    The result is empty if the code cannot be parsed. Format specifications are ignored.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    formats = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None
        for part in ast.walk(node.format_spec)
    }
    texts = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in formats
    )
    return frozenset(found[0] for text in texts for found in _WITH_WORDS.finditer(text) if _LETTER.search(found[0]))


def raise_bounds(code: str, digits: str) -> str:
    """Return the code with a greater number wherever a number with these digits is compared or has a name.

    Code that cannot be parsed, or contains no such number, is returned unchanged.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    bounds = [each for node in ast.walk(tree) for each in _iter_bounds(node) if _format_digits(each.value) == digits]
    for bound in bounds:
        if isinstance(bound.value, int | float):
            bound.value = 7 * abs(bound.value) + 13
    return ast.unparse(tree) if bounds else code


def _iter_bounds(node: ast.AST) -> Iterator[ast.Constant]:
    values: list[ast.expr] = []
    match node:
        case ast.Compare():
            values = [node.left, *node.comparators]
        case ast.Assign() | ast.AnnAssign() if node.value is not None:
            values = [node.value]
    yield from (each for each in values if isinstance(each, ast.Constant))


def _format_digits(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return extract_digits(str(value)) if is_number else ""


def _iter_value_nodes(node: ast.AST, bound_names: set[str]) -> Iterator[ast.AST]:
    """Yield the names and constants that flow into the value of an expression."""
    match node:
        case ast.Name() | ast.Constant():
            yield node
            return
        case ast.Compare() | ast.JoinedStr(values=[]):
            return
        case ast.Subscript():
            yield from _iter_value_nodes(node.value, bound_names)
            return
        case ast.comprehension():
            yield from _iter_value_nodes(node.iter, bound_names)
            return
        case ast.IfExp():
            yield from _iter_value_nodes(node.body, bound_names)
            yield from _iter_value_nodes(node.orelse, bound_names)
            return
        case ast.Call(func=ast.Name(id=name)):
            is_tool = name not in bound_names and name not in _BUILT_IN
            if is_tool or name in _MEASURE_FUNCTIONS:
                return
    for child in ast.iter_child_nodes(node):
        yield from _iter_value_nodes(child, bound_names)


def _extract_long_number(value: object) -> set[str]:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return set()
    if isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value):
        return set()
    digits = extract_digits(str(value))
    return {str(value).strip()} if len(digits) >= _MIN_LONG_DIGITS and digits.strip("0") not in {"", "1"} else set()
