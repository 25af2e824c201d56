"""The sentences of what a search found that are worth a model's reading, each where it stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.passages import Passage
from rlm.answerability import question_words
from rlm.nearest import Sentence, sentences_of
from rlm.sentences import with_antecedent
from rlm.words import coverage, words


class Cosines(Protocol):
    """For each of some texts the sum of its cosines with some questions."""

    def __call__(self, questions: Sequence[str], texts: Sequence[str]) -> Sequence[float]: ...


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


def distinct_sentences(passages: Sequence[Passage]) -> list[Sentence]:
    """All sentences, those with the same text once."""
    return list(dict((each.text, each) for each in reversed(sentences_of(passages))).values())


def nearest(
    question: str, sentences: Sequence[Sentence], passages: Sequence[Passage], cosines: Cosines, count: int
) -> list[Candidate]:
    """The `count` best, by what passages are weighed with: the cosine, and the share of the question's words."""
    wanted = question_words(question)
    near = cosines([question], [each.text for each in sentences])
    scores = [cosine + coverage(wanted, words(each.text)) for cosine, each in zip(near, sentences, strict=True)]
    return best(sentences, scores, passages, count)


def best(
    sentences: Sequence[Sentence], scores: Sequence[float], passages: Sequence[Passage], count: int
) -> list[Candidate]:
    """The `count` sentences with the highest scores, highest first."""
    order = sorted(range(len(sentences)), key=lambda at: -scores[at])[:count]
    return [_candidate(passages[sentences[at].passage], sentences[at], scores[at]) for at in order]


def _candidate(passage: Passage, sentence: Sentence, score: float) -> Candidate:
    return Candidate(passage, *with_antecedent(passage.text, sentence.start, sentence.end), score)
