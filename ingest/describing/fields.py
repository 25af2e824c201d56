"""Makes the fields of a document's card from its name, title, properties, headings and first page.

The rules are pure and deterministic, and take about a millisecond. They know no words of any trade: they compare how a
document writes its words, and take the names of months and quarters from the Unicode CLDR.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import getaddresses
from itertools import groupby
from pathlib import PurePath

from ingest.describing.dates import FoundTime, find_times
from ingest.describing.subjects import WordUse, find_subjects
from ingest.storage.documents.cards.records import MAX_FIELD_CHARS, MAX_FIELD_VALUES, MAX_LAYER_BYTES, CardFields
from ingest.storage.tables.types import (
    EML_MEDIA_TYPE,
    MAIL_DATE,
    MAIL_RECIPIENTS,
    MAIL_SENDER,
    MSG_MEDIA_TYPE,
)
from ingest.storage.texts.layout import NO_LAYOUT, Heading, Layout

# The beginning of a text that is used, in characters, and the first page of texts without pages.
HEAD_CHARS = 8_000
_PAGE_CHARS = 2_000
# A line of this length or less states something about the document; a longer one is a sentence of its text.
_SHORT_LINE_CHARS = 100
_MAX_SUBJECTS = 8
_MAX_TIMES = 6
_MAX_KIND_WORDS = 5
_MAX_KIND_CHARS = 60
_MIN_KIND_CHARS = 4
_MESSAGE = "message"
_OUTLINE_LEVELS = 2
_FIRST_LINES = 7
_SEPARATORS = re.compile(r"[_\s]+")
_LINE = re.compile(r"[^\n]+")
_MARK = re.compile(r"^[#>|\s*☐☒-]+")
_VERSION = re.compile(
    r"(?<![\w.,])[vV]?(\d{1,4}(?:\.\d{1,4}){1,3})(?![\w,]|\.\d|-\d)|(?<![^\W_])[vV](\d{1,4}(?:\.\d{1,4}){0,3})(?![\w,]|\.\d)"
)
_COUNTED = re.compile(r"\w+\s+\d+[.:]?")
_NUMBER_ONLY = re.compile(r"[\d.,/#§-]+")
_BREAK = re.compile(r"\s[-–—]\s|[–—:;,()|/\[\]\"“”]+|\.\s")


@dataclass(frozen=True)
class DescribedText:
    """The input of the rules. `text` is the beginning of the document's text, at least `HEAD_CHARS` if it is longer.

    `properties` are the file's metadata, and `language` is an ISO 639 code, or None if it is uncertain.
    """

    text: str
    name: str
    media_type: str
    title: str | None = None
    layout: Layout = NO_LAYOUT
    properties: Mapping[str, str] = field(default_factory=dict)
    language: str | None = None


@dataclass(frozen=True)
class _Line:
    """A line of the first page, with its position and without marks of lists, quotes and headings.

    `level` is the level of a heading, or 0. `is_short` is true if the line states something about the document.
    """

    start: int
    text: str
    level: int
    is_short: bool
    is_row: bool


def describe_document(described: DescribedText) -> tuple[CardFields, CardFields]:
    """Make the fields found in the file's name, title and properties, and those found on the first page as well.

    The second result repeats values of the first one, because it is used instead of it, field by field.
    """
    text, language = described.text[:HEAD_CHARS], described.language
    page = text[: _find_page_end(described.layout)]
    lines = list(_iter_lines(page, described.layout.headings))
    name = _SEPARATORS.sub(" ", PurePath(described.name).stem)
    # A title in a file's properties is often one of an earlier document. It counts if the first page repeats it.
    title = described.title or ""
    is_shown = _fold(title) in _fold(page)
    labels = [name, title] if is_shown else [name]
    stated = [time for label in labels for time in find_times(label, language, is_name=True)]
    stated += find_times(described.properties.get(MAIL_DATE.name, ""), None)
    source = _build_times(stated, [])
    source = replace(source, version=_find_version(labels, language))
    on_page = list(_rank_times(page, lines, language))
    if not stated and not on_page:
        on_page = find_times(title, language, is_name=True)
    # A line that ends with a comma greets someone or says goodbye.
    short = "\n".join(each.text for each in lines if each.is_short and not each.text.endswith(","))
    people = _find_people(described.properties)
    subjects = find_subjects(
        page, WordUse(text), short_lines=short, name=name, people=people, language=language, limit=_MAX_SUBJECTS
    )
    first = _select_first_lines(lines)
    headings = [*([title] if is_shown else []), *(each.text for each in first if each.level)]
    plain = [each.text for each in first if not each.level and not each.is_row]
    rules = replace(
        _build_times(stated, on_page),
        kind=_find_kind(described, headings, plain, subjects),
        subjects=tuple(_cut_all(subjects, _MAX_SUBJECTS)) or None,
        version=source.version or _find_version([*headings, *plain], language, is_last=True),
        language=language,
        outline=tuple(_cut_all(_list_outline(described.layout.headings), MAX_FIELD_VALUES)) or None,
    )
    return source, limit_size(rules)


def _select_first_lines(lines: Sequence[_Line]) -> list[_Line]:
    """Return the first short lines, up to the first sentence and up to the heading of the first section.

    Headings without other lines between them are one title.
    """
    found: list[_Line] = []
    for line in lines[:_FIRST_LINES]:
        highest = min((each.level for each in found if each.level), default=line.level)
        if not line.is_short or (line.level > highest and not found[-1].level):
            break
        found.append(line)
    return found


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def _find_page_end(layout: Layout) -> int:
    second = layout.places[1].start if len(layout.places) > 1 else _PAGE_CHARS
    return min(second, _PAGE_CHARS) if second else _PAGE_CHARS


def _iter_lines(page: str, headings: Sequence[Heading]) -> Iterator[_Line]:
    levels = {each.start: each.level for each in headings if each.start < each.end}
    for match in _LINE.finditer(page):
        line = match[0]
        text, level = _MARK.sub("", line).strip(), levels.get(match.start(), 0)
        if any(map(str.isalnum, text)):
            is_short = bool(level) or (len(text) <= _SHORT_LINE_CHARS and not line.startswith(">"))
            yield _Line(match.start(), text, level, is_short, line.startswith("|"))


def _rank_times(page: str, lines: Sequence[_Line], language: str | None) -> Iterator[FoundTime]:
    """Yield the times of the first page: those in headings, then those in short lines, or else those in sentences."""
    found = find_times(page, language)
    by_line = [
        (line, [each for each in found if line.start <= each.start < line.start + len(line.text) + 8]) for line in lines
    ]
    for line in (each for each in lines if each.level):
        yield from (each for each in find_times(line.text, language, is_name=True))
    short = [each for line, times in by_line if line.is_short and not line.level for each in times]
    yield from short
    if not short:
        yield from (each for line, times in by_line if not line.is_short for each in times)


def _build_times(stated: Sequence[FoundTime], on_page: Sequence[FoundTime]) -> CardFields:
    """Build the fields of dates and periods. A year is left out if a date or a period within that year is known."""
    values = [*stated, *on_page]
    dates = list(dict.fromkeys(each.value for each in values if each.is_date))[:_MAX_TIMES]
    periods = list(dict.fromkeys(each.value for each in values if not each.is_date))
    finer = {each[:4] for each in (*dates, *periods) if len(each) > 4}
    periods = [each for each in periods if each not in finer][:_MAX_TIMES]
    return CardFields(periods=tuple(periods) or None, dates=tuple(dates) or None)


def _find_version(labels: Iterable[str], language: str | None, *, is_last: bool = False) -> str | None:
    """Find the first version number, such as `v2` or `4.1`, that is not the beginning of a label and no part of a date.

    If `is_last` is true, a number without `v` must be the end of its label.
    """
    for label in labels:
        for match in _VERSION.finditer(label):
            rest = label[match.end() :].strip(" .)") if is_last else ""
            if match[2] or (label[: match.start()].strip() and not rest):
                times = find_times(label, language, is_name=True)
                if not any(each.start < match.end() and match.start() < each.end for each in times):
                    return match[1] or match[2]
    return None


def _find_people(properties: Mapping[str, str]) -> list[str]:
    """Return the names of a message's sender and recipients."""
    recipients = [name or address for name, address in getaddresses([properties.get(MAIL_RECIPIENTS.name, "")])]
    return [each for each in (properties.get(MAIL_SENDER.name, ""), *recipients) if each]


