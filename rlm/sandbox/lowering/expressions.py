"""Statements and expressions that the interpreter lacks, in terms of those it has and of the prelude."""

import ast

from rlm.sandbox.lowering.refusals import RefusedSyntaxError

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
