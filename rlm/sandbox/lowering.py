"""Rewrites Python as models write it into Python that the interpreter supports, and loads our shims for its modules.

Code that no pass rewrites reaches the interpreter unchanged, with its line numbers. The interpreter reports code that
it cannot run, and `find_hint` suggests a replacement.
"""

import ast
import threading
import warnings
from dataclasses import dataclass, field
from importlib import resources

MAX_CODE_CHARS = 100_000
_MAX_BRACKET_DEPTH = 100
_TOO_DEEP = "the code is nested too deeply; put many operands into a list, and join or sum it"
_YIELD_LIST = "_ll_yielded"
_CONSUMERS = frozenset(
    ("sum", "any", "all", "list", "tuple", "set", "frozenset", "sorted", "max", "min", "dict", "Counter", "enumerate")
)
# Tools cannot be called from within the interpreter's own `map` and `filter`, and its `round(2.675, 2)` is 2.68.
_REPLACEMENTS = {"exit": "_ll_exit", "quit": "_ll_exit", "map": "_ll_map", "filter": "_ll_filter", "round": "_ll_round"}
_parsing = threading.Lock()
PRELUDE = "_prelude"
_SHIMS = "rlm.sandbox.shims"
# Methods of built-in types that are often passed as functions. The interpreter can call them but cannot reference them.
_METHOD_NAMES = """
strip lstrip rstrip lower upper title capitalize casefold swapcase split rsplit splitlines startswith endswith replace
find rfind index count join isdigit isalpha isalnum isspace isupper islower isnumeric zfill encode decode get append
extend add remove discard pop items keys values update setdefault insert union intersection removeprefix removesuffix
partition search match fullmatch findall finditer sub group format most_common
"""
METHODS = frozenset(_METHOD_NAMES.split())


@dataclass(frozen=True)
class LoweredCode:
    """Rewritten code. `code` is the interpreter's input; `shims` are the modules that must be loaded first."""

    code: str
    shims: frozenset[str] = field(default_factory=frozenset)


def lower(code: str) -> LoweredCode:
    """Rewrite the code.

    Raises `SyntaxError` as Python does, and `ValueError` for code that is too long or too deeply nested.
    """
    code = _show_last_expression(code)
    tree = parse_code(code)
    imports = _ImportPass()
    try:
        before = ast.dump(tree)
        for rewrite in (_GeneratorPass(), imports, _ExpressionPass()):
            tree = rewrite.visit(tree)
        if ast.dump(tree) == before:
            return LoweredCode(code)
        return LoweredCode(ast.unparse(ast.fix_missing_locations(tree)), frozenset(imports.shims))
    except RecursionError as error:  # the passes recurse more deeply than the parser did
        raise ValueError(_TOO_DEEP) from error


def parse_code(code: str) -> ast.Module:
    """Parse the code.

    Raises `SyntaxError`, or `ValueError` if it is too long or too deeply nested to be parsed safely.
    """
    if len(code) > MAX_CODE_CHARS:
        raise ValueError(f"the code has {len(code):,} characters, and the limit is {MAX_CODE_CHARS:,}")
    if _compute_bracket_depth(code) > _MAX_BRACKET_DEPTH:
        raise ValueError(_TOO_DEEP)
    try:
        # Python warns about escapes such as "\d" while it parses. The warning filters belong to the process, so a lock
        # is needed.
        with _parsing, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (RecursionError, MemoryError) as error:
        raise ValueError(_TOO_DEEP) from error


def _show_last_expression(code: str) -> str:
    """Make the cell print the value of its last expression, as a notebook does. Line numbers do not change."""
    body = parse_code(code).body
    last = body[-1] if body else None
    match last:
        case ast.Expr(ast.Call(ast.Name("print"))):
            return code
        case ast.Expr(value):
            pass
        case _:
            return code
    lines = code.encode().splitlines(keepends=True)
    end = (value.end_lineno or value.lineno) - 1
    close = value.end_col_offset or 0
    lines[end] = lines[end][:close] + b"))" + lines[end][close:]
    begin = value.lineno - 1
    lines[begin] = lines[begin][: value.col_offset] + b"_ll_show((" + lines[begin][value.col_offset :]
    return b"".join(lines).decode()


