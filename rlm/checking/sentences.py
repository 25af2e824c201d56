"""Splits text into sentences, well enough to quote one."""

import re
from collections.abc import Iterator

_END = re.compile(r"[.!?][\"'”’)\]*_]*\s+|[。！？][”’」』）]*\s*|\n[ \t]*(?:\n\s*|(?=(?:[-*+>|#]|\d+[.)])))")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|No|Nr|Fig|Vol|pp?|ca?|approx|al|e\.g|i\.e|Inc|Ltd|Co|U\.S|z\.B))\.$"
)
_LONGEST_ABBREVIATION = 8
# The text before the full stop of "12. " at the beginning of a line, also when quoted or in a nested list.
_LIST_NUMBER = re.compile(r"(?:\A|\n)[ \t>*-]*\d{1,3}\Z")
_LONGEST_LIST_NUMBER = 20


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return half-open spans of the sentences, list items and headings of `text`, in order, without surrounding space.

    A full stop ends a sentence unless an abbreviation or initial precedes it or a lower-case letter follows; a line
    break alone ends none, because extracted text is often broken where the lines of a page were.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for end, following in _ends(text):
        spans.append((start, end))
        start = following
    spans.append((start, len(text)))
    return [(first, last) for first, last in (_stripped(text, *span) for span in spans) if first < last]


def _ends(text: str) -> Iterator[tuple[int, int]]:
    for match in _END.finditer(text):
        if match[0][0] == "." and "\n" not in match[0]:
            if text[match.end() : match.end() + 1].islower():
                continue
            if _ABBREVIATION.search(text, max(0, match.start() + 1 - _LONGEST_ABBREVIATION), match.start() + 1):
                continue
            if _LIST_NUMBER.search(text, max(0, match.start() - _LONGEST_LIST_NUMBER), match.start()):
                continue
        yield match.end(), match.end()


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
