"""Reads the strings and the calls of JavaScript modules.

Babel's own lexer is not public, and does not know template strings within template strings. Its extraction skips calls
within the arguments of other calls. The portal uses both.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

TRANSLATING = ("t", "tn", "tp")
_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    |(?P<template>`)
    |(?P<number>\d[\w.]*)
    |(?P<name>[\w$\#]+)
    |(?P<regexp>/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*)
    |(?P<operator>=>|===|!==|==|!=|\+\+|--|&&=|&&|\|\|=|\|\||\?\?=|\?\?|\?\.|\.\.\.|\+=|-=|[-+*/%=<>!&|^~?:;,.()\[\]{}@])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_WORDS_BEFORE_VALUES = (
    "return",
    "typeof",
    "case",
    "in",
    "of",
    "await",
    "yield",
    "throw",
    "else",
    "do",
    "new",
    "delete",
)


@dataclass(frozen=True)
class Token:
    """A token of a module.

    Attributes:
        kind: "string", "template", "number", "name", "regexp" or "operator".
        text: the content of a string; for a template string, its texts with an empty pair of braces for each value.
    """

    kind: str
    text: str
    line: int


def read_tokens(source: str) -> list[Token]:
    """Return the tokens of a module without its comments.

    The code of values in a template string follows the template's token, each value in parentheses.
    """
    tokens, end = _read_until(source, 0, "")
    if end != len(source):
        raise ValueError(f"Unexpected brace in line {_count_line(source, end)}")
    return tokens


def list_calls(tokens: list[Token], names: tuple[str, ...] = TRANSLATING) -> Iterator[tuple[int, Token, list[str]]]:
    """Return the calls of functions.

    Each call is the index of its name, the name's token, and those of its arguments that are plain strings.
    """
    for position, token in enumerate(tokens[:-1]):
        before = tokens[position - 1].text if position else ""
        if token.kind != "name" or token.text not in names or before in (".", "?.", "function"):
            continue
        if tokens[position + 1] == Token("operator", "(", tokens[position + 1].line):
            yield position, token, [each[0].text for each in read_arguments(tokens, position + 1) if _is_string(each)]


def read_arguments(tokens: list[Token], opening: int) -> list[list[Token]]:
    """Return the tokens of each argument of the call whose opening parenthesis has this index."""
    arguments: list[list[Token]] = [[]]
    depth = 0
    for token in tokens[opening:]:
        value = token.text if token.kind == "operator" else ""
        depth -= value in (")", "]", "}")
        if not depth and value == ")":
            break
        if depth == 1 and value == ",":
            arguments.append([])
        elif depth:
            arguments[-1].append(token)
        depth += value in ("(", "[", "{")
    return arguments


def _is_string(argument: list[Token]) -> bool:
    return len(argument) == 1 and argument[0].kind == "string"


def _read_until(source: str, start: int, closing: str) -> tuple[list[Token], int]:
    """Read tokens up to the brace that closes a value of a template string, or to the end."""
    tokens: list[Token] = []
    position, depth = start, 0
    while position < len(source):
        if source[position].isspace():
            position += 1
            continue
        found = _match(source, position, tokens)
        kind, text = str(found.lastgroup), found.group()
        line = _count_line(source, position)
        if text == closing and not depth:
            return tokens, position
        if kind == "template":
            inner, position = _read_template(source, position)
            tokens += inner
            continue
        depth += (text == "{") - (text == "}")
        if kind != "comment":
            tokens.append(Token(kind, _unquote(text) if kind == "string" else text, line))
        position = found.end()
    return tokens, position


def _match(source: str, position: int, before: list[Token]) -> re.Match[str]:
    found = _TOKEN.match(source, position)
    if found and found.lastgroup == "regexp" and _is_division(before):
        found = re.compile(r"(?P<operator>/=?)").match(source, position)
    if not found:
        raise ValueError(f"Unknown token in line {_count_line(source, position)}: {source[position : position + 40]}")
    return found


def _is_division(before: list[Token]) -> bool:
    if not before:
        return False
    if before[-1].kind == "operator":
        return before[-1].text in (")", "]", "}")
    return before[-1].text not in _WORDS_BEFORE_VALUES


def _read_template(source: str, start: int) -> tuple[list[Token], int]:
    text, inner, position = "", [], start + 1
    while source[position] != "`":
        if source.startswith("${", position):
            value, position = _read_until(source, position + 2, "}")
            line = _count_line(source, position)
            inner += [Token("operator", "(", line), *value, Token("operator", ")", line)]
            text += "{}"
            position += 1
        else:
            width = 2 if source[position] == "\\" else 1
            text += source[position : position + width]
            position += width
    return [Token("template", text, _count_line(source, start)), *inner], position + 1


def _unquote(literal: str) -> str:
    r"""Return the content of a string: `'it\'s'` is `it's`."""

    def replace(found: re.Match[str]) -> str:
        escaped = found[1]
        return chr(int(escaped.strip("u{}"), 16)) if escaped[0] == "u" else _ESCAPES.get(escaped, escaped)

    return re.sub(r"\\(u\{[0-9a-fA-F]+\}|u[0-9a-fA-F]{4}|.)", replace, literal[1:-1], flags=re.DOTALL)


def _count_line(source: str, position: int) -> int:
    return source.count("\n", 0, position) + 1
