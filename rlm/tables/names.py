"""The names of tables in SQL, and column names that say what a column contains."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import PurePath

from ingest.storage.tables.types import Column
from rlm.corpus.corpus import CorpusDocument
from rlm.corpus.handles import Handle

_NAME_CHARS, _LABEL_CHARS = 40, 30
_OTHER_THAN_WORDS = re.compile(r"\W+")
_REPEATED_NAME = re.compile(r"_\d+$")  # the number that makes a column's name unique in its table
_POSITION = re.compile(r"column(?:_\d+)+|[A-Z](?:_\d+)?")  # the names of columns without a header, `A` in a sheet
_WORD, _DIGIT = re.compile(r"[^\W_]+"), re.compile(r"\d")
_BARE_MARKS = re.compile(r"[\s\-–—.,:;/()'’_*+]*")


def count_telling_names(columns: Iterable[Column]) -> int:
    """Return the number of different column names that say what a column contains.

    Names made of a column's position, bare numbers, years, dates and periods say nothing. Names that differ only in
    their numbers and dates count once.
    """
    return len({_extract_telling_words(column.name) for column in columns} - {""})


@lru_cache(maxsize=4096)  # the tables of many documents have the same column names
def _extract_telling_words(name: str) -> str:
    """Return the words of a column name without its numbers.

    The result is empty if at most one word stands beside the numbers, as in `2023`, `Q3 2023` and `June 30, 2023`.
    """
    given = _REPEATED_NAME.sub("", name.casefold())
    if _POSITION.fullmatch(name) or _BARE_MARKS.fullmatch(given):
        return ""
    if not _DIGIT.search(given):
        return given
    words = [word for word in _WORD.findall(given) if not _DIGIT.search(word)]
    return " ".join(words) if len(words) > 1 else ""


def name_tables(groups: Sequence[Sequence[tuple[str, CorpusDocument]]], taken: set[str]) -> list[str]:
    """Return a name for each group of merged tables, given the name and document of each table. Adds names to `taken`.

    A table is named after its caption or heading. Several tables that would get the same name are told apart by the
    documents that they come from.
    """
    names = [_build_safe_name(_find_common_name([name for name, _ in group])) for group in groups]
    shared = {name for name, count in Counter(names).items() if count > 1}
    labels = _label_documents({document.handle: document for group in groups for _, document in group}.values())
    found: list[str] = []
    for name, group in zip(names, groups, strict=True):
        titles = {document.handle: _get_title(document) for _, document in group}
        label = labels[group[0][1].handle] if len(titles) == 1 else _find_common_words(list(titles.values()))
        found.append(reserve_name(f"{name}_{label}" if label and name in shared else name, taken))
    return found


def _label_documents(documents: Collection[CorpusDocument]) -> dict[Handle, str]:
    """Return a short label for each document: its title or, if other documents have the same label, its file name."""
    labels = {each.handle: _build_label(_get_title(each)) for each in documents}
    counts = Counter(labels.values())
    return {
        each.handle: labels[each.handle] if counts[labels[each.handle]] == 1 else _build_label(PurePath(each.name).stem)
        for each in documents
    }


def _get_title(document: CorpusDocument) -> str:
    """Return the title of a document, which is the file's name without its ending if the file has no title."""
    return PurePath(document.name).stem if document.title == document.name else document.title


def _find_common_words(titles: Sequence[str]) -> str:
    """Return the label made of the first words that all titles have in common."""
    alike = takewhile(
        lambda words: len(set(words)) == 1,
        zip(*(_OTHER_THAN_WORDS.split(each.casefold()) for each in titles), strict=False),
    )
    return _build_label(" ".join(words[0] for words in alike))


def _build_label(title: str) -> str:
    """Return the first words of a title in the form of a table name."""
    label = _OTHER_THAN_WORDS.sub("_", title.casefold()).strip("_")
    if len(label) <= _LABEL_CHARS:
        return label
    cut = label[: _LABEL_CHARS + 1]
    return (cut[: cut.rindex("_")] if "_" in cut else cut[:_LABEL_CHARS]).rstrip("_")


def _find_common_name(names: Sequence[str]) -> str:
    """Return the common beginning of the tables' names, or the first name if they have no common beginning."""
    if len(set(names)) == 1:
        return names[0]
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*(name.casefold() for name in names), strict=False))
    stem = "".join(letters[0] for letters in alike).rstrip("0123456789 _-.(")
    return stem if len(stem) > 2 else names[0]


def _build_safe_name(name: str) -> str:
    """Return a name that SQL accepts without quotes. A name that is itself an SQL keyword may still need quotes."""
    safe = _OTHER_THAN_WORDS.sub("_", name.casefold()).strip("_")[:_NAME_CHARS].rstrip("_") or "table"
    return f"table_{safe}" if safe[0].isdigit() else safe


def reserve_name(name: str, taken: set[str]) -> str:
    """Reserve a name and return it. If the name is already taken, a number is appended."""
    unused, number = name, 1
    while unused in taken:
        number += 1
        unused = f"{name}_{number}"
    taken.add(unused)
    return unused
