"""Sub-calls to a model that tells likelihoods by a rule and answers nothing else."""

import json
from collections.abc import Callable, Sequence

from rlm.cancelling import not_cancelled
from rlm.errors import RunCancelledError
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore
from rlm.usage import Usage

Likelihood = Callable[[SubCall, str, str], float]
REFUSED = SubFailure("language_model_unavailable", "It does not tell.", Usage(1, 5, 0))


class WeighedSubCalls:
    """`likelihood` is given the call, a context's text and one of its continuations; `fails` names calls that fail."""

    def __init__(self, likelihood: Likelihood, *, fails: Callable[[SubCall], bool] = lambda _: False) -> None:
        self._likelihood = likelihood
        self._fails = fails
        self.calls: list[SubCall] = []

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = not_cancelled, finished: Finished = ignore
    ) -> Sequence[SubReply | SubFailure]:
        if cancelled():
            raise RunCancelledError("cancelled")
        self.calls += calls
        return [REFUSED if self._fails(call) else SubReply(self._told(call), Usage(1, 50, 5)) for call in calls]

    def _told(self, call: SubCall) -> str:
        assert call.contexts, f"{call.purpose} asks for text"
        return json.dumps(
            {
                str(number): [self._likelihood(call, context.text, each) for each in context.continuations]
                for number, context in enumerate(call.contexts, start=1)
            }
        )
