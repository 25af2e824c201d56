"""Plain retrieve-then-read, as the yardstick: passages into one prompt, the model's words out, nothing checked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from rlm.prompts import READING_SYSTEM, delimited, new_nonce

from retrieval.passages import Passage
from rlm.answers import Answer, AnswerStatus, searched
from rlm.cancelling import not_cancelled
from rlm.events import Completed, Delta, Event, Reading, Retrieved
from rlm.llm.profiles import ModelProfile
from rlm.llm.tokens import estimated_tokens
from rlm.requests import check_question
from rlm.strategy import Retriever, StageClock
from rlm.usage import Usage

_TASK = (
    "Question: {question}\n\n"
    "Answer from the passages above, as briefly as you can. If they do not hold the answer, say that the documents do "
    "not say."
)
_PROMPT_TOKENS = 160
_PASSAGE_TOKENS = 60


@dataclass
class RetrieveThenRead:
    """One search and one call of the model with as many passages, best first, as fit its window."""

    retrieve: Retriever
    model: BaseChatModel
    profile: ModelProfile

    name = "retrieve-then-read"

    def stream(self, question: str, *, cancelled: Callable[[], bool] = not_cancelled) -> Iterator[Event]:
        question = check_question(question)
        clock = StageClock()
        passages = tuple(self.retrieve(question))
        clock.lap("retrieve")
        yield Retrieved(passages)
        read = self._fitting(question, passages)
        yield Reading(1, read)
        if cancelled():
            return
        message = self.model.bind(max_tokens=self.profile.max_output_tokens).invoke(_prompt(question, read))
        clock.lap("read")
        counted = message.usage_metadata
        usage = Usage(1, counted["input_tokens"], counted["output_tokens"]) if counted else Usage(1)
        yield Delta(message.text)
        yield Completed(
            Answer(
                status=AnswerStatus.ANSWERED,
                text=message.text,
                claims=(),
                citations=(),
                strategy=self.name,
                model=self.profile.name,
                searched=searched(passages, read),
                usage=usage,
                timings_ms=clock.laps(),
            )
        )

    def _fitting(self, question: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        room = self.profile.max_prompt_tokens - _PROMPT_TOKENS - estimated_tokens(question)
        read: list[Passage] = []
        for passage in passages:
            room -= estimated_tokens(passage.text) + _PASSAGE_TOKENS
            if room < 0:
                break
            read.append(passage)
        return tuple(read)


def _prompt(question: str, passages: Sequence[Passage]) -> list[BaseMessage]:
    nonce = new_nonce()
    blocks = [delimited(f"passage {number}", passage, nonce) for number, passage in enumerate(passages, 1)]
    return [SystemMessage(READING_SYSTEM), HumanMessage("\n".join([*blocks, "", _TASK.format(question=question)]))]
