"""Parses the markers in a streamed reply, such as `[3]`, renumbers them, and locates them in the answer's sentences.

Sentence splitting is accurate enough to quote a single sentence. A reply may have a block in angle brackets before its
text (`<search>`) and another after it (`<support>`). Readers see neither of these blocks. Markers inside backticks are
ignored.
"""

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rlm.checking.sentence_rules import (
    ABBREVIATION_LOOKBACK_CHARS,
    ASIDE_END_LOOKBACK_CHARS,
    AUSTRIAN_MONTHS,
    GERMAN_MONTHS,
    MAX_ASIDE_CHARS,
    MAX_DAY_DIGITS,
    MAX_LIST_NUMBER_DIGITS,
    MAX_MARKER_DIGITS,
    MAX_MARKER_GROUP_CHARS,
    MAX_MARKER_RANGE,
    MAX_ORDINAL_DIGITS,
    MAX_QUOTED_CHARS,
    MAX_QUOTED_SENTENCES,
    NUMBER_LOOKBACK_CHARS,
    ORDINAL_ARTICLES,
    ORDINAL_PREPOSITIONS,
    ORDINAL_QUANTIFIERS,
    OTHER_ABBREVIATIONS,
    QUANTITY_ABBREVIATIONS,
    REFERENCE_ABBREVIATIONS,
    TITLE_ABBREVIATIONS,
)

_DIGITS = rf"\d{{1,{MAX_MARKER_DIGITS}}}"
_NUMBERS = rf"{_DIGITS}(?:\s*(?:[,;]|[-–—]|and|&)\s*(?:passages?\s+)?{_DIGITS})*"
# Matches a group of markers: `[3]`, `[3, 5]`, `[3-5]` or `[passage 3]`, also in the lenticular brackets that some
# models prefer.
_GROUP = re.compile(rf"[\[【](?:passages?\s+)?({_NUMBERS})[\]】]", re.IGNORECASE)
_PARTIAL_GROUP = re.compile(r"[\[【](?:p|pa|pas|pass|passa|passag|passages?\s*)?[\d\s,;&–—\-andpsge]*", re.IGNORECASE)
_RANGE = re.compile(rf"({_DIGITS})\s*[-–—]\s*({_DIGITS})|({_DIGITS})")
_MARKER = re.compile(rf"\[({_DIGITS})\]")
_MARKER_AFTER_SPACE = re.compile(rf"[ \t]*\[{_DIGITS}\]")
_LEADING = re.compile(rf"(?:\[{_DIGITS}\][ \t]*)+")
_TRAILER = "<support"
_CODE = re.compile(r"`+")
# Two full stops after a word. Three are an ellipsis, and two without a space after them belong to a path or a range.
_TWO_FULL_STOPS = re.compile(r"(?<=[^\W\d_])\.\.(?=\s|\Z)")
_END = re.compile(r"[.!?][\"'”’)\]*_]*\s+|[。！？][”’」』）]*\s*|\r?\n[ \t]*(?:\r?\n\s*|(?=(?:[-*+>|#]|\d+[.)])))")
# Matches code spans, and short text between single quotation marks. Full stops inside them do not end a sentence.
_SHORT = rf"{{1,{MAX_QUOTED_CHARS}}}"
_VERBATIM = re.compile(rf"`[^`\n]+`|(?<!\w)'[^'\n]{_SHORT}'(?!\w)|(?<!\w)‘[^‘’\n]{_SHORT}’(?!\w)")
_ASIDE_END = re.compile(r"[.!?][\"'”’]*\)\Z")
# Matches a parenthesis without closing punctuation. With closing punctuation, a parenthesis is a complete sentence.
_ASIDE_WITHIN = re.compile(rf"\([^()\n]{{0,{MAX_ASIDE_CHARS}}}(?<![.!?\"'”’])\)")
_ABBREVIATIONS = (*TITLE_ABBREVIATIONS, *REFERENCE_ABBREVIATIONS, *QUANTITY_ABBREVIATIONS, *OTHER_ABBREVIATIONS)
_ABBREVIATION = re.compile(rf"\b(?:[A-Z]|{'|'.join(map(re.escape, _ABBREVIATIONS))})\.$")
# Matches a full stop between a word and a number. Such a full stop usually belongs to an abbreviation, as in "sec. 4",
# "Jan. 5" or "Abs. 2", because few sentences begin with a number.
_BEFORE_NUMBER = re.compile(r"[^\W\d_]\.[ \t]+\d")
# Matches the number of a list item such as "12. ", including items in block quotes and nested lists.
_LIST_NUMBER = re.compile(rf"(?:\A|\n)[ \t>*-]*\d{{1,{MAX_LIST_NUMBER_DIGITS}}}\Z")
# Matches German words before an ordinal. German ordinals are written with a full stop, and German nouns with a capital
# letter: "am 1. April", "im 19. Jahrhundert", "bis 24. Mai".
_BEFORE_ORDINAL = "|".join((*ORDINAL_PREPOSITIONS, *ORDINAL_ARTICLES, *ORDINAL_QUANTIFIERS))
_ORDINAL = re.compile(rf"\b(?:{_BEFORE_ORDINAL})(?<!I am)\s+\d{{1,{MAX_ORDINAL_DIGITS}}}\Z", re.IGNORECASE)
_DAY = re.compile(rf"(?<!\d)\d{{1,{MAX_DAY_DIGITS}}}\Z")
_MONTH = re.compile(rf"(?:{'|'.join((*GERMAN_MONTHS, *AUSTRIAN_MONTHS))})\b")


