"""Filler: prose from a seeded grammar, or passages of books, in which a task's own sentences are hidden."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ingest.normalize import normalize
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.tables import table

_SLOT = re.compile(r"\{(\w+)\}")
_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
# A paragraph of a book that is no prose to hide a sentence in: headings, tables, fragments of verse.
_SHORTEST_PARAGRAPH = 120
_SENTENCES = (4, 9)


class Filler(Protocol):
    """An endless supply of paragraphs, each of several sentences."""

    def paragraph(self) -> list[str]:
        """The sentences of the next paragraph; each ends with its own full stop."""


class Grammar:
    """Expands `{slot}`s of templates; a slot's capital initial makes the expansion's first letter one."""

    def __init__(self, slots: Mapping[str, Sequence[str]], draws: Draws) -> None:
        self._slots = slots
        self._draws = draws
        self._parsed: dict[str, list[str]] = {}

    def expand(self, template: str) -> str:
        """`template` with every slot drawn, to any depth."""
        pieces = self._parsed.get(template)
        if pieces is None:
            pieces = self._parsed[template] = _SLOT.split(template)
        if len(pieces) == 1:
            return template
        written = pieces[:]
        for at in range(1, len(pieces), 2):
            name = pieces[at]
            choices = self._slots[name.lower()]
            drawn = self.expand(choices[int(self._draws.unit() * len(choices))])
            written[at] = drawn if name[0].islower() else drawn[0].upper() + drawn[1:]
        return "".join(written)


class GeneratedProse:
    """Sentences of a grammar that names nobody; a million of them hold few repetitions."""

    def __init__(self, draws: Draws) -> None:
        grammar = table("prose")
        self._sentences: Sequence[str] = grammar["sentences"]
        self._draws = draws
        self._grammar = Grammar(grammar["slots"], draws)

    def paragraph(self) -> list[str]:
        count = self._draws.between(*_SENTENCES)
        return [self._grammar.expand(self._draws.choice(self._sentences)) for _ in range(count)]


class BookProse:
    """Paragraphs of the text files of a folder, from a drawn place on and round again; one file in memory at a time.

    Raises `ValueError` for a folder without text.
    """

    def __init__(self, folder: Path, draws: Draws) -> None:
        self._files = sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".md"))
        if not self._files:
            raise ValueError(f"There is no .txt or .md file in {folder}.")
        draws.shuffle(self._files)
        self._paragraphs = self._endless()

    def paragraph(self) -> list[str]:
        return next(self._paragraphs)

    def _endless(self) -> Iterator[list[str]]:
        while True:
            found = 0
            for path in self._files:
                for block in _PARAGRAPH_BREAK.split(normalize(path.read_text("utf-8", "replace"))):
                    if len(block) >= _SHORTEST_PARAGRAPH:
                        found += 1
                        yield [" ".join(block.split())]
            if not found:
                raise ValueError(f"The files beside {self._files[0].name} hold no paragraph of prose.")
