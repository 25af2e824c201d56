"""Names and docstrings are plain English: a function is a verb, and a docstring says what it is about."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("api", "deploy", "ingest", "retrieval", "rlm", "workers")
# Past participles that do not end in "ed", without those that are also the plain form of a verb ("read", "put").
_IRREGULAR = frozenset(
    [
        "begun",
        "bound",
        "bought",
        "broken",
        "brought",
        "built",
        "chosen",
        "done",
        "drawn",
        "driven",
        "fallen",
        "felt",
        "found",
        "frozen",
        "given",
        "gone",
        "grown",
        "held",
        "hidden",
        "kept",
        "known",
        "laid",
        "left",
        "lent",
        "lost",
        "made",
        "meant",
        "met",
        "paid",
        "proven",
        "said",
        "seen",
        "sent",
        "shown",
        "sold",
        "spent",
        "stood",
        "struck",
        "taken",
        "taught",
        "thought",
        "told",
        "torn",
        "understood",
        "withdrawn",
        "withheld",
        "won",
        "written",
    ]
)
_PLAIN_VERBS = frozenset({"embed", "exceed", "feed", "need", "proceed", "reembed", "seed", "speed", "succeed"})
# Functions that keep such a name, and why.
_EXCEPTIONS = {
    ("api/client/operations.py", "listed"): "a public method of the client",
    ("api/portal/pages.py", "shared"): "a route, whose name is part of its operation id",
    ("rlm/sandbox/shims/concurrent__futures.py", "done"): "a method of the standard library's Future",
}
# A docstring that begins so describes its subject without naming it.
_OPENINGS = re.compile(r"(What|Whatever|Who|Whoever|Whom|Whose|How|Which|Whether|Where|Of|Those|That which)\b")


def _list_definitions() -> Iterator[tuple[str, ast.AST]]:
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            for node in ast.walk(tree):
                yield path.relative_to(_ROOT).as_posix(), node


def _is_participle(name: str) -> bool:
    word = name.strip("_")
    if "_" in word or word in _PLAIN_VERBS:
        return False
    return word in _IRREGULAR or (word.endswith("ed") and len(word) > 4)


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(each) or ".setter" in ast.unparse(each) for each in node.decorator_list)


def test_no_function_is_named_by_a_participle() -> None:
    """`kept` says neither who does something nor to what; `store_reply` does. A property may be a state."""
    found = {
        (path, node.name)
        for path, node in _list_definitions()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _is_participle(node.name)
        and not _is_property(node)
    }
    assert found == set(_EXCEPTIONS)


def test_no_docstring_begins_with_a_relative_clause() -> None:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    found = [
        f"{path}: {text.splitlines()[0]}"
        for path, node in _list_definitions()
        if isinstance(node, kinds) and (text := ast.get_docstring(node)) and _OPENINGS.match(text)
    ]
    assert found == []


def _list_cut_messages(node: ast.AST) -> list[str]:
    """Return the strings that are assigned without their second line, which stands alone after the assignment."""
    body = getattr(node, "body", None)
    if not isinstance(body, list):
        return []
    return [
        first.value.value
        for first, second in pairwise(body)
        if isinstance(first, ast.Assign | ast.AnnAssign)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
        and first.value.value.endswith(" ")
        and isinstance(second, ast.Expr)
        and isinstance(second.value, ast.Constant)
        and isinstance(second.value.value, str)
    ]


def test_no_message_is_cut_off_at_the_end_of_its_line() -> None:
    """Two strings on two lines are one message only in parentheses. Without them, the second looks like a docstring."""
    found = [f"{path}: {text}" for path, node in _list_definitions() for text in _list_cut_messages(node)]
    assert found == []