@dataclass
class MarkedText:
    """Turns the pieces of a reply into pieces of an answer, with markers renumbered in order of use.

    `number_of` maps a passage's number to its number in the answer, or to None if there is no such passage. In that
    case the marker is dropped and counted in `strangers`. `rest` is the part of the reply after the text, from
    `<support` on.

        text = MarkedText({3: 1}.get)
        text.feed("The orchard closed [3].") + text.close()  # "The orchard closed [1]."
    """

    number_of: Callable[[int], int | None]
    strangers: int = 0
    rest: str = ""
    _waiting: str = ""
    _space: str = ""
    _ended: bool = False
    _code: str = ""

    def feed(self, piece: str) -> str:
        """Add a piece of the reply, and return the next piece of the answer.

        Text that may turn out to be a marker, a trailing block or trailing white space is held back.
        """
        if self._ended:
            self.rest += piece
            return ""
        self._waiting += piece
        return self._defer_trailing_space(self._release_text(is_final=False))

    def close(self) -> str:
        """Return the text that is still held back at the end of the reply, without an incomplete marker or tag."""
        return "" if self._ended else self._defer_trailing_space(self._release_text(is_final=True))

    def _defer_trailing_space(self, text: str) -> str:
        text = self._space + text
        shown = text.rstrip()
        self._space = text[len(shown) :]
        return shown

    def _release_text(self, *, is_final: bool) -> str:
        given: list[str] = []
        text, at = self._waiting, 0
        while at < len(text) and not self._ended:
            places = (text.find(char, at) for char in "[【`<")  # The start of a possible marker, block or code span.
            found = min((place for place in places if place >= 0), default=len(text))
            given.append(text[at:found])
            at = found
            if at == len(text):
                break
            taken = self._consume_next(text, at, given, is_final=is_final)
            if taken == at:
                break
            at = taken
        self._waiting = "" if is_final else text[at:]
        return "".join(given)

    def _consume_next(self, text: str, position: int, output: list[str], *, is_final: bool) -> int:
        """Process the text from `position` on.

        Returns the position to continue from, or `position` if more text is needed.
        """
        char = text[position]
        if char == "`":
            return self._consume_code(text, position, output, is_final=is_final)
        if self._code:
            output.append(char)
            return position + 1
        if char == "<":
            return self._consume_tag(text, position, output, is_final=is_final)
        if match := _GROUP.match(text, position):
            output.append(self._renumber_markers(match[1]))
            return match.end()
        # If more text arrives, this text may still become a group of markers.
        if len(text) - position < MAX_MARKER_GROUP_CHARS and _PARTIAL_GROUP.fullmatch(text, position):
            return position
        output.append(char)
        return position + 1

    def _consume_code(self, text: str, position: int, output: list[str], *, is_final: bool) -> int:
        match = _CODE.match(text, position)
        assert match is not None
        if match.end() == len(text) and not is_final:
            return position  # More backticks of this code span's mark may follow.
        if not self._code:
            self._code = match[0]
        elif self._code == match[0]:
            self._code = ""
        output.append(match[0])
        return match.end()

    def _consume_tag(self, text: str, position: int, output: list[str], *, is_final: bool) -> int:
        begun = text[position : position + len(_TRAILER)].lower()
        if begun == _TRAILER:
            self._ended, self.rest = True, text[position:]
            return len(text)
        if _TRAILER.startswith(begun) and not (is_final and len(begun) == 1):
            return position
        output.append("<")
        return position + 1

    def _renumber_markers(self, numbers: str) -> str:
        said = (self.number_of(number) for number in _parse_numbers(numbers))
        known = []
        for number in said:
            if number is None:
                self.strangers += 1
            elif number not in known:
                known.append(number)
        return "".join(f"[{number}]" for number in known)


def _parse_numbers(numbers: str) -> Iterator[int]:
    for match in _RANGE.finditer(numbers):
        if match[3]:
            yield int(match[3])
        else:
            first, last = int(match[1]), int(match[2])
            yield from range(first, min(last, first + MAX_MARKER_RANGE) + 1)


