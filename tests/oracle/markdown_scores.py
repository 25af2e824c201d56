"""Compares two Markdown texts of one document: order of words, headings, and tables.

* order: twice the words of the longest matching runs by all words, as `difflib` counts them;
* headings: F1 of the titles, without case, marks and numbers before them;
* tables: F1 of the pairs of cells that stand beside or below each other, blanks left out (Göbel et al., ICDAR 2013
  Table Competition).
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from statistics import median
from typing import TypeVar

_WORDS = 20_000
_word = re.compile(r"\w+")
_heading = re.compile(r"^#{1,6}[ \t]+(.+)$", re.MULTILINE)
_row = re.compile(r"^\|(.*)\|$")
_pipe = re.compile(r"(?<!\\)\|")
_rule = re.compile(r":?-+:?")
_number_before = re.compile(r"^(?:\d+ )+(?=\S)")
Key = TypeVar("Key")
Rows = list[list[str]]


@dataclass(frozen=True)
class Scores:
    """Shares of one; None where the truth has nothing of the kind."""

    order: float
    headings: float | None
    tables: float | None


def scores(found: str, truth: str) -> Scores:
    """Score a text against the truth."""
    wanted_headings, wanted_tables = headings(truth), relations(tables(truth))
    return Scores(
        order(found, truth),
        f1(headings(found), wanted_headings) if wanted_headings else None,
        f1(relations(tables(found)), wanted_tables) if wanted_tables else None,
    )


def order(found: str, truth: str) -> float:
    one, other = _words(found), _words(truth)
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def _words(text: str) -> list[str]:
    text = re.sub(r"<!--.*?-->|&[a-z]+;", " ", text, flags=re.DOTALL)
    return _word.findall(text.casefold())[:_WORDS]


def headings(text: str) -> Counter[str]:
    titles = (" ".join(_word.findall(title.casefold())) for title in _heading.findall(text))
    return Counter(_number_before.sub("", title) for title in titles if title)


def tables(text: str) -> list[Rows]:
    """Return the tables of pipes, without their rules."""
    found: list[Rows] = []
    inside = False
    for line in text.split("\n"):
        match = _row.match(line.strip())
        if match:
            cells = [cell.strip() for cell in _pipe.split(match[1])]
            if not inside:
                found.append([])
            if not all(_rule.fullmatch(cell) for cell in cells):
                found[-1].append(cells)
        inside = bool(match)
    return found


def relations(found: Iterable[Rows]) -> Counter[tuple[str, str, str]]:
    """Return the pairs of cells that stand beside or below each other."""
    pairs: Counter[tuple[str, str, str]] = Counter()
    for rows in found:
        texts = [[_folded(cell) for cell in row] for row in rows]
        for row in texts:
            filled = [cell for cell in row if cell]
            pairs.update(("beside", one, other) for one, other in pairwise(filled))
        for column in range(max(map(len, texts), default=0)):
            filled = [row[column] for row in texts if column < len(row) and row[column]]
            pairs.update(("below", one, other) for one, other in pairwise(filled))
    return pairs


def _folded(cell: str) -> str:
    return "".join(_word.findall(cell.casefold()))


def f1(found: Counter[Key], truth: Counter[Key]) -> float:
    both = sum((found & truth).values())
    return 2 * both / ((sum(found.values()) + sum(truth.values())) or 1)


def median_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