def _find_kind(
    described: DescribedText, headings: Iterable[str], plain: Iterable[str], subjects: Iterable[str]
) -> str | None:
    """Return the words of a title, a heading or a plain line that are neither names, nor numbers, nor times.

    The best is a line of which nothing is removed, then a part of a heading, then a plain line of which times are
    removed. Returns None if nothing is found: a file type is no kind. Messages have no other kind, because their titles
    say what each is about.
    """
    if described.media_type in (EML_MEDIA_TYPE, MSG_MEDIA_TYPE):
        return _MESSAGE
    names = {word.casefold() for subject in subjects for word in subject.split()}
    found = [_extract_kind(label, names, described.language) for label in headings]
    whole = [_extract_kind(label, names, described.language) for label in plain if not label.endswith((".", ":"))]
    partial = [each for each in found if not each.is_whole]
    ranked = [each for each in (*found, *whole) if each.is_whole and not each.has_times]
    ranked += [*partial, *(each for each in (*found, *whole) if each.is_whole)]
    return next((" ".join(each.words) for each in ranked if each.words), None)


@dataclass(frozen=True)
class _Kind:
    """The words of a kind, in lower case.

    `is_whole` is true if nothing but times was removed from the label, and `has_times` if times were removed.
    """

    words: tuple[str, ...] = ()
    is_whole: bool = False
    has_times: bool = False