def _compute_bracket_depth(code: str) -> int:
    depth = deepest = 0
    for char in code:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth = max(0, depth - 1)
    return deepest


class _GeneratorPass(ast.NodeTransformer):
    """Makes `yield x` append to a list, and the function return the list's iterator.

    This is equivalent if all of it is consumed. Generators that may not end, receive values, or are context managers
    stay unchanged and are therefore refused.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        is_context = any("contextmanager" in ast.dump(decorator) for decorator in node.decorator_list)
        if _has_yield(node) and not is_context and not any(map(_is_endless, _list_own_nodes(node))):
            begin = ast.Assign([ast.Name(_YIELD_LIST, ast.Store())], ast.List([], ast.Load()))
            node.body = [begin, *(_Collecting().visit(each) for each in node.body), _build_return()]
        self.generic_visit(node)
        return node


class _Collecting(ast.NodeTransformer):
    """Rewrites the yields and returns of one function, but not those of functions nested in it."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        match node.value:
            case ast.Yield(value=value):
                return _build_collect("append", value or ast.Constant(None))
            case ast.YieldFrom(value=value):
                return _build_collect("extend", value)
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        return _build_return()


def _build_collect(method: str, value: ast.expr) -> ast.Expr:
    return ast.Expr(ast.Call(ast.Attribute(ast.Name(_YIELD_LIST, ast.Load()), method, ast.Load()), [value], []))


def _build_return() -> ast.Return:
    return ast.Return(_build_call("iter", ast.Name(_YIELD_LIST, ast.Load())))


def _is_endless(node: ast.AST) -> bool:
    """Return whether a node is a `while True` that yields and is never left."""
    return (
        isinstance(node, ast.While)
        and isinstance(node.test, ast.Constant)
        and bool(node.test.value)
        and _has_yield(node)
        and not any(isinstance(each, ast.Return | ast.Raise | ast.Break) for each in _list_own_nodes(node))
    )


def _has_yield(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Yield | ast.YieldFrom) for each in _list_own_nodes(node))


def _list_own_nodes(node: ast.AST) -> list[ast.AST]:
    """Return everything inside a node except the contents of functions or classes nested in it."""
    found: list[ast.AST] = []
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        found.append(waiting.pop())
        if not isinstance(found[-1], ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(found[-1]))
    return found


class _ExpressionPass(ast.NodeTransformer):
    """Replaces syntax that the interpreter lacks with syntax that it supports and functions of the prelude."""

    def visit_Delete(self, node: ast.Delete) -> list[ast.stmt]:
        """Set a deleted name to None, so that its value is freed."""
        self.generic_visit(node)
        return [_build_deletion(target) for target in node.targets]

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        """Wrap the expression in `iter`, because the interpreter turns it into a list and `next` needs an iterator."""
        self.generic_visit(node)
        return _build_call("iter", node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and node.attr in METHODS:
            return _build_call("_ll_bound", node.value, ast.Constant(node.attr))
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _is_consumer(node.func) and len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp):
            self.generic_visit(node.args[0])
            node.keywords = [self.visit(keyword) for keyword in node.keywords]
            return node
        match node.func:
            case ast.Attribute(value=ast.Name(id="str"), attr="maketrans"):
                node.func = ast.Name("_ll_maketrans", ast.Load())
            case ast.Attribute(value=value, attr="translate") if len(node.args) == 1:
                node = _build_call("_ll_translate", value, node.args[0])
                node.args[0] = self.visit(value)
                node.args[1] = self.visit(node.args[1])
                return node
            case ast.Attribute(value=value) as attribute:
                attribute.value = self.visit(value)
            case ast.Name(id=name) if name in _REPLACEMENTS:
                node.func = ast.Name(_REPLACEMENTS[name], ast.Load())
            case func:
                node.func = self.visit(func)
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        return node


def _is_consumer(function: ast.expr) -> bool:
    match function:
        case ast.Name(id=name):
            return name in _CONSUMERS
        case ast.Attribute(attr="join"):
            return True
    return False


