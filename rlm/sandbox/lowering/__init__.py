"""The passes in order. Code that needs none of them is run as it was written, so that its lines keep their numbers."""

import ast
import threading
import warnings
from dataclasses import dataclass, field

from rlm.sandbox.lowering.classes import ClassMemory, ClassPass
from rlm.sandbox.lowering.rewriting import ExpressionPass, GeneratorPass, ImportPass

MAX_CODE_CHARS = 100_000
_MAX_BRACKET_DEPTH = 100
_TOO_DEEP = "the code is nested too deep; of many operands make a list, and join or sum it"
_parsing = threading.Lock()


@dataclass(frozen=True)
class Lowered:
    """`code` is what the interpreter is given; `shims` are the modules that must be loaded before it."""

    code: str
    shims: frozenset[str] = field(default_factory=frozenset)


def lower(code: str, memory: ClassMemory | None = None) -> Lowered:
    """`memory` is what earlier cells of the session said of their classes; what is refused adds nothing to it.

    Raises `SyntaxError` as Python does, `ValueError` for code that is too long or nested too deep to look at, and
    `RefusedSyntaxError`.
    """
    memory = memory if memory is not None else ClassMemory()
    said = memory.copy()
    try:
        lowered = _lowered(code, said)
    except RecursionError as error:  # the passes go deeper into Python's stack than the parser did
        raise ValueError(_TOO_DEEP) from error
    memory.adopt(said)
    return lowered


def _lowered(code: str, memory: ClassMemory) -> Lowered:
    code = _showing_last_expression(code)
    tree = parsed(code)
    before = ast.dump(tree)
    imports = ImportPass()
    classes = ClassPass(memory, tree)
    for rewrite in (GeneratorPass(), classes, imports, ExpressionPass()):
        tree = rewrite.visit(tree)
    tree.body[:0] = classes.getters()
    if ast.dump(tree) == before:
        return Lowered(code)
    return Lowered(ast.unparse(ast.fix_missing_locations(tree)), frozenset(imports.shims))


def parsed(code: str) -> ast.Module:
    """Raises `SyntaxError`, or `ValueError` for what no compiler should be given."""
    if len(code) > MAX_CODE_CHARS:
        raise ValueError(f"the code has {len(code):,} characters, and the limit is {MAX_CODE_CHARS:,}")
    if _bracket_depth(code) > _MAX_BRACKET_DEPTH:
        raise ValueError(_TOO_DEEP)
    try:
        # Python warns of escapes such as "\d" while it parses; the filters are the process's, hence the lock.
        with _parsing, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (RecursionError, MemoryError) as error:
        raise ValueError(_TOO_DEEP) from error


def _showing_last_expression(code: str) -> str:
    """Makes the cell print the value of its last expression, as a notebook does; lines keep their numbers."""
    body = parsed(code).body
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr) or _is_print(last.value):
        return code
    lines = code.encode().splitlines(keepends=True)
    value = last.value
    end = (value.end_lineno or value.lineno) - 1
    close = value.end_col_offset or 0
    lines[end] = lines[end][:close] + b"))" + lines[end][close:]
    begin = value.lineno - 1
    lines[begin] = lines[begin][: value.col_offset] + b"_ll_show((" + lines[begin][value.col_offset :]
    return b"".join(lines).decode()


def _is_print(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name) and expression.func.id == "print"


def _bracket_depth(code: str) -> int:
    depth = deepest = 0
    for char in code:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth = max(0, depth - 1)
    return deepest
