"""Code that cannot be run, and what to write instead."""

import ast
from importlib import resources
from typing import TypeVar


class RefusedSyntaxError(Exception):
    """The text says where and what, and what to write instead; it is for the model that wrote the code."""

    def __init__(self, where: ast.AST, what: str, instead: str) -> None:
        line = getattr(where, "lineno", None)
        super().__init__(f"line {line}: {what}. {instead}" if line else f"{what}. {instead}")


PRELUDE = "_prelude"
_SHIMS = "rlm.sandbox.shims"


def shim_names() -> frozenset[str]:
    """The modules for which there is a shim, by the name that code imports them by."""
    files = resources.files(_SHIMS).iterdir()
    return frozenset(
        file.name.removesuffix(".py").replace("__", ".")
        for file in files
        if file.name.endswith(".py") and not file.name.startswith("_")
    )


def shim_source(name: str) -> str:
    """The shim as one statement sequence that defines `variable_of(name)`; its own names stay inside a function."""
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


_COLLECTED = "_ll_yielded"
_INSTEAD = "Collect the values in a list and return it."
_Function = TypeVar("_Function", bound=ast.FunctionDef | ast.AsyncFunctionDef)


class GeneratorPass(ast.NodeTransformer):
    """`yield x` appends to a list, and the function returns an iterator over it.

    That is the same for whoever consumes all of it. Refused are generators that need not end, that are sent values, or
    that a decorator suspends.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        if _yields(node):
            raise RefusedSyntaxError(node, "asynchronous generators do not run here", _INSTEAD)
        self.generic_visit(node)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        if any(isinstance(each, ast.Yield | ast.YieldFrom) for each in _own(node)):
            raise RefusedSyntaxError(node, "a lambda cannot yield here", _INSTEAD)
        self.generic_visit(node)
        return node

    def _function(self, node: ast.FunctionDef) -> ast.AST:
        if _yields(node):
            if any("contextmanager" in ast.dump(decorator) for decorator in node.decorator_list):
                raise RefusedSyntaxError(
                    node, "@contextmanager does not run here", "Write a class with __enter__ and __exit__."
                )
            _refuse_endless(node)
            body = [each for statement in node.body for each in [_Collecting().visit(statement)]]
            begin = ast.Assign([ast.Name(_COLLECTED, ast.Store())], ast.List([], ast.Load()))
            node.body = [begin, *body, _returned()]
        self.generic_visit(node)
        return node


class _Collecting(ast.NodeTransformer):
    """Rewrites the yields and returns of one function; functions inside it have their own."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        match node.value:
            case ast.Yield(value=value):
                return ast.copy_location(_collect("append", value or ast.Constant(None)), node)
            case ast.YieldFrom(value=value):
                return ast.copy_location(_collect("extend", value), node)
        self.generic_visit(node)
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        return _returned()

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        raise RefusedSyntaxError(node, "the value of a yield cannot be used here", _INSTEAD)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        raise RefusedSyntaxError(node, "the value of a yield cannot be used here", _INSTEAD)


def _collect(method: str, value: ast.expr) -> ast.Expr:
    return ast.Expr(ast.Call(ast.Attribute(ast.Name(_COLLECTED, ast.Load()), method, ast.Load()), [value], []))


def _returned() -> ast.Return:
    return ast.Return(ast.Call(ast.Name("iter", ast.Load()), [ast.Name(_COLLECTED, ast.Load())], []))


def _refuse_endless(function: ast.AST) -> None:
    for node in _own(function):
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and node.test.value:
            leaves = any(isinstance(each, ast.Return | ast.Raise) for each in _own(node)) or _breaks(node.body)
            if not leaves and any(isinstance(each, ast.Yield | ast.YieldFrom) for each in _own(node)):
                raise RefusedSyntaxError(node, "a generator without an end does not run here", _INSTEAD)


