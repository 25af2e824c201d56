"""Sub-calls answered by a rule instead of a model: no weakness of a model in the way."""

import json
import re
from collections.abc import Callable, Iterator, Sequence

from rlm.errors import RunCancelledError, not_cancelled
from rlm.llm.budgets import Usage
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore_result

_RECORD = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)

Answer = Callable[[str], object]


def never_fails(_call: SubCall) -> SubFailure | str | None:
    return None


class RuleSubCalls:
    """Gives each numbered record of a prompt what `rule` says of its text; `calls` are kept.

    `fault` may put a failure, or a raw reply, in place of a call's answer.
    """

    def __init__(self, rule: Answer, fault: Callable[[SubCall], SubFailure | str | None] = never_fails) -> None:
        self.rule = rule
        self.fault = fault
        self.calls: list[SubCall] = []

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        results = []
        for index, call in enumerate(calls):
            if cancelled():
                raise RunCancelledError("cancelled")
            self.calls.append(call)
            results.append(self._result(call))
            on_result(index, results[-1])
        return results

    def stream(
        self, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Iterator[str | SubReply | SubFailure]:
        """One piece, and the reply."""
        (result,) = self.run([call], cancelled=cancelled)
        if isinstance(result, SubReply):
            yield result.text
        yield result

    def records(self) -> list[str]:
        """Every record that was asked about, in order."""
        prompts = [call.prompt for call in self.calls if "BEGIN records" in call.prompt]
        return [text for prompt in prompts for _, text in _RECORD.findall(_body(prompt))]

    def _result(self, call: SubCall) -> SubReply | SubFailure:
        fault = self.fault(call)
        if isinstance(fault, SubFailure):
            return fault
        if fault is None:
            fault = json.dumps({number: self.rule(text) for number, text in _RECORD.findall(_body(call.prompt))})
        # Prose has about four characters a token, JSON three.
        return SubReply(fault, Usage(1, len(call.system + call.prompt) // 4, len(fault) // 3))


def _body(prompt: str) -> str:
    return prompt[prompt.index("BEGIN records") : prompt.index("END records")]
