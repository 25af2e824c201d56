"""Label sets: what can be said of a record's text, and templates whose texts carry each label by construction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tests.benchmark.tasks.word_lists import table

# Prompts and classifiers may be tuned on the first; what is measured on the others is worth more for it.
LABEL_SETS = ("questions", "tickets", "reviews")


@dataclass(frozen=True)
class Label:
    """A class with its definition; any expansion of its templates belongs to it."""

    name: str
    definition: str
    templates: tuple[str, ...]


@dataclass(frozen=True)
class LabelSet:
    """Classes that exclude each other. `noun` is what a record's text is called, `describes` says more."""

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
    """One of `LABEL_SETS`."""
    raw = table(name)
    labels = tuple(Label(each["name"], each["definition"], tuple(each["templates"])) for each in raw["label"])
    return LabelSet(raw["noun"], raw["describes"], labels, raw["slots"])