def _breaks(body: list[ast.stmt]) -> bool:
    """Whether a `break` among these statements leaves the loop that they are the body of."""
    for statement in body:
        if isinstance(statement, ast.Break):
            return True
        if isinstance(statement, ast.For | ast.While | ast.FunctionDef | ast.ClassDef):
            continue
        inner = [each for name in ("body", "orelse", "finalbody") for each in getattr(statement, name, [])]
        inner += [
            each for part in getattr(statement, "handlers", []) + getattr(statement, "cases", []) for each in part.body
        ]
        if _breaks(inner):
            return True
    return False


def _yields(function: ast.AST) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own(function))


def _own(function: ast.AST) -> list[ast.AST]:
    """Everything inside a function that belongs to it and not to a function inside it."""
    found: list[ast.AST] = []
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return found


# Methods of built-in types that are often passed as functions; the interpreter can call them but not name them.
_METHOD_NAMES = """
strip lstrip rstrip lower upper title capitalize casefold swapcase split rsplit splitlines startswith endswith replace
find rfind index count join isdigit isalpha isalnum isspace isupper islower isnumeric zfill encode decode get append
extend add remove discard pop items keys values update setdefault insert union intersection removeprefix removesuffix
partition search match fullmatch findall finditer sub group format most_common
"""
METHODS = frozenset(_METHOD_NAMES.split())
_CONSUMERS = frozenset(
    ("sum", "any", "all", "list", "tuple", "set", "frozenset", "sorted", "max", "min", "dict", "Counter", "enumerate")
)
_NAMES_NOW = {"globals", "vars", "dir"}
# Tools cannot be called from within the interpreter's own `map` and `filter`; its `round(2.675, 2)` is 2.68.
_REPLACED = {"exit": "_ll_exit", "quit": "_ll_exit", "map": "_ll_map", "filter": "_ll_filter", "round": "_ll_round"}


class ExpressionPass(ast.NodeTransformer):
    """One node at a time, from the leaves up."""

    def __init__(self) -> None:
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._inside(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._inside(node)

    def visit_Delete(self, node: ast.Delete) -> list[ast.stmt]:
        """A deleted name holds None afterwards, so that what it held is given back."""
        self.generic_visit(node)
        return [_deleted(target) for target in node.targets]

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        """The interpreter makes a list of it; `next` wants an iterator."""
        self.generic_visit(node)
        return _called("iter", node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and node.attr in METHODS:
            return _called("_ll_bound", node.value, ast.Constant(node.attr))
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
                node = _called("_ll_translate", value, node.args[0])
                node.args[0] = self.visit(value)
                node.args[1] = self.visit(node.args[1])
                return node
            case ast.Attribute(value=value) as attribute:
                attribute.value = self.visit(value)
            case ast.Name(id=name) if name in _NAMES_NOW and not node.args and not self._depth:
                now = _called("locals")
                return _called("sorted", now) if name == "dir" else now
            case ast.Name(id=name) if name in _REPLACED:
                node.func = ast.Name(_REPLACED[name], ast.Load())
            case func:
                node.func = self.visit(func)
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        return node

    def _inside(self, node: ast.FunctionDef | ast.Lambda) -> ast.AST:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node


def _is_consumer(function: ast.expr) -> bool:
    match function:
        case ast.Name(id=name):
            return name in _CONSUMERS
        case ast.Attribute(attr="join"):
            return True
    return False


def _called(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _deleted(target: ast.expr) -> ast.stmt:
    match target:
        case ast.Name(id=name):
            return ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None))
        case ast.Subscript(value=value, slice=ast.Slice() as part):
            emptied = ast.Subscript(value, part, ast.Store())
            return ast.Assign([emptied], ast.List([], ast.Load()))
        case ast.Subscript(value=value, slice=key):
            return ast.Expr(ast.Call(ast.Attribute(value, "pop", ast.Load()), [key], []))
    raise RefusedSyntaxError(target, "`del` of this does not run here", "Assign None instead.")
