"""Answers without a language model: the sentences of the best passages that are nearest the question, labelled so."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rlm.answerability import UNREAD_THRESHOLD, Weighed, before_reading, question_words, weigh
from rlm.answers import Answer, searched
from rlm.cancelling import not_cancelled
from rlm.checking.sentences import sentence_spans
from rlm.composing import extracts, not_found
from rlm.events import Completed, Delta, Event, Retrieved, complete
from rlm.requests import check_question
from rlm.strategy import Retriever, StageClock
from rlm.verification import Located
from rlm.words import coverage, words

HEADING = "No language model took part; these sentences of the documents are nearest the question:"

# Question and texts in, one number for each text out, higher for nearer.
Similarity = Callable[[str, Sequence[str]], Sequence[float]]

_MAX_PASSAGES = 5
_MAX_CANDIDATES = 100
_MIN_WORDS = 4


class ExtractiveStrategy:
    """Quotes the nearest sentences, best first; by word overlap where no `similarity` is given."""

    name = "extractive"

    def __init__(self, retrieve: Retriever, *, similarity: Similarity | None = None, max_sentences: int = 3) -> None:
        if max_sentences < 1:
            raise ValueError("max_sentences must be at least 1")
        self._retrieve = retrieve
        self._similarity = similarity or _overlap
        self._max_sentences = max_sentences

    def answer(self, question: str) -> Answer:
        """The answer that `stream` ends with."""
        return complete(self.stream(question))

    def stream(self, question: str, *, cancelled: Callable[[], bool] = not_cancelled) -> Iterator[Event]:
        """Events as they happen. Raises `QuestionError` before the first, and what the retriever raises."""
        question = check_question(question)
        clock = StageClock()
        passages = tuple(self._retrieve(question))
        clock.lap("retrieve")
        yield Retrieved(passages)
        if cancelled():
            return
        weighed = weigh(question, passages)
        decision = before_reading(weighed)
        sentences = self._nearest(question, weighed) if decision.answerable else []
        scope = searched(passages)
        composed = extracts(sentences, HEADING) if sentences else not_found(scope)
        clock.lap("select")
        yield from map(Delta, composed.parts)
        answer = Answer(
            status=composed.status,
            text=composed.text,
            claims=composed.claims,
            citations=composed.citations,
            strategy=self.name,
            model=None,
            searched=scope,
            reasons=decision.reasons,
        )
        yield Completed(replace(answer, timings_ms=clock.laps()))

    def _nearest(self, question: str, weighed: Sequence[Weighed]) -> list[Located]:
        """The nearest sentences of passages over the threshold; a passage's own score breaks ties."""
        candidates = [
            Located(each, start, end)
            for each in weighed[:_MAX_PASSAGES]
            if each.score >= UNREAD_THRESHOLD
            for start, end in sentence_spans(each.passage.text)
            if _says_something(each.passage.text[start:end])
        ][:_MAX_CANDIDATES]
        scores = self._similarity(question, [candidate.text for candidate in candidates])
        ranked = sorted(
            zip(candidates, scores, strict=True), key=lambda pair: (-pair[1], -pair[0].source.score, pair[0].start)
        )
        return [candidate for candidate, _ in ranked[: self._max_sentences]]


def _says_something(sentence: str) -> bool:
    """Not a heading, and not a scrap; scripts without spaces have no words to count."""
    return not sentence.startswith("#") and (len(sentence.split()) >= _MIN_WORDS or not sentence.isascii())


def _overlap(question: str, texts: Sequence[str]) -> list[float]:
    wanted = question_words(question)
    return [coverage(wanted, words(text)) for text in texts]
