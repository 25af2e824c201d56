"""Answers that are written down beforehand, for what is built upon answering."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlm.answers import (
    Answer,
    AnswerStatus,
    Check,
    Citation,
    Quote,
    SearchedDocument,
    SearchSummary,
    Sentence,
)
from rlm.events import Completed, Delta, Event
from rlm.requests import AnswerRequest

SENTENCE = "The whale was white [1]."


def answer(document_id: str = "d", *, text: str = SENTENCE, **changes: Any) -> Answer:  # noqa: ANN401 - of `Answer`
    """A direct answer of one sentence, which a judge found to be supported by one document."""
    made = Answer(
        AnswerStatus.ANSWERED,
        text,
        (Sentence(text, 0, len(text), (1,), Check.VERIFIED, "", (Quote(1, 4, 19, "white whale was", 2),)),),
        (Citation(1, document_id, "v", "The Whale", ("Chapter 1",), 2, 4, 19, "white whale was", True),),
        "direct",
        "a model",
        SearchSummary(3, 2, (SearchedDocument(document_id, "The Whale", 3, 2),), ("white whale",)),
        question="Which colour had the whale?",
        timings_ms={"total": 12.5},
    )
    return replace(made, **changes)


class ScriptedAnswers:
    """Answers each question in turn with the next of the scripted events, or what is raised; keeps its requests."""

    def __init__(self, *scripts: Sequence[Event] | Exception) -> None:
        self.requests: list[AnswerRequest] = []
        self.scripts = list(scripts)

    def get_state(self) -> Mapping[str, Any]:
        return {"state": "ready", "model": "a model"}

    def stream(self, request: AnswerRequest, *, cancelled: Callable[[], bool], **_: object) -> Iterator[Event]:
        self.requests.append(request)
        usual: list[Event] = [Delta(SENTENCE), Completed(answer())]
        script = self.scripts.pop(0) if self.scripts else usual
        if isinstance(script, Exception):
            raise script
        return iter(script)