def _build_call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _build_deletion(target: ast.expr) -> ast.stmt:
    match target:
        case ast.Name(id=name):
            return ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None))
        case ast.Subscript(value=value, slice=ast.Slice() as part):
            emptied = ast.Subscript(value, part, ast.Store())
            return ast.Assign([emptied], ast.List([], ast.Load()))
        case ast.Subscript(value=value, slice=key):
            return ast.Expr(ast.Call(ast.Attribute(value, "pop", ast.Load()), [key], []))
    return ast.Delete([target])


def list_shim_names() -> frozenset[str]:
    """Return the names of the modules that have a shim."""
    files = resources.files(_SHIMS).iterdir()
    return frozenset(
        file.name.removesuffix(".py").replace("__", ".")
        for file in files
        if file.name.endswith(".py") and not file.name.startswith("_")
    )


def build_shim_source(name: str) -> str:
    """Return the shim as statements that define `get_shim_variable(name)`. Its own names stay inside a function."""
    text = resources.files(_SHIMS).joinpath(f"{name.replace('.', '__')}.py").read_text("utf-8")
    if name == PRELUDE:
        called = "lambda thing, *arguments, **named: thing.{0}(*arguments, **named)"
        return text + "\n".join(
            ("_ll_methods = {", *(f"    {each!r}: {called.format(each)}," for each in sorted(METHODS)), "}\n")
        )
    body = ast.parse(text).body
    exported = [each for statement in body for each in _list_defined_names(statement) if not each.startswith("_")]
    module = ast.parse("module = _ll_Module()").body
    module += ast.parse("\n".join(f"module.{each} = {each}" for each in exported)).body
    module += [ast.Return(ast.Name("module", ast.Load()))]
    loader = ast.parse("def _ll_load():\n    pass").body[0]
    assert isinstance(loader, ast.FunctionDef)
    loader.body = [*body, *module]
    load = ast.parse(f"{get_shim_variable(name)} = _ll_load()").body
    return ast.unparse(ast.fix_missing_locations(ast.Module([loader, *load], [])))


def get_shim_variable(name: str) -> str:
    return f"_ll_module_{name.replace('.', '_')}"


def _list_defined_names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.ImportFrom(names=names):
            return [alias.asname or alias.name for alias in names]
    return []


class _ImportPass(ast.NodeTransformer):
    """Rewrites imports of shims. Other imports are left to the interpreter."""

    def __init__(self) -> None:
        self._known = list_shim_names()
        self.shims: set[str] = set()

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        ours = [alias for alias in node.names if alias.name in self._known]
        if not ours:
            return node
        statements: list[ast.stmt] = [each for alias in ours for each in self._build_import(alias)]
        others = [alias for alias in node.names if alias.name not in self._known]
        return [ast.Import(others), *statements] if others else statements

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        name = node.module or ""
        if name == "__future__":
            return []
        submodules = [alias for alias in node.names if f"{name}.{alias.name}" in self._known]
        if submodules and len(submodules) == len(node.names):
            return [
                _build_assignment(alias.asname or alias.name, self._use_shim(f"{name}.{alias.name}"))
                for alias in submodules
            ]
        if name not in self._known or any(alias.name == "*" for alias in node.names):
            return node
        module = self._use_shim(name)
        return [
            _build_assignment(alias.asname or alias.name, ast.Attribute(module, alias.name, ast.Load()))
            for alias in node.names
        ]

    def _build_import(self, alias: ast.alias) -> list[ast.stmt]:
        module = self._use_shim(alias.name)
        parent, _, child = alias.name.partition(".")
        if alias.asname or not child:
            return [_build_assignment(alias.asname or alias.name, module)]
        made = ast.Call(ast.Name("_ll_Module", ast.Load()), [], [])
        within = ast.Attribute(ast.Name(parent, ast.Load()), child, ast.Store())
        return [_build_assignment(parent, made), ast.Assign([within], module)]

    def _use_shim(self, name: str) -> ast.Name:
        self.shims.add(name)
        return ast.Name(get_shim_variable(name), ast.Load())


def _build_assignment(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], value)
