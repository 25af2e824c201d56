"""Finds a quotation in its source, verbatim except for typography.

A language model copies words well and typography badly, so both sides are folded before they are compared: white space,
table bars, Unicode compatibility forms, case and dashes are unified; quotation marks, apostrophes, Markdown emphasis
and invisible characters are dropped. Words, their order, digits and all other punctuation must match. The result is a
span of the source, so readers see the source's own characters. A word divided by a line break is also found as a whole
word. Folding undoes the changes made by `retrieval.model_text`, so words that a model copied from its prompt are found
in the document.
"""

import re
import unicodedata
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType

from ingest.storage.texts.normalize import is_invisible_character

Span = tuple[int, int]

# Maximum distance, in folded code points, between two parts of a quotation joined by "...": about three sentences.
MAX_ELLIPSIS_GAP = 400
_MAX_PARTS = 6
_MIN_PART_CHARS = 4
_MAX_CHAIN_STARTS = 32
# Maximum number of combining marks on one character, as in Unicode's Stream-Safe Text Format (UAX #15). Without a
# maximum, the time to normalize a run of marks would grow with the square of its length.
_MAX_MARKS = 30

# A word that the edge of a text cuts is removed, unless it is longer than this.
_MAX_WORD_CHARS = 100
_SPACE = re.compile(r"\s+")
_ELLIPSIS = re.compile(r" ?[\[(]?(?:\. ?){3,}[\])]? ?")
_EDGES = " .,;:!?()[]{}<>-"
_LEFT_OUT = frozenset(
    "*_`\\\"'\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2032\u2033\u2035\u02bc\u00ab\u00bb\u2039\u203a"
)
# Matches the break in a word that continues on the next line. The pattern also matches the break in "well-\nknown".
_DIVIDED_WORD = re.compile(r"(?<=[^\W\d_])[-\u2010\u00ad][ \t]*\r?\n[ \t]*(?=[^\W\d_])")
_NOTHING: Mapping[int, int] = MappingProxyType({})
_DASH_LIKE = frozenset("\u2212\u2043\u2500")


