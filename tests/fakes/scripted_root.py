"""Sub-calls of a run whose root model says what a test wrote for it, and whose sub-models follow a rule."""

from collections.abc import Callable, Iterator, Sequence

from rlm.errors import RunCancelledError, not_cancelled
from rlm.llm.budgets import Usage
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore_result

SPENT = Usage(1, 100, 10)


def in_code(code: str) -> str:
    return f"Let me see.\n```python\n{code}\n```"


def shouted(prompt: str) -> str:
    return prompt[-20:].upper()


class ScriptedRoot:
    """The root's replies in order; a failure among them is given as it is. When none is left the budget is spent."""

    def __init__(self, *script: str | SubFailure, sub: Callable[[str], str | SubFailure] = shouted) -> None:
        self._script = list(script)
        self._sub = sub
        self.instructions: list[str] = []
        self.prompts: list[str] = []
        self.asked: list[str] = []

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        if cancelled():
            raise RunCancelledError("The run was cancelled.")
        return [self._root(call) if call.purpose == "root" else self._below(call) for call in calls]

    def stream(
        self, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Iterator[str | SubReply | SubFailure]:
        (reply,) = self.run([call], cancelled=cancelled)
        if isinstance(reply, SubReply):
            yield reply.text
        yield reply

    def _root(self, call: SubCall) -> SubReply | SubFailure:
        self.instructions.append(call.system)
        self.prompts.append(call.prompt)
        if not self._script:
            return SubFailure("budget_exhausted", "The budget is spent.")
        line = self._script.pop(0)
        return line if isinstance(line, SubFailure) else SubReply(line, SPENT)

    def _below(self, call: SubCall) -> SubReply | SubFailure:
        self.asked.append(call.prompt)
        said = self._sub(call.prompt)
        return said if isinstance(said, SubFailure) else SubReply(said, SPENT)
