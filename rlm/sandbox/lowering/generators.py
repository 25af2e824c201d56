"""Functions that yield become functions that collect: everything is computed when they are called."""

import ast
from typing import TypeVar

from rlm.sandbox.lowering.refusals import RefusedSyntaxError

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
