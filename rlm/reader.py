"""One call of a language model that reads passages: the prompt fitted to the window, the reply made sense of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from retrieval.passages import Passage
from rlm.answers import Usage
from rlm.profiles import ModelProfile
from rlm.prompts import checking_prompt, checking_schema, new_nonce, reading_prompt, reading_schema
from rlm.replies import Reply, read_reply, read_verdict
from rlm.subcalls.chat import CALLS
from rlm.tokens import estimated_tokens

# A quoted sentence or two and a short answer take 40 to 80 tokens; a reply past this has lost its thread.
MAX_REPLY_TOKENS = 256
_VERDICT_TOKENS = 32
# Instructions, the chat template and the marks around one passage.
_PROMPT_TOKENS = 220
_PASSAGE_TOKENS = 60


@dataclass(frozen=True)
class Read:
    """A reply and what it cost."""

    reply: Reply
    usage: Usage


@dataclass(frozen=True)
class Verdict:
    """Whether an answer was confirmed, and what asking cost."""

    confirmed: bool
    usage: Usage


class Reader:
    """Asks a model to quote and answer from passages, and to check an answer; raises what the model raises.

    `nonce` gives each prompt's, which no document may know.
    """

    def __init__(self, model: BaseChatModel, profile: ModelProfile, *, nonce: Callable[[], str] = new_nonce) -> None:
        self._nonce = nonce
        self._model = model
        self._profile = profile
        self._reply_tokens = min(MAX_REPLY_TOKENS, profile.max_output_tokens)

    def fitting(self, question: str, passages: Sequence[Passage]) -> int:
        """How many of `passages`, taken in order, fit the window with the question; the first always counts."""
        room = self._room(question)
        for count, passage in enumerate(passages):
            room -= estimated_tokens(passage.text) + _PASSAGE_TOKENS
            if room < 0:
                return max(1, count)
        return len(passages)

    def read(self, question: str, passages: Sequence[Passage], *, again: bool = False) -> Read:
        """Reads `passages` in one call; a single passage longer than the window is cut at its end."""
        prompt = reading_prompt(
            question, passages, nonce=self._nonce(), again=again, max_chars=self._longest(question, passages)
        )
        message = self._ask(prompt, "reading", reading_schema(len(passages)), self._reply_tokens)
        return Read(read_reply(message.text), _usage(message))

    def confirms(self, question: str, answer: str, passage: Passage) -> Verdict:
        """Whether the model, shown an answer, finds it right; a reply that says neither does not confirm."""
        longest = self._longest(question + answer, [passage])
        prompt = checking_prompt(question, answer, passage, nonce=self._nonce(), max_chars=longest)
        message = self._ask(prompt, "checking", checking_schema(), _VERDICT_TOKENS)
        return Verdict(read_verdict(message.text), _usage(message))

    def _ask(self, prompt: list[BaseMessage], name: str, schema: dict[str, object], max_tokens: int) -> AIMessage:
        response_format = {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}
        return self._model.bind(response_format=response_format, max_tokens=max_tokens).invoke(prompt)

    def _room(self, question: str) -> int:
        """Tokens left for passages."""
        used = _PROMPT_TOKENS + estimated_tokens(question) + self._reply_tokens
        return self._profile.context_tokens - used

    def _longest(self, question: str, passages: Sequence[Passage]) -> int | None:
        if self.fitting(question, passages) == len(passages) and self._fits_alone(question, passages[0]):
            return None
        return max(200, self._room(question) - _PASSAGE_TOKENS)

    def _fits_alone(self, question: str, passage: Passage) -> bool:
        return estimated_tokens(passage.text) + _PASSAGE_TOKENS <= self._room(question)


def _usage(message: AIMessage) -> Usage:
    counted, calls = message.usage_metadata, message.response_metadata.get(CALLS, 1)
    return Usage(calls, counted["input_tokens"], counted["output_tokens"]) if counted else Usage(calls)
