"""Label sets: what can be said of a record's text, and templates whose texts carry each label by construction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.prose import Grammar
from tests.benchmark.tasks.tables import table

# The first may be tuned on. The others were held out until the consensus of labels was chosen with them in view
# (DECISIONS, 2026-11-26): what is measured on them is kinder since than new labels would be.
TUNED = "questions"
HELD_OUT = ("tickets", "reviews")
LABEL_SETS = (TUNED, *HELD_OUT)


@dataclass(frozen=True)
class Label:
    """A class with its definition; any expansion of its templates belongs to it."""

    name: str
    definition: str
    templates: tuple[str, ...]


@dataclass(frozen=True)
class LabelSet:
    """Classes that exclude each other. `noun` is what a record's text is called, `describes` says more."""

    name: str
    noun: str
    describes: str
    labels: tuple[Label, ...]
    slots: Mapping[str, Sequence[str]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    def definitions(self) -> str:
        """Every label with its definition, in one sentence."""
        return "; ".join(f"'{label.name}' ({label.definition})" for label in self.labels)


@lru_cache(maxsize=8)
def label_set(name: str) -> LabelSet:
    """Raises `KeyError` for a name that is not in `LABEL_SETS`."""
    if name not in LABEL_SETS:
        raise KeyError(name)
    raw = table(name)
    labels = tuple(Label(each["name"], each["definition"], tuple(each["templates"])) for each in raw["label"])
    return LabelSet(name, raw["noun"], raw["describes"], labels, raw["slots"])


class Instances:
    """Texts with a known label, drawn without an end."""

    def __init__(self, labels: LabelSet, draws: Draws) -> None:
        self._labels = labels.labels
        self._grammar = Grammar(labels.slots, draws)
        self._draws = draws

    def text(self, label: int) -> str:
        """A text of the label with that index."""
        return self._grammar.expand(self._draws.choice(self._labels[label].templates))
