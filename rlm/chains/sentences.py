"""The sentences of what a search found that are nearest to a question, each where it stands."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.passages import Passage
from rlm.answerability import question_words
from rlm.namesakes import of_a_namesake
from rlm.nearest import Sentence, sentences_of
from rlm.quotes import locate
from rlm.sentences import with_antecedent
from rlm.words import coverage, words

_OPENING, _CLOSING = "\"“'‘«", "\"”'’»"
_KIND = re.compile(rf"\b(?:the|a|an|The|A|An) ((?:[a-z][\w'’-]* ){{1,3}}[{_OPENING}]?)$")
_NAME = re.compile(r"[^\W_a-z].*", re.DOTALL)
# "Stonebury in Saltshire": where a thing is tells it from others of the name as well.
_WHERE = re.compile(r" in [^\W\d_a-z][\w'’-]*")


class Cosines(Protocol):
    """The cosine of a question and each of some texts."""

    def __call__(self, question: str, texts: Sequence[str]) -> Sequence[float]: ...


@dataclass(frozen=True)
class Candidate:
    """A span of a passage that may answer: one sentence, or two where the second leans on the first."""

    passage: Passage
    start: int
    end: int
    score: float

    @property
    def text(self) -> str:
        return self.passage.text[self.start : self.end]


def candidates(
    question: str, passages: Sequence[Passage], cosines: Cosines, count: int, *, about: str | None = None
) -> list[Candidate]:
    """The `count` best of all sentences, best first; the same text counts once. `about` a name, of those on it.

    The score is that of passages: the cosine, and the share of the question's words.
    """
    sentences = list(dict((each.text, each) for each in reversed(sentences_of(passages))).values())
    if about is not None:
        sentences = _on(about, sentences, passages)
    wanted = question_words(question)
    near = cosines(question, [each.text for each in sentences])
    scores = [cosine + coverage(wanted, words(each.text)) for cosine, each in zip(near, sentences, strict=True)]
    best = sorted(range(len(sentences)), key=lambda at: -scores[at])[:count]
    return [_candidate(passages[sentences[at].passage], sentences[at], scores[at]) for at in best]


def with_kind(sentence: str, name: str) -> str:
    """A name with what the sentence calls it, or where it is, which tells it from others of the name: "stone bridge
    Mason's Crossing", "Stonebury in Saltshire"."""
    span = locate(name, sentence)
    if span is None:
        return name
    kind = _kind(sentence, span[0])
    if kind:
        quoted = kind[-1] in _OPENING and sentence[span[1] : span[1] + 1] in _CLOSING
        return kind + sentence[span[0] : span[1] + quoted]
    where = _WHERE.match(sentence, span[1])
    return sentence[span[0] : where.end() if where else span[1]]


def _kind(sentence: str, start: int) -> str:
    """The words between an article and the name that starts there, such as `comedy "`."""
    found = _KIND.search(sentence[:start])
    return found[1] if found else ""


def _on(name: str, sentences: Sequence[Sentence], passages: Sequence[Passage]) -> list[Sentence]:
    """The sentences with the name as it was found, kind and all; else those with the bare name, and no other kind;
    else those with its last word, and no other before it. With each, those of its passage that begin with "she"."""
    bare = _bare(name)
    last = bare.split()[-1]
    tiers: tuple[Callable[[str], object], ...] = (
        lambda text: locate(name, text),
        lambda text: locate(bare, text) and not _of_another_kind(name, text),
        lambda text: locate(last, text) and not of_a_namesake(bare, text),
    )
    for holds in tiers:
        named = [each for each in sentences if holds(each.text)]
        if named:
            within = {each.passage for each in named}
            return [each for each in sentences if each in named or (each.passage in within and _leans(each, passages))]
    return []


def _leans(sentence: Sentence, passages: Sequence[Passage]) -> bool:
    span = sentence.start, sentence.end
    return with_antecedent(passages[sentence.passage].text, *span) != span


def _bare(name: str) -> str:
    """Without the words of its kind, without where it is, and without quotation marks."""
    found = _NAME.search(_WHERE.sub("", name))
    return (found[0] if found else name).strip(_OPENING + _CLOSING + " ") or name


def _of_another_kind(name: str, sentence: str) -> bool:
    """Whether the sentence calls what has the name something else, a "toll bridge" that is no "swing bridge", or has it
    elsewhere."""
    bare = _bare(name)
    kinds: list[set[str]] = []
    places: set[str] = set()
    for text in (f"the {name}", sentence):
        span = locate(bare, text)
        kinds.append(set(_kind(text, span[0]).strip(_OPENING).split()) if span else set())
        if span and (where := _WHERE.match(text, span[1])):
            places.add(where[0])
    one, other = kinds
    return len(places) > 1 or (bool(one and other) and not (one <= other or other <= one))


def _candidate(passage: Passage, sentence: Sentence, score: float) -> Candidate:
    return Candidate(passage, *with_antecedent(passage.text, sentence.start, sentence.end), score)
