"""Seeded records of a date, a user and a text whose label a rule can tell, and what there is to know of them."""

import random
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

LABELS = {"animal": "names a beast or a bird", "plant": "names something that grows", "tool": "names a thing one uses"}
WORDS = {"animal": ("cat", "owl", "eel"), "plant": ("oak", "fern", "moss"), "tool": ("saw", "awl", "plane")}


@dataclass(frozen=True)
class LabelledRecord:
    """A record with its hidden label."""

    when: date
    user: int
    label: str
    text: str

    @property
    def line(self) -> str:
        return f"Date: {self.when:%b %d, %Y} || User: {self.user} || Instance: {self.text}"


def labelled_records(count: int, *, seed: int = 3, users: int = 12) -> list[LabelledRecord]:
    """In no order; labels are uneven."""
    source = random.Random(seed)
    names = sorted(source.sample(range(10_000, 99_999), users))
    weights = [5, 3, 2]
    found = []
    for _ in range(count):
        label = source.choices(list(WORDS), weights)[0]
        text = f"Tell me of the {source.choice(WORDS[label])} in {source.randint(1, 400)} words, if you please"
        when = date(2022, 1, 1) + timedelta(source.randint(0, 700))
        found.append(LabelledRecord(when, source.choice(names), label, text))
    return found


def document(records: list[LabelledRecord]) -> str:
    """With a line before and one after that are no records."""
    lines = "\n".join(record.line for record in records)
    return f"The following lines hold {len(records)} records: one per line.\n\n{lines}\n\nThat is all: no more.\n"


def label_of(text: str) -> str:
    """What a perfect reader says."""
    return next(label for label, words in WORDS.items() if any(f" {word} " in text for word in words))


def by_label(records: list[LabelledRecord]) -> Counter[str]:
    return Counter(record.label for record in records)
