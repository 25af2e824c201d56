"""What code can have computed: numbers, dates, labels, text that stands in the documents, and lists and dicts of them.

A sentence is none of these, however it was put together: it asserts something, and takes evidence.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from rlm.corpus.cancelling import unless_cancelled
from rlm.corpus.corpus import Corpus
from rlm.recursive.spans import OpenedSpans
from rlm.strategies import never

_WINDOW = 1 << 20
_SECONDS = 10.0
# A name that code gives to a number of its own, such as "before 1700".
_NAME_WORDS = 4
_SAID_WORDS = 3
_BETWEEN = re.compile(r"[,;:()\[\]|=→\n]+|\s[-–—]+\s")
_CAPTION = re.compile(r"^[^\W\d_]+(?: [^\W\d_]+)?:\s+(?=\S)")
_QUANTITY = re.compile(r"[\d.,]+ ?[a-z%°€$£]+")
_QUOTED = re.compile(r"(?<!\w)['\"“‘]([^'\"“”‘’\n]{1,60})['\"”’](?!\w)")
_COMPARING = frozenset({"than", "as"})
_WORDS = re.compile(r"\w+")
_COMMON_WORDS = """january february march april may june july august september october november december
    jan feb mar apr jun jul aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday
    st nd rd th am pm yes no true false none neither both equal same tie and or of"""
_COMMON = frozenset(_COMMON_WORDS.split())


class ComputedValues:
    """Knows the labels that a run's code used, and looks other words up in the documents that it went through.

    What the question has in quotation marks, and short choices that it names, are labels too.
    """

    def __init__(
        self, question: str, corpus: Corpus, opened: OpenedSpans, *, cancelled: Callable[[], bool] = never
    ) -> None:
        self._question = f" {' '.join(_words(question))} "
        self._corpus = corpus
        self._opened = opened
        self._cancelled = cancelled
        self._labels = {_folded(each) for each in _QUOTED.findall(question)}

    def know(self, labels: Iterable[str]) -> None:
        """What records were sorted into."""
        self._labels.update(map(_folded, labels))

    def know_said(self, said: Iterable[object]) -> None:
        """What models said of many records, one by one: what is short is a label that they were asked for."""
        self.know(each for each in said if isinstance(each, str) and len(each.split()) <= _SAID_WORDS)

    def stranger(self, answer: object) -> str | None:
        """The first text of an answer that no code has computed, or None. Raises `RunCancelledError`."""
        texts = {text: self._parts(text) for text in _texts(answer) if not self._is_value(text)}
        wanted = {_folded(each) for text, parts in texts.items() for each in (text, *parts)}
        standing = self._standing(wanted - {""})
        for text, parts in texts.items():
            unknown = [part for part in parts if _folded(part) not in standing and not self._is_value(part)]
            if unknown and _folded(text) not in standing:
                return text
        return None

    def _parts(self, text: str) -> list[str]:
        return [part for part in _BETWEEN.split(_CAPTION.sub("", text, count=1)) if part.strip()]

    def _is_value(self, text: str) -> bool:
        folded, words = _folded(text), _words(text)
        if folded in self._labels or len(folded) <= 2 or _QUANTITY.fullmatch(text.strip()):
            return True
        if all(word in _COMMON or not word[0].isalpha() for word in words):
            return True
        chosen = len(words) <= _NAME_WORDS and f" {' '.join(words)} " in self._question
        return chosen or self._is_verdict(folded)

    def _is_verdict(self, folded: str) -> bool:
        """Whether it says what the question asks, in the question's own words: "lost is more common than sold".

        Only labels may be other words. Without a label it is a verdict where it compares.
        """
        rest = folded
        for label in sorted((each for each in self._labels if each in folded), key=len, reverse=True):
            rest = re.sub(rf"(?<!\w){re.escape(label)}(?!\w)", " ", rest)
        words = _words(rest)
        asked = all(f" {word} " in self._question for word in words)
        return asked and (rest != folded or not _COMPARING.isdisjoint(words))

    def _standing(self, wanted: set[str]) -> set[str]:
        """Those of the texts that stand in documents of which something was opened, or which a program scanned."""
        standing: set[str] = set()
        overlap = 2 * max(map(len, wanted), default=0)
        for window in unless_cancelled(self._windows(overlap), self._cancelled) if wanted else ():
            standing |= {each for each in wanted - standing if each in window}
            if standing == wanted:
                break
        return standing

    def _windows(self, overlap: int) -> Iterator[str]:
        until = time.monotonic() + _SECONDS
        for document in self._opened.documents():
            for begin in range(0, document.characters, _WINDOW):
                if time.monotonic() > until:
                    return
                yield _folded(self._corpus.text(document.handle[begin : begin + _WINDOW + overlap]))


def _texts(answer: object) -> Iterator[str]:
    """The texts of an answer, but for the short names of numbers in a dict."""
    match answer:
        case str():
            yield answer
        case Mapping():
            for key, value in answer.items():
                if not _is_number(value) or len(str(key).split()) > _NAME_WORDS:
                    yield from _texts(key)
                yield from _texts(value)
        case list() | tuple() | set() | frozenset():
            for each in answer:
                yield from _texts(each)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .")


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.casefold())
