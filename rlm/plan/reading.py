"""A question with all that is known to read it by."""

import re
from dataclasses import dataclass

from rlm.operators.aggregate import Key, Unit
from rlm.operators.labels import LabelSet
from rlm.operators.table import LABEL, Condition
from rlm.plan.layout import Layout
from rlm.plan.wording import Wording, date_column, field_conditions, label_conditions

# Words for labels, without their last "s".
KINDS = {
    "label": "label",
    "clas": "class",
    "class": "class",
    "classe": "class",
    "category": "category",
    "categorie": "category",
    "type": "type",
    "kind": "kind",
}


@dataclass(frozen=True)
class Reading:
    """A question with what is known to read it by; `defines` is whether it names the labels itself."""

    wording: Wording
    layout: Layout
    labels: LabelSet | None
    defines: bool = True

    @property
    def asked(self) -> str:
        return self.wording.asked

    def key(self, word: str) -> Key | None:
        """What a word groups records by: months and dates, labels, or a written field.

        A field that is called `Category` goes before labels that the question does not define.
        """
        bare = word.casefold().strip().removesuffix("s")
        kind = KINDS.get(bare)
        if kind is not None and self.labels is not None and self.defines:
            return Key(LABEL)
        if bare in ("month", "date", "day") and self.layout.dates:
            return Key(date_column(self.layout, self.asked), Unit.MONTH if bare == "month" else Unit.DAY)
        column = self.layout.column(word) or self.layout.column(kind or "")
        if column is None and kind is not None and self.labels is not None:
            column = LABEL
        return None if column is None else Key(column)

    @property
    def besides_labels(self) -> str:
        """The question without the names and definitions of labels: what these say is no condition."""
        names = [text for label in self.labels.labels for text in (label.definition, label.name)] if self.labels else []
        asked = self.asked
        for text in sorted(filter(None, names), key=len, reverse=True):
            asked = re.sub(rf"(?<!\w){re.escape(text)}(?:s|es)?(?!\w)", " ", asked, flags=re.IGNORECASE)
        return asked

    @property
    def after_noun(self) -> str | None:
        """What follows "how many records", by whatever name they are called; None where something else is counted."""
        match = re.search(r"\bhow many (?:of (?:the |these )?)?([\w-]+)", self.asked, re.IGNORECASE)
        return self.asked[match.end() :] if match is not None and self.layout.counts(match[1]) else None

    def where(self, text: str | None = None) -> tuple[Condition, ...]:
        text = self.asked if text is None else text
        return (*label_conditions(self.labels, text), *field_conditions(self.layout, text))
