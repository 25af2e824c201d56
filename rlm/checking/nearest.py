"""Finds the part of a passage most similar to a sentence.

Words that are rare in the passage have a higher weight.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from math import log

from retrieval.search.requests import Passage
from rlm.checking.markers import list_sentence_spans
from rlm.checking.quotes import Span

# Matches a word. A number with its separators counts as one word.
_WORD = re.compile(r"\d+(?:[.,]\d+)+|\w+")
# Number of first letters that identify a word's stem, because most inflected forms of a word share their first letters.
_STEM_CHARS = 5
# Matches years, days and other small numbers, which are too common to identify a span.
_SMALL_NUMBER = re.compile(r"\d{1,2}|[12]\d{3}")
_LINE = re.compile(r"\S[^\n]*")
_HEADING = re.compile(r"#{1,6}\s")
# Matches the rule line below a table's header.
_RULE = re.compile(r"\s*\|(?:\s*:?-+:?\s*\|)+[ \t]*(?:\n|\Z)")
_ROW_OR_SENTENCE = re.compile(r"\||.*[.!?][\"'”’)]*\Z", re.DOTALL)


def is_header_row(text: str, start: int, end: int) -> bool:
    """Return whether a line is the header row of a table, which is not a sentence."""
    return text.startswith("|", start) and _RULE.match(text, end) is not None


def has_only_table_rows(passage: Passage) -> bool:
    """Return whether a passage comes from a file that is a single table, such as a CSV file.

    Such a passage's location consists only of row numbers.
    """
    return passage.page is None and bool(passage.place)


def list_quotable_spans(passage: Passage) -> list[Span]:
    """Return the spans of a passage that can be quoted alone: sentences except headings, or rows of a CSV file."""
    if has_only_table_rows(passage):
        return [found.span() for found in _LINE.finditer(passage.text)]
    spans = list_sentence_spans(passage.text)
    return [span for span in spans if not _HEADING.match(passage.text, *span)] or spans


def extract_stems(text: str) -> frozenset[str]:
    """Return the numbers in a string and the stems of its other words. Inflected forms of a word share a stem."""
    return frozenset(word if word[0].isdigit() else word[:_STEM_CHARS].casefold() for word in _WORD.findall(text))


def extract_figures(text: str) -> frozenset[str]:
    """Return the numbers in a string that are neither years nor small."""
    return frozenset(each for each in filter(_is_number, extract_stems(text)) if not _SMALL_NUMBER.fullmatch(each))


class PassageSpans:
    """The quotable spans of a passage. Words that occur in fewer spans have a higher weight."""

    def __init__(self, passage: Passage) -> None:
        self._text = passage.text
        spans = list_quotable_spans(passage)
        if not has_only_table_rows(passage):
            # guard: nearest-skips-scraps
            spans = [span for span in spans if not _is_fragment(self._text, *span)] or spans
        self._stems = {span: extract_stems(self._text[slice(*span)]) for span in spans}
        counts = Counter(chain.from_iterable(self._stems.values()))
        # Weights of stems: their inverse document frequency (Robertson & Sparck Jones, 1976), as in BM25.
        self._weights = {stem: log(1 + (len(spans) - n + 0.5) / (n + 0.5)) for stem, n in counts.items()}
        # guard: nearest-common-words
        self._telling = frozenset(stem for stem, n in counts.items() if 2 * n <= max(2, len(spans)))

    def find_nearest_span(self, stems: frozenset[str], quoted_spans: Sequence[Span]) -> Span | None:
        """Return the span most similar to a sentence, or None. `stems` are the sentence's stems.

        None means that no span shares a distinctive word with the sentence. A span in `quoted_spans` wins a tie, and
        also wins over a span that shares only a year or a small number. A sentence with numbers gets a span that
        contains one of them, preferably one that is neither a year nor a small number.
        """
        figures = frozenset(filter(_is_number, stems))
        known = figures & self._telling
        sought = frozenset(stem for stem in known if not _SMALL_NUMBER.fullmatch(stem)) or known
        every, own = [] if figures and quoted_spans else list(self._stems), quoted_spans
        if sought:
            every = [span for span, found in self._stems.items() if sought & found]
            own = [span for span in quoted_spans if sought & self._get_stems(span)]
        best, mine = self._find_best_span(stems, every), self._find_best_span(stems, own)
        # guard: nearest-lone-year
        if quoted_spans and best and _is_weak_match(self._find_shared_stems(stems, best) & self._telling):
            best = None
        if mine and (
            best is None or len(self._find_shared_stems(stems, mine)) >= len(self._find_shared_stems(stems, best))
        ):
            return mine
        return best or next(iter(quoted_spans), None)

    def find_rarest_word(self, stems: frozenset[str], span: Span) -> int | None:
        """Return where the word of a span starts that has one of the stems and occurs in the fewest other spans.

        Of equally rare words, the longest is found.
        """
        weighted = [
            (weight, len(found[0]), -found.start())
            for found in _WORD.finditer(self._text, *span)
            for weight in [self._compute_total_weight(extract_stems(found[0]) & stems)]
            if weight
        ]
        return -max(weighted)[2] if weighted else None

    def _find_best_span(self, stems: frozenset[str], spans: Iterable[Span]) -> Span | None:
        told = (span for span in spans if self._find_shared_stems(stems, span) & self._telling)
        return max(told, key=lambda span: self._compute_similarity(stems, span), default=None)

    def _compute_similarity(self, stems: frozenset[str], span: Span) -> float:
        """Return the Dice coefficient of the weighted stems.

        With this coefficient, the longest span does not always win.
        """
        whole = self._compute_total_weight(stems) + self._compute_total_weight(self._get_stems(span))
        return 2 * self._compute_total_weight(self._find_shared_stems(stems, span)) / whole if whole else 0.0

    def _find_shared_stems(self, stems: frozenset[str], span: Span) -> frozenset[str]:
        return stems & self._get_stems(span)

    def _compute_total_weight(self, stems: Iterable[str]) -> float:
        return sum(self._weights.get(word, 0.0) for word in stems)

    def _get_stems(self, span: Span) -> frozenset[str]:
        return self._stems.get(span) or extract_stems(self._text[slice(*span)])


def extract_nearest_text(passage: Passage, stems: frozenset[str], max_chars: int) -> str:
    """Return the span of a passage that is most similar to a text with these stems, up to `max_chars` characters.

    A longer span is cut to the words around its rarest word that has one of the stems. If no span shares a distinctive
    word with the text, the passage's first characters are returned.
    """
    spans = PassageSpans(passage)
    start, end = spans.find_nearest_span(stems, ()) or (0, len(passage.text))
    rarest = spans.find_rarest_word(stems, (start, end)) or start
    # A third of the characters are for the words before. The first of them may be cut off, so it is left out.
    if (first := min(end - max_chars, rarest - max_chars // 3)) > start:
        start = passage.text.find(" ", first, rarest) + 1 or first
    return passage.text[start : min(end, start + max_chars)]


def _is_number(stem: str) -> bool:
    return any(map(str.isdigit, stem))


def _is_weak_match(shared_stems: frozenset[str]) -> bool:
    return len(shared_stems) == 1 and all(map(_SMALL_NUMBER.fullmatch, shared_stems))


def _is_fragment(text: str, start: int, end: int) -> bool:
    """Return whether a span is not worth quoting.

    That is the case for a table's header or rule, and for fewer than three words that are neither a sentence nor a row.
    Words are not counted in scripts without spaces.
    """
    said = text[start:end]
    words = len(_WORD.findall(said))
    return is_header_row(text, start, end) or (said.isascii() and words < (2 if _ROW_OR_SENTENCE.match(said) else 3))
