"""What a root model is told of its limits, and what is left of them for its last cells."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rlm.answers import AnswerStatus, Draft
from rlm.errors import BudgetExhaustedError
from rlm.llm.budgets import Budget, Limits
from rlm.llm.port import SubCall, SubCalls, SubFailure, SubReply
from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.recursive_runs import SIGNED, SUBMIT, drafted, environment


class Paid:
    """Sub-calls that cost a call of a budget each."""

    def __init__(self, inner: SubCalls, budget: Budget) -> None:
        self._inner, self._budget = inner, budget

    def run(self, calls: Sequence[SubCall], **options: Any) -> list[SubReply | SubFailure]:  # noqa: ANN401
        return [self._one(call, options) for call in calls]

    def stream(self, call: SubCall, **options: Any) -> Any:  # noqa: ANN401
        raise NotImplementedError

    def _one(self, call: SubCall, options: dict[str, Any]) -> SubReply | SubFailure:
        try:
            held = self._budget.reserve(prompt_tokens=1, completion_tokens=1)
        except BudgetExhaustedError as error:
            return SubFailure(error.code, error.detail)
        (reply,) = self._inner.run([call], **options)
        held.settle(prompt_tokens=1, completion_tokens=1)
        return reply


def run(sandbox: Sandbox, root: ScriptedRoot, limits: Limits, **more: Any) -> Draft:  # noqa: ANN401
    budget = Budget(limits)

    def bind(each: Budget) -> SubCalls:
        return Paid(root, each)

    return drafted(environment(sandbox, bind(budget), SIGNED, **{"budget": budget, "bind": bind, **more}))


def test_code_that_spends_all_it_can_leaves_two_cells_to_hand_in(sandbox: Sandbox) -> None:
    greedy = "replies = llm_query_batched([f'ask {n}' for n in range(100)])\nprint(replies.count(None))"
    root = ScriptedRoot(in_code(greedy), in_code("1"), in_code(SUBMIT))
    assert run(sandbox, root, Limits(calls=30)).status is AnswerStatus.ANSWERED
    assert "73\nNote: llm_query_batched: 73 of 100 have no reply: budget exhausted." in root.prompts[1]
    assert "the remaining calls are reserved for your cells; no more sub-calls. Submit soon" in root.prompts[1]


def test_a_root_is_told_beforehand_what_its_run_may_spend(sandbox: Sandbox) -> None:
    limits = Limits(calls=1_500, prompt_tokens=2_000_000, completion_tokens=90_000, seconds=900)
    root = ScriptedRoot(in_code(SUBMIT), in_code(SUBMIT))
    drafted(environment(sandbox, root, budget=Budget(limits), tells_time=True))
    assert "Limits of the whole run: 30 cells, 1,500 calls of models" in root.prompts[0]
    assert "2,000,000 tokens to read, 90,000 tokens to write, 900 seconds." in root.prompts[0]
    drafted(environment(sandbox, root, budget=Budget(limits)))  # as in a run, whose time may be raised
    assert root.prompts[1] == root.prompts[0].replace(", 900 seconds.", ".")


def test_a_limit_of_money_is_told(sandbox: Sandbox) -> None:
    root = ScriptedRoot(in_code(SUBMIT))
    drafted(environment(sandbox, root, budget=Budget(Limits(dollars=Decimal("2.50")))))
    assert "30 cells, 2.50 dollars." in root.prompts[0]


def test_each_cell_has_its_number_and_the_last_ones_say_that_they_are(sandbox: Sandbox) -> None:
    root = ScriptedRoot(*map(in_code, ["1", "2", "3", "4", "5", SUBMIT]))
    assert run(sandbox, root, Limits(), max_cells=6).status is AnswerStatus.ANSWERED
    assert root.prompts[0].endswith("\n\nReply with cell 1 of 6.")
    assert root.prompts[3].endswith(
        "There are few cells left. Submit soon, with what you have.\n\nReply with cell 4 of 6."
    )
    assert root.prompts[5].endswith(
        "This is the last cell: submit in it, with what you have.\n\nReply with cell 6 of 6."
    )
