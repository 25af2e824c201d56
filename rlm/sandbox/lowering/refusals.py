"""Code that cannot be run, and what to write instead."""

import ast


class RefusedSyntaxError(Exception):
    """The text says where and what, and what to write instead; it is for the model that wrote the code."""

    def __init__(self, where: ast.AST, what: str, instead: str) -> None:
        line = getattr(where, "lineno", None)
        super().__init__(f"line {line}: {what}. {instead}" if line else f"{what}. {instead}")
