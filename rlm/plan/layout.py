"""How the records of a corpus look: how to cut them, which fields they have written, and which of them is the text."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.corpus.lines import fields
from rlm.corpus.records import Records, guess_splitting, split
from rlm.operators.aggregate import NO_VALUES
from rlm.operators.table import day, number
from rlm.plan.shapes import RECORDS
from rlm.strategies import never

_SAMPLED = 200
_COMMON = 0.5
_OF_A_KIND = 0.8
_WORD = re.compile(r"[^\W\d_]+")
# Messages, reviews and documents may be counted in records that are called otherwise.
_ALWAYS_RECORDS = "(?:record|entrie|entry|row|line|instance)"
_EXTENSION = re.compile(r"\.\w{1,8}$")


@dataclass(frozen=True)
class Layout:
    """`columns` are the fields that most records have; `dates` those of them that are dates, `numbers` those that are
    numbers. `text_column` is the one with the longest values, or None where records have no fields. `preamble` is the
    first of what is no record. `noun` is what the documents' titles call their records, `ticket` of `tickets.txt`;
    empty where they don't agree. `identifiers` are columns whose values are all different.
    """

    records: Records
    columns: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    text_column: str | None = None
    preamble: str = ""
    numbers: tuple[str, ...] = ()
    noun: str = ""
    identifiers: frozenset[str] = frozenset()

    def counts(self, noun: str) -> bool:
        """Whether a noun means the records: by any word for such, or as the titles have it.

        A field is none, unless each record has a value of its own: users of whom each has several records.
        """
        if re.fullmatch(rf"{_ALWAYS_RECORDS}s?" if self.noun else RECORDS, noun, re.IGNORECASE):
            return True
        column = self.column(noun)
        return bool(self.noun) and singular(noun) == self.noun and (column is None or column in self.identifiers)

    def column(self, name: str) -> str | None:
        """The column that a word means: `users`, `user IDs` and `USER` mean `User`; None where no column is meant."""
        wanted = _stem(name)
        fitting = [column for column in self.columns if wanted and _stem(column) == wanted]
        exact = (column for column in fitting if singular(column) == singular(name.strip()))
        return next(exact, fitting[0] if fitting else None)


def look(corpus: Corpus, *, cancelled: Callable[[], bool] = never) -> Layout:
    """The layout of a corpus as it is; raises what reading raises, and `RunCancelledError`."""
    records = split(corpus, guess_splitting(corpus), cancelled=cancelled)
    sampled = spread(records.handles)
    rows = [fields(text, records.columns) for text in corpus.read_all(sampled)]
    counts = Counter(name for row in rows for name in row)
    columns = tuple(name for name, count in counts.items() if count >= _COMMON * len(rows))
    dates, numbers = (
        tuple(name for name in columns if _are_all(read, [row[name] for row in rows if name in row]))
        for read in (day, number)
    )
    lengths = {name: sum(len(row.get(name, "")) for row in rows) for name in columns if name not in dates}
    text_column = max(lengths, key=lambda name: lengths[name]) if len(columns) > 1 and lengths else None
    preamble = "\n".join(corpus.read_all(records.left_out[:5]))
    noun = _noun([document.title for document in corpus.documents])
    different = {name: {row[name] for row in rows if name in row} for name in columns}
    identifiers = frozenset(name for name, values in different.items() if len(values) == counts[name])
    return Layout(records, columns, dates, text_column, preamble[:8_000], numbers, noun, identifiers)


def spread(handles: Sequence[Handle]) -> list[Handle]:
    """A sample, evenly from first to last."""
    count = min(_SAMPLED, len(handles))
    return [handles[at * len(handles) // count] for at in range(count)]


def _are_all(read: Callable[[str], object | None], values: list[str]) -> bool:
    values = [value for value in values if value.strip().casefold() not in NO_VALUES]
    return bool(values) and sum(read(value) is not None for value in values) >= _OF_A_KIND * len(values)


def _noun(titles: Sequence[str]) -> str:
    """The last word of every title before its extension, if that is the same: `Support tickets 2024`, `tickets.txt`."""
    words = {singular((_WORD.findall(_EXTENSION.sub("", title)) or [""])[-1]) for title in titles}
    return next(iter(words)) if len(words) == 1 else ""


def singular(word: str) -> str:
    """Folded, without the ending of a plural, as far as endings tell."""
    word = word.casefold()
    if len(word) <= 3 or word.endswith("ss"):
        return word
    for plural, ending in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if word.endswith(plural):
            return word.removesuffix(plural) + ending
    return word


def _stem(name: str) -> str:
    """What is left of a name is never nothing, unless it is: a column may be called `ID`."""
    words = [word for word in name.casefold().replace("_", " ").split() if word != "the"]
    telling = [word for word in words if word not in ("id", "ids", "number")]
    return " ".join(word.removesuffix("s") for word in telling or words)
