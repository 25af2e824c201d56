"""Sub-calls whose replies are written down by purpose: for strategies, without a model or a scheduler."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from rlm.errors import RunCancelledError, not_cancelled
from rlm.llm.budgets import Usage
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore_result

Reply = str | SubReply | SubFailure
# A text for every call of a purpose, the texts of its calls in order, or a function of the call.
Script = Reply | Sequence[Reply] | Callable[[SubCall], Reply]


class ScriptedCalls:
    """`calls` are those that were made. A purpose without a script, or at its end, is an error of the test."""

    def __init__(self, scripts: Mapping[str, Script], *, piece_chars: int = 5) -> None:
        self._scripts = scripts
        self._piece_chars = piece_chars
        self.calls: list[SubCall] = []

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        if cancelled():
            raise RunCancelledError("The run was cancelled.")
        results = [self._reply(call) for call in calls]
        for position, result in enumerate(results):
            on_result(position, result)
        return results

    def stream(
        self, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Iterator[str | SubReply | SubFailure]:
        (result,) = self.run([call], cancelled=cancelled)
        if isinstance(result, SubReply):
            yield from (
                result.text[at : at + self._piece_chars] for at in range(0, len(result.text), self._piece_chars)
            )
        yield result

    def of(self, purpose: str) -> list[SubCall]:
        """The calls of one purpose, in order."""
        return [call for call in self.calls if call.purpose == purpose]

    def _reply(self, call: SubCall) -> SubReply | SubFailure:
        script = self._scripts[call.purpose]
        place = len(self.of(call.purpose))
        self.calls.append(call)
        if callable(script):
            reply: Reply = script(call)
        elif isinstance(script, str | SubReply | SubFailure):
            reply = script
        else:
            reply = script[place]
        return SubReply(reply, Usage(1, len(call.prompt) // 4, len(reply) // 4)) if isinstance(reply, str) else reply
