"""Turns imports of our own shim modules into names of what was loaded before the cell."""

import ast
from importlib import resources

PRELUDE = "_prelude"
_SHIMS = "rlm.sandbox.shims"
# Methods of built-in types often passed as functions; the interpreter can call them but not name them.
_METHOD_NAMES = """
strip lstrip rstrip lower upper title capitalize casefold swapcase split rsplit splitlines startswith endswith replace
find rfind index count join isdigit isalpha isalnum isspace isupper islower isnumeric zfill encode decode get append
extend add remove discard pop items keys values update setdefault insert union intersection removeprefix removesuffix
partition search match fullmatch findall finditer sub group format most_common
"""
METHODS = frozenset(_METHOD_NAMES.split())


def shim_names() -> frozenset[str]:
    """Return the names of the modules that have a shim."""
    files = resources.files(_SHIMS).iterdir()
    return frozenset(
        file.name.removesuffix(".py").replace("__", ".")
        for file in files
        if file.name.endswith(".py") and not file.name.startswith("_")
    )


def shim_source(name: str) -> str:
    """Return the shim as statements that define `variable_of(name)`; its own names stay inside a function."""
    text = resources.files(_SHIMS).joinpath(f"{name.replace('.', '__')}.py").read_text("utf-8")
    if name == PRELUDE:
        return text + _method_table()
    body = ast.parse(text).body
    exported = [each for statement in body for each in _defined(statement) if not each.startswith("_")]
    module = ast.parse("module = _ll_Module()").body
    module += ast.parse("\n".join(f"module.{each} = {each}" for each in exported)).body
    module += [ast.Return(ast.Name("module", ast.Load()))]
    loader = ast.parse("def _ll_load():\n    pass").body[0]
    assert isinstance(loader, ast.FunctionDef)
    loader.body = [*body, *module]
    load = ast.parse(f"{variable_of(name)} = _ll_load()").body
    return ast.unparse(ast.fix_missing_locations(ast.Module([loader, *load], [])))


def _method_table() -> str:
    lines = (
        f"    {name!r}: lambda thing, *arguments, **named: thing.{name}(*arguments, **named),"
        for name in sorted(METHODS)
    )
    return "\n".join(("_ll_methods = {", *lines, "}\n"))


def variable_of(name: str) -> str:
    return f"_ll_module_{name.replace('.', '_')}"


def _defined(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.ImportFrom(names=names):
            return [alias.asname or alias.name for alias in names]
    return []


class ImportPass(ast.NodeTransformer):
    """Rewrites imports of shims; others are left for the interpreter."""

    def __init__(self) -> None:
        self._known = shim_names()
        self.shims: set[str] = set()

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        ours = [alias for alias in node.names if alias.name in self._known]
        if not ours:
            return node
        statements: list[ast.stmt] = [each for alias in ours for each in self._import(alias)]
        others = [alias for alias in node.names if alias.name not in self._known]
        return [ast.Import(others), *statements] if others else statements

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        name = node.module or ""
        if name == "__future__":
            return []
        submodules = [alias for alias in node.names if f"{name}.{alias.name}" in self._known]
        if submodules and len(submodules) == len(node.names):
            return [_assigned(alias.asname or alias.name, self._use(f"{name}.{alias.name}")) for alias in submodules]
        if name not in self._known or any(alias.name == "*" for alias in node.names):
            return node
        module = self._use(name)
        return [
            _assigned(alias.asname or alias.name, ast.Attribute(module, alias.name, ast.Load())) for alias in node.names
        ]

    def _import(self, alias: ast.alias) -> list[ast.stmt]:
        module = self._use(alias.name)
        parent, _, child = alias.name.partition(".")
        if alias.asname or not child:
            return [_assigned(alias.asname or alias.name, module)]
        made = ast.Call(ast.Name("_ll_Module", ast.Load()), [], [])
        within = ast.Attribute(ast.Name(parent, ast.Load()), child, ast.Store())
        return [_assigned(parent, made), ast.Assign([within], module)]

    def _use(self, name: str) -> ast.Name:
        self.shims.add(name)
        return ast.Name(variable_of(name), ast.Load())


def _assigned(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], value)
