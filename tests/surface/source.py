"""Reads names that exist only as literals in the product's code."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """The text of a module, and its dotted name."""

    module: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


def read_sources(root: Path, packages: Sequence[str]) -> list[Source]:
    """Return every module of the packages below `root`, by name."""
    found = []
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Source(module, path.read_text("utf-8")))
    return found


def find_arguments(sources: Sequence[Source], function: str, *, position: int = 0, methods: bool = True) -> set[str]:
    """Return the texts that are passed to functions of this name at this position, variables as `{}`.

    Calls of methods of the name, and through a module, count unless `methods` is false.
    """
    found = set()
    for call in _calls(sources, function):
        if len(call.args) > position and (methods or isinstance(call.func, ast.Name)):
            found |= _texts(call.args[position])
    return found


def find_keywords(sources: Sequence[Source], function: str, keyword: str) -> set[str]:
    """Return the texts that are passed to functions of this name by a keyword, and those that are its default."""
    found = set()
    for call in _calls(sources, function):
        for each in call.keywords:
            if each.arg == keyword:
                found |= _texts(each.value)
    for source in _mentioning(sources, f"def {function}("):
        for made in ast.walk(source.tree):
            if isinstance(made, ast.FunctionDef) and made.name == function:
                defaults = zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True)
                for argument, default in defaults:
                    if argument.arg == keyword and default is not None:
                        found |= _texts(default)
    return found


def find_texts(sources: Sequence[Source], prefix: str) -> set[str]:
    """Return every text in the code that begins with `prefix`, without docstrings; variables as `{}`."""
    found = set()
    for source in _mentioning(sources, prefix):
        skipped = {id(each.value) for each in ast.walk(source.tree) if isinstance(each, ast.Expr)}
        for joined in ast.walk(source.tree):
            if isinstance(joined, ast.JoinedStr):
                skipped |= {id(part) for part in joined.values}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in skipped:
                found |= {text for text in _texts(node) if text.startswith(prefix)}
    return found


def _calls(sources: Sequence[Source], function: str) -> Iterator[ast.Call]:
    for source in _mentioning(sources, f"{function}("):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                called = node.func
                name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
                if name == function:
                    yield node


def _mentioning(sources: Sequence[Source], words: str) -> Iterator[Source]:
    return (source for source in sources if words in source.text)


def _texts(node: ast.expr) -> set[str]:
    """Return the texts that an expression may have: of both branches of a condition, too."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.JoinedStr(values=parts):
            return {"".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)}
        case ast.IfExp(body=body, orelse=other):
            return _texts(body) | _texts(other)
        case _:
            return set()
