"""Answers without a language model: from the best passages, it quotes the sentences most similar to the question."""

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.storage.remarks import Remark
from rlm.answers import AnswerStatus, Draft, OfferedQuote, summarize_search
from rlm.checking.nearest import extract_stems, has_only_table_rows, list_quotable_spans
from rlm.events import Delta, Drafted, Event, Retrieved
from rlm.strategy import Phrasing, Search, phrase_in_english

HEADING, NO_PASSAGES = Remark("answer_quotes"), Remark("answer_no_quotes")
_PASSAGES = 5
_SENTENCES = 3
_MIN_WORDS = 4


@dataclass(frozen=True)
class ExtractiveStrategy:
    """Quotes the sentences of the best passages that share the most words with the question."""

    phrase: Phrasing = phrase_in_english

    def stream(self, question: str, search: Search) -> Iterator[Event]:
        """Stream the answer's events as `Strategy.stream` does, but without a model."""
        passages = tuple(search(question, _PASSAGES))
        yield Retrieved(passages, question)
        wanted = extract_stems(question)
        candidates = [
            (len(wanted & extract_stems(passage.text[start:end])), -place, passage, start, end)
            for place, passage in enumerate(passages)
            for start, end in list_quotable_spans(passage)
            if has_only_table_rows(passage) or _is_quotable_sentence(passage.text[start:end])
        ]
        best = sorted(candidates, key=lambda each: (-each[0], -each[1], each[3]))[:_SENTENCES]
        quotes = [" ".join(passage.text[start:end].split()) for _, _, passage, start, end in best]
        lines = [f"- “{quote}” [{number}]" for number, quote in enumerate(quotes, 1)]
        said = self.phrase(question, HEADING if lines else NO_PASSAGES)
        text = "\n".join([said, "", *lines]) if lines else said
        yield Delta(text)
        yield Drafted(
            Draft(
                status=AnswerStatus.EXTRACTIVE if lines else AnswerStatus.NOT_FOUND,
                text=text,
                evidence={number: each[2] for number, each in enumerate(best, 1)},
                searched=summarize_search(passages, (), (question,)),
                quotes=tuple(
                    OfferedQuote(number, each[2].text[each[3] : each[4]]) for number, each in enumerate(best, 1)
                ),
            )
        )


def _is_quotable_sentence(sentence: str) -> bool:
    """Return whether a sentence is more than a heading, a rule, or a few words without a number.

    Words are not counted in scripts without spaces.
    """
    if sentence.startswith("#") or not any(map(str.isalpha, sentence)):
        return False
    return len(sentence.split()) >= _MIN_WORDS or not sentence.isascii() or any(map(str.isdigit, sentence))
