"""One request for log-likelihoods on its way through the engine: a sequence for each continuation.

Where a context has several, its prompt is read first, but for the last token: each continuation then costs its own
tokens and that one, after which the first of them is told. They run one after the other: two at once that continue the
same part of a block spoil each other's (2026.4.1).

The pipeline tells the probabilities of tokens that it computes, and of none that it finds in its prefix cache. So a
sequence that was read before, whole or up to a block's end inside its continuation, says too little; it is read again
with white space before its text, which also moves the blocks' ends. What is found in the cache costs next to nothing.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlm.errors import LanguageModelError, LanguageModelUnavailableError
from rlm.openvino_llm.generation import Emit, Failed, Finished, LikelihoodRequest, TextDelta, Usage
from rlm.openvino_llm.prompt import PromptEncoder, TokenIds

_MOST_READINGS = 64
_MOST_WHITE_SPACE = 2 * _MOST_READINGS.bit_length()


@dataclass
class LikelihoodSequence:
    """A context's prompt with one continuation, or to be read beforehand; the pipeline's handle once it is running."""

    of: "LikelihoodsInFlight"
    context: int
    continuation: int | None
    prompt: TokenIds
    answer: TokenIds
    readings: int = 1
    handle: Any = None

    started = False
    """Never given up while it runs: it is over with its prefill."""
    json_schema = None

    @property
    def cancelled(self) -> bool:
        return self.of.cancelled

    @property
    def tokens(self) -> TokenIds:
        return np.concatenate([self.prompt, self.answer])

    def spoils(self, other: "LikelihoodSequence") -> bool:
        """Whether the two would continue the same part of a block."""
        size = min(len(self.prompt), len(other.prompt))
        return abs(len(self.prompt) - len(other.prompt)) <= 1 and np.array_equal(
            self.prompt[: size - 1], other.prompt[: size - 1]
        )

    def take(self, log_probabilities: Sequence[float]) -> None:
        """Of the last tokens of the sequence, and of one that was generated after it."""
        self.of.take(self, log_probabilities)

    def fail(self, error: LanguageModelError) -> None:
        self.of.fail(error)


class LikelihoodsInFlight:
    """Only the stepping thread changes it, except for `cancelled`.

    Raises ContextTooLongError where a sequence does not fit the window.
    """

    def __init__(self, request: LikelihoodRequest, encoder: PromptEncoder, end_of_turn: int, emit: Emit) -> None:
        self.cancelled = False
        self._request = request
        self._encoder = encoder
        self._end_of_turn = end_of_turn
        self._emit = emit
        self._values = [[0.0] * len(context.continuations) for context in request.contexts]
        sequences = [self._of_context(number) for number in range(len(request.contexts))]
        self._sent_tokens = _tokens_of(sequences)
        self._missing = self._count = sum(map(len, sequences))
        self._rest = [deque(each) for each in sequences]
        self._waiting = deque(_beforehand(each[0]) if len(each) > 1 else each.popleft() for each in self._rest)

    def cancel(self) -> None:
        self.cancelled = True

    @property
    def exhausted(self) -> bool:
        """Whether no sequence can be begun now."""
        return not self._waiting

    @property
    def first(self) -> LikelihoodSequence:
        """What `next` gives."""
        return self._waiting[0]

    def next(self) -> LikelihoodSequence:
        return self._waiting.popleft()

    def take(self, sequence: LikelihoodSequence, log_probabilities: Sequence[float]) -> None:
        """The probabilities of a sequence that was read; it waits again where they are too few."""
        if self.cancelled:
            return
        size = len(sequence.answer)
        if sequence.continuation is not None and len(log_probabilities) <= size:
            self._read_again(sequence)
            return
        if rest := self._rest[sequence.context]:
            self._waiting.append(rest.popleft())
        if sequence.continuation is None:
            return
        self._values[sequence.context][sequence.continuation] = float(np.sum(log_probabilities[-size - 1 : -1]))
        self._missing -= 1
        if not self._missing:
            numbered = {str(number): values for number, values in enumerate(self._values, start=1)}
            self._emit(TextDelta(json.dumps(numbered)))
            self._emit(Finished("stop", Usage(self._sent_tokens, self._count)))

    def fail(self, error: LanguageModelError) -> None:
        """The first failure is that of all sequences."""
        if not self.cancelled:
            self.cancelled = True
            self._emit(Failed(error))

    def _read_again(self, sequence: LikelihoodSequence) -> None:
        if sequence.readings == _MOST_READINGS:
            self.fail(LanguageModelUnavailableError("The language model does not tell how likely a text is."))
            return
        prompt = self._prompt(sequence.context, _white_space(sequence.readings))
        self._waiting.append(replace(sequence, prompt=prompt, readings=sequence.readings + 1, handle=None))

    def _of_context(self, number: int) -> list[LikelihoodSequence]:
        made, prompt = [], self._prompt(number)
        for place, continuation in enumerate(self._request.contexts[number].continuations):
            answer = np.append(self._encoder.encode_text(continuation), self._end_of_turn)
            self._encoder.require_window(len(prompt) + len(answer), answer_tokens=1 + _MOST_WHITE_SPACE)
            made.append(LikelihoodSequence(self, number, place, prompt, answer))
        return made

    def _prompt(self, context: int, before: str = "") -> TokenIds:
        *earlier, last = self._request.messages
        asked = self._request.contexts[context]
        text = f"{last.content}{before}{asked.text}"
        prompt = self._encoder.encode([*earlier, replace(last, content=text)], answer_tokens=1)
        return np.concatenate([prompt, self._encoder.encode_text(asked.lead)]) if asked.lead else prompt


def _white_space(number: int) -> str:
    """Another for each number from 1, and short."""
    return "".join("\n" if digit == "1" else " \n" for digit in f"{number:b}")


def _beforehand(sequence: LikelihoodSequence) -> LikelihoodSequence:
    """Its prompt but for the last token."""
    return replace(sequence, continuation=None, prompt=sequence.prompt[:-1], answer=sequence.answer[:0])


def _tokens_of(contexts: Sequence[Sequence[LikelihoodSequence]]) -> int:
    """As the request was sent: what all prompts begin with counts once, and each text and continuation once."""
    prompts = [sequences[0].prompt for sequences in contexts]
    shortest = min(map(len, prompts))
    alike = np.all(np.stack([prompt[:shortest] for prompt in prompts]) == prompts[0][:shortest], axis=0)
    shared = shortest if alike.all() else int(alike.argmin())
    if len(prompts) == 1:
        shared = 0
    texts = sum(len(prompt) - shared for prompt in prompts)
    return shared + texts + sum(len(each.answer) for sequences in contexts for each in sequences)