def iter_marked_spans(text: str, values: Iterable[str] = ()) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield the start, end and marker numbers of each sentence, list item and heading of an answer, in order.

    Markers after a full stop belong to the sentence before them. A quotation or parenthesis that contains several
    sentences belongs to the sentence around it. Full stops in `values`, which code inserted into the text (such as
    "Esc. L2"), do not end a sentence.
    """
    spans: list[tuple[int, int]] = []
    for start, end in _join_spans_in_quotations(text, list_sentence_spans(text, values)):
        leading = _LEADING.match(text, start, end)
        if leading and spans and "\n" not in text[spans[-1][1] : start]:
            spans[-1] = (spans[-1][0], start + len(leading[0].rstrip()))
            start = leading.end()
        if start < end and any(map(str.isalnum, text[start:end])):
            spans.append((start, end))
    for start, end in spans:
        numbers = dict.fromkeys(int(match[1]) for match in _MARKER.finditer(text, start, end))
        yield start, end, tuple(numbers)


def _join_spans_in_quotations(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join the spans that are inside the same quotation or parenthesis.

    A quotation or parenthesis that does not close soon, within its paragraph, is ignored.
    """
    at = 0
    while at < len(spans):
        last = at
        opened = _count_open_marks(text, spans[at])
        while opened.is_open:
            ends = last + 1 == len(spans) or last - at == MAX_QUOTED_SENTENCES
            if ends or "\n" in text[spans[last][1] : spans[last + 1][0]]:
                last = at
                break
            last += 1
            opened += _count_open_marks(text, spans[last])
        yield spans[at][0], spans[last][1]
        at = last + 1


@dataclass(frozen=True)
class _OpenMarks:
    """Numbers of open quotation marks and parentheses.

    `straight` counts marks whose opening and closing forms are identical.
    """

    straight: int
    curved: int
    round: int

    def __add__(self, other: "_OpenMarks") -> "_OpenMarks":
        return _OpenMarks(self.straight + other.straight, self.curved + other.curved, self.round + other.round)

    @property
    def is_open(self) -> bool:
        return self.straight % 2 == 1 or self.curved > 0 or self.round > 0


def _count_open_marks(text: str, span: tuple[int, int]) -> _OpenMarks:
    count = text[slice(*span)].count
    return _OpenMarks(count('"'), count("“") - count("”"), count("(") - count(")"))


def remove_markers(text: str) -> str:
    """Return `text` without its markers and the space before them."""
    return _MARKER_AFTER_SPACE.sub("", text)


def merge_full_stops(text: str) -> str:
    """Return `text` with one full stop where an abbreviation ends a sentence: "sold by Brandt Inc." and not "Inc..".

    Code that puts a value into a sentence writes the second one.
    """
    return _TWO_FULL_STOPS.sub(".", text)


def list_sentence_spans(text: str, values: Iterable[str] = ()) -> list[tuple[int, int]]:
    """Return half-open spans of the sentences, list items and headings of `text`, in order, without surrounding space.

    A full stop, exclamation mark or question mark ends a sentence, with these exceptions: a lower-case letter, a cell
    border or an unpunctuated parenthesis follows; an abbreviation, initial or ordinal precedes it; or it is inside
    code, one of the `values`, or a short text in single quotation marks. A full stop between a word and a number does
    not end a sentence. Neither does a single line break, because extracted text often keeps the line breaks of the
    page.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for end in _iter_sentence_ends(text, values):
        if _ends_with_parenthesis(text[start:end].rstrip()):
            continue
        spans.append((start, end))
        start = end
    spans.append((start, len(text)))
    return [(first, last) for first, last in (_strip_span(text, *span) for span in spans) if first < last]


def _ends_with_parenthesis(text: str) -> bool:
    """Return whether a string ends with a complete parenthesis, as in "It failed (twice!)"."""
    return _ASIDE_END.search(text, max(0, len(text) - ASIDE_END_LOOKBACK_CHARS)) is not None and text.rfind("(") > 0


def _iter_sentence_ends(text: str, values: Iterable[str]) -> Iterator[int]:
    torn = sorted({value for value in values if value in text and _END.search(f"{value} ")}, key=len, reverse=True)
    whole = [rf"(?<!\w){re.escape(value)}(?!\w)" for value in torn]
    verbatim = [found.span() for found in re.finditer("|".join([_VERBATIM.pattern, *whole]), text)]
    last = {end for _, end in verbatim}
    for match in _END.finditer(text):
        in_line, after = "\n" not in match[0], text[match.end() : match.end() + 1]
        if in_line and (after.islower() or after == "|" or _is_position_in_spans(verbatim, match.start())):
            continue
        if in_line and after == "(" and match.start() + 1 in last:
            continue
        if in_line and match[0][0] == ".":
            if _BEFORE_NUMBER.match(text, max(0, match.start() - 1)):
                continue
            if _ASIDE_WITHIN.match(text, match.end()):
                continue
            if _ABBREVIATION.search(text, max(0, match.start() + 1 - ABBREVIATION_LOOKBACK_CHARS), match.start() + 1):
                continue
            before = max(0, match.start() - NUMBER_LOOKBACK_CHARS), match.start()
            if _LIST_NUMBER.search(text, *before) or _ORDINAL.search(text, *before):
                continue
            if _DAY.search(text, *before) and _MONTH.match(text, match.end()):
                continue
        yield match.end()


def _is_position_in_spans(spans: Sequence[tuple[int, int]], position: int) -> bool:
    """Return whether a position is inside one of the spans, but not at its last character.

    The spans must be in order.
    """
    at = bisect_right(spans, (position, sys.maxsize)) - 1
    return at >= 0 and position < spans[at][1] - 1


def _strip_span(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