@dataclass(frozen=True)
class _FoldedText:
    """A text in folded form.

    `text[i]` was folded from the code points `starts[i]` to `ends[i]` of the source, which are one character and its
    combining marks.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def is_whole_match(self, start: int, end: int) -> bool:
        """Return whether a match fully covers each of its characters, and does not cut through a word or number."""
        return self._is_word_boundary(start) and self._is_word_boundary(end)

    def _is_word_boundary(self, position: int) -> bool:
        if position in (0, len(self.text)) or " " in self.text[position - 1 : position + 1]:
            return True
        # A quotation may end at a character that folding removes, such as the apostrophe of a possessive.
        return self.starts[position] != self.starts[position - 1] and (
            self.starts[position] != self.ends[position - 1] or not is_inside_word(self.text, position)
        )


def fold_text(text: str) -> str:
    """Return the text in the folded form used for comparison. Folding it again gives an equivalent text."""
    return _fold_text(text).text


class QuotedText:
    """A text that is folded once and then searched for several quotations."""

    def __init__(self, text: str) -> None:
        self._text = text

    def locate(self, quote: str) -> Span | None:
        """Return the span of the first occurrence of `quote`, in code points of the text, or None.

        An exact copy is preferred. A quotation must contain a letter or digit, and never begins or ends inside a word
        or number. Parts joined by an ellipsis must follow each other within `MAX_ELLIPSIS_GAP`, and the span includes
        the text between them. If nothing matches, punctuation at the ends of the quotation is ignored. The time is
        linear in both lengths.
        """
        if not any(map(str.isalnum, quote)):
            return None
        found = locate_exactly(quote, self._text)
        if found is not None:
            return found
        wanted = fold_text(quote)
        for source in filter(None, (self._folded, self._joined)):
            for parts in ([wanted], _split_at_ellipses(wanted)):
                span = _find_parts_in_order(parts, source)
                if span is not None:
                    return source.starts[span[0]], source.ends[span[1] - 1]
        return None

    @cached_property
    def _folded(self) -> "_FoldedText":
        return _fold_text(self._text)

    @cached_property
    def _joined(self) -> "_FoldedText | None":
        """The folded text with words rejoined across line breaks, or None if no word is divided."""
        divided = {match.start(): match.end() for match in _DIVIDED_WORD.finditer(self._text)}
        return _fold_text(self._text, divided) if divided else None


def locate_exactly(quote: str, text: str) -> Span | None:
    """Return the first verbatim occurrence of `quote`, ignoring white space around it.

    This is much faster than `QuotedText`.
    """
    exact = quote.strip()
    if not any(map(str.isalnum, exact)):
        return None
    return _find_occurrence(
        exact, text, 0, lambda start, end: not is_inside_word(text, start) and not is_inside_word(text, end)
    )


def _split_at_ellipses(quotation: str) -> list[str]:
    """Split a quotation at each ellipsis and strip punctuation from the parts.

    Return an empty list if a part is too short.
    """
    parts = [part.strip(_EDGES) for part in _ELLIPSIS.split(quotation)]
    parts = [part for part in parts if part]
    shortest = _MIN_PART_CHARS if len(parts) > 1 else 1
    return parts if len(parts) <= _MAX_PARTS and all(len(part) >= shortest for part in parts) else []


def _find_parts_in_order(parts: Sequence[str], source: _FoldedText) -> Span | None:
    if not parts or not parts[0]:
        return None
    at = 0
    for _ in range(_MAX_CHAIN_STARTS):
        first = _find_occurrence(parts[0], source.text, at, source.is_whole_match)
        if first is None:
            return None
        end = _find_end_of_parts(parts[1:], source, first[1])
        if end is not None:
            return first[0], end
        at = first[0] + 1
    return None


def _find_end_of_parts(parts: Sequence[str], source: _FoldedText, end: int) -> int | None:
    """Return the end of the last part, or None if a part is not close to the end of the previous one."""
    for part in parts:
        found = _find_occurrence(part, source.text, end, source.is_whole_match)
        if found is None or found[0] - end > MAX_ELLIPSIS_GAP:
            return None
        end = found[1]
    return end


def _find_occurrence(quotation: str, text: str, position: int, is_valid: Callable[[int, int], bool]) -> Span | None:
    """Return the first occurrence for which `is_valid` returns true, or None.

    The number of rejected occurrences is limited so that the time stays linear.
    """
    for _ in range(max(16, 2 * len(text) // len(quotation))):
        start = text.find(quotation, position)
        if start < 0:
            return None
        if is_valid(start, start + len(quotation)):
            return start, start + len(quotation)
        position = start + 1
    return None


def is_inside_word(text: str, position: int) -> bool:
    """Return whether the character at `position` continues a cased word, a number, or an accented letter."""
    if not 0 < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    if unicodedata.combining(after):
        return True
    if before in ".," and after.isdigit():
        return position > 1 and text[position - 2].isdigit()
    if before.isdigit() and after in ".,":
        return position + 1 < len(text) and text[position + 1].isdigit()
    return _is_word_char(before) and _is_word_char(after)


def trim_to_words(text: str, inner: Span, *, is_cut_before: bool, is_cut_after: bool) -> Span:
    """Return the span of `text` without the words that its edges cut. It contains the span `inner`.

    An edge stays where nothing was cut, and where no space is near, as in scripts without spaces.
    """
    first, last = 0, len(text)
    if is_cut_before and (edge := _SPACE.search(text, 0, min(inner[0], _MAX_WORD_CHARS))):
        first = edge.end()
    if is_cut_after:
        edges = [found.start() for found in _SPACE.finditer(text, max(inner[1], last - _MAX_WORD_CHARS))]
        last = edges[-1] if edges else last
    return first, last


def _is_word_char(char: str) -> bool:
    return char.isdigit() or char.lower() != char.upper()


def _fold_text(text: str, omitted_spans: Mapping[int, int] = _NOTHING) -> _FoldedText:
    """Fold a string without the spans in `omitted_spans`, which maps the start of each span to its end."""
    chars: list[str] = []
    starts, ends = array("l"), array("l")
    space = False
    start = 0
    while start < len(text):
        if start in omitted_spans:
            start = omitted_spans[start]
            continue
        end = start + 1
        while end < len(text) and end - start <= _MAX_MARKS and _is_combining_mark(text[end]):
            end += 1
        for char in _normalize_cluster(text[start:end]) if end - start > 1 else _normalize_char(text[start]):
            if char == " ":
                space = True
                continue
            if char == "-":
                space = False
                if chars and chars[-1] == "-":
                    ends[-1] = end
                    continue
            if space and chars and chars[-1] != "-":
                chars.append(" ")
                starts.append(start)
                ends.append(start)
            space = False
            chars.append(char)
            starts.append(start)
            ends.append(end)
        start = end
    return _FoldedText("".join(chars), starts, ends)


def _is_combining_mark(char: str) -> bool:
    """Return whether a character is a combining mark.

    Normalization may reorder such a mark or merge it with the previous character.
    """
    return char >= "\u0300" and _starts_with_combining_mark(char)


@lru_cache(maxsize=4096)
def _starts_with_combining_mark(char: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) != 0


@lru_cache(maxsize=4096)
def _normalize_char(char: str) -> str:
    return _normalize_cluster(char)


def _normalize_cluster(cluster: str) -> str:
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", cluster).casefold())
    return "".join(map(_simplify_char, bare))


def _simplify_char(char: str) -> str:
    if char.isspace() or char == "|":
        return " "
    category = unicodedata.category(char)
    if char in _LEFT_OUT or category in ("Cf", "Cc") or is_invisible_character(char):
        return ""
    return "-" if category == "Pd" or char in _DASH_LIKE else char