def _extract_kind(label: str, names: set[str], language: str | None) -> _Kind:
    """Return the longest part of a label without names, numbers and times.

    A word and a number count pages or sections, and a long part says more than the kind. Words before a colon label the
    words after it.
    """
    times = find_times(label, language, is_name=True)
    for each in reversed(times):
        label = f"{label[: each.start].rstrip(' ,')} {label[each.end :]}".strip()
    label = label.rpartition(": ")[2]
    if _COUNTED.fullmatch(label):
        return _Kind()
    parts = [
        (is_dropped, _trim_short_words(list(words)))
        for segment in _BREAK.split(label)
        for is_dropped, words in groupby(segment.split(), lambda word: _is_dropped(word, names))
    ]
    longest = max((words for is_dropped, words in parts if not is_dropped), key=_count_chars, default=[])
    kind = tuple(word.casefold() for word in longest)
    is_general = len(kind) <= _MAX_KIND_WORDS and any(len(word) >= _MIN_KIND_CHARS for word in kind)
    is_short = len(" ".join(kind)) <= _MAX_KIND_CHARS
    return _Kind(kind, len(parts) == 1, bool(times)) if is_general and is_short else _Kind()


def _count_chars(words: Sequence[str]) -> int:
    return sum(map(len, words))


def _is_dropped(word: str, names: set[str]) -> bool:
    return word.strip(".,'’").casefold() in names or bool(_NUMBER_ONLY.fullmatch(word))


def _trim_short_words(words: list[str]) -> list[str]:
    """Remove articles, prepositions and the like at both ends: short words that are no abbreviations."""
    is_upper = all(map(str.isupper, words))
    short = [len(word) <= 3 and (word.islower() or is_upper) for word in words]
    kept = [at for at, is_short in enumerate(short) if not is_short]
    return words[kept[0] : kept[-1] + 1] if kept else []


def _list_outline(headings: Sequence[Heading]) -> list[str]:
    return [each.title for each in headings if each.level <= _OUTLINE_LEVELS and each.title.strip()]


def _cut_all(values: Iterable[str], limit: int) -> list[str]:
    """Return the first distinct values, each on one line of limited length."""
    lines = (" ".join(value.split())[:MAX_FIELD_CHARS] for value in values)
    return list(dict.fromkeys(filter(None, lines)))[:limit]


def limit_size(found: CardFields) -> CardFields:
    """Remove the last headings, and then the last subjects, until the fields are small enough."""
    while len(json.dumps(found.to_json(), ensure_ascii=False).encode()) > MAX_LAYER_BYTES:
        if found.outline:
            found = replace(found, outline=found.outline[:-1])
        else:
            found = replace(found, subjects=(found.subjects or ())[:-1])
    return found
