"""Prose from a seeded grammar, in which a task's own sentences are hidden."""

import re
from collections.abc import Mapping, Sequence

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.word_lists import table

_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCES = (4, 9)


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
            drawn = self.expand(self._draws.choice(self._slots[name.lower()]))
            written[at] = drawn if name[0].islower() else drawn[0].upper() + drawn[1:]
        return "".join(written)


class Prose:
    """Endless paragraphs of sentences that name nobody; a million of them hold few repetitions."""

    def __init__(self, draws: Draws) -> None:
        grammar = table("prose")
        self._sentences: Sequence[str] = grammar["sentences"]
        self._draws = draws
        self._grammar = Grammar(grammar["slots"], draws)

    def paragraph(self) -> list[str]:
        """The sentences of the next paragraph; each ends with its own full stop."""
        count = self._draws.between(*_SENTENCES)
        return [self._grammar.expand(self._draws.choice(self._sentences)) for _ in range(count)]
