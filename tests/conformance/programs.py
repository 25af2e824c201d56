"""Programs such as models write for long documents, and what CPython prints for them."""

import ast
import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm.sandbox.port import Tool

_FOLDER = Path(__file__).parent / "programs"
_TITLE = "# --- "
REFUSED = "refused"


@dataclass(frozen=True)
class Program:
    """`theme` is the file it stands in; those of `refused` are known not to run, and get a hint."""

    theme: str
    title: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.theme}: {self.title}"


def programs() -> list[Program]:
    return [program for file in sorted(_FOLDER.glob("*.txt")) for program in _read(file)]


def _read(file: Path) -> Iterator[Program]:
    for block in file.read_text().split(_TITLE)[1:]:
        title, _, code = block.partition("\n")
        yield Program(file.stem, title, code)


_RECORDS = "\n".join(
    f"Date: {month} {day:02d}, 2022 || User: {user} || Instance: What is number {day}?"
    for month, day, user in [("Oct", 14, 76063), ("Nov", 2, 11111), ("Dec", 25, 76063), ("Jan", 7, 22222)]
)
_TEXTS = {
    "doc": f"The following lines contain 4 records.\n{_RECORDS}\nThe preceding lines contain 4 records.",
    "prose": "Alpha began the war.\nIt was long.\n\nBeta ended it, with a treaty of ten articles.\n\nNobody remembers.",
}


def _search(query: str, k: int = 5) -> list[dict[str, Any]]:
    return [{"id": f"d{n}", "score": 1 - n / 5, "text": f"{query} number {n}"} for n in range(k)]


def _grep(pattern: str) -> list[dict[str, Any]]:
    text = _TEXTS["doc"]
    return [{"start": at, "text": pattern} for at in range(len(text)) if text.startswith(pattern, at)]


TOOLS: dict[str, Tool] = {
    "llm_query": lambda prompt: f"<{prompt[:20].upper()}>",
    "llm_query_batched": lambda prompts: [f"<{prompt[:20].upper()}>" for prompt in prompts],
    "read": lambda name: _TEXTS[name],
    "search": lambda query, k=5: _search(query, k),
    "grep": lambda pattern: _grep(pattern),
}


def expected(code: str) -> str:
    """What a notebook over CPython shows; `exit()` ends a cell."""
    tree = ast.parse(code)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body[-1] = ast.Expr(ast.Call(ast.Name("_show", ast.Load()), [last.value], []))
    printed = io.StringIO()
    names = {**TOOLS, "_show": _show, "exit": _exit, "__name__": "__main__"}
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        exec(compile(ast.fix_missing_locations(tree), "<program>", "exec", dont_inherit=True), names)
    return printed.getvalue()


def _show(value: object) -> None:
    if value is not None:
        print(repr(value))


def _exit(*_: object) -> None:
    raise SystemExit
