"""Sets of labels that records are sorted into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_LABELS = 40


@dataclass(frozen=True)
class Label:
    """A class of records. `definition` says in a few words what belongs to it; empty where the name says it."""

    name: str
    definition: str = ""

    @property
    def line(self) -> str:
        return f"{self.name}: {self.definition}" if self.definition else self.name


@dataclass(frozen=True)
class LabelSet:
    """Two to `MAX_LABELS` labels with different names, in a stated order."""

    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.labels) <= MAX_LABELS:
            raise ValueError(f"a label set has 2 to {MAX_LABELS} labels, not {len(self.labels)}")
        if len(set(self.names)) < len(self.labels) or not all(self.names):
            raise ValueError("each label needs a name of its own")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)


def label_set(labels: Mapping[str, str] | Sequence[str] | LabelSet) -> LabelSet:
    """Make a label set from names, or from names with definitions. Raises `ValueError`."""
    if isinstance(labels, LabelSet):
        return labels
    named = labels.items() if isinstance(labels, Mapping) else ((name, "") for name in labels)
    return LabelSet(tuple(Label(name.strip(), definition.strip()) for name, definition in named))


YES, NO = "yes", "no"
YES_OR_NO = label_set([YES, NO])
