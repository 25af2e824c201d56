"""Runs within runs: sessions, budgets and answers of the parts."""

from dataclasses import replace

from rlm.answers import Answer, AnswerStatus
from rlm.llm.budgets import Budget, Limits
from rlm.loop.strategy import RecursiveStrategy
from rlm.loop.trajectory import Turn
from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.recursive_runs import PROFILE, SUBMIT, workspace


def test_a_part_of_a_run_is_warned_of_what_the_whole_run_has_spent(sandbox: Sandbox) -> None:
    child = ScriptedRoot(in_code("1"), in_code(SUBMIT))
    parent = ScriptedRoot(in_code("1"), in_code("rlm_query('When?')"), in_code(SUBMIT))
    space = workspace(sandbox, parent, budget=Budget(Limits(calls=5, depth=1)), bind=lambda _: child)
    RecursiveStrategy(space).answer("When was the treaty signed?")
    assert "Budget" not in child.prompts[0]
    assert "over 50% of the calls" in child.prompts[1]


def test_the_cells_of_parts_are_told_apart(sandbox: Sandbox) -> None:
    parts = [[in_code("rlm_query('Why?')"), in_code(SUBMIT)], [in_code(SUBMIT)], [in_code(SUBMIT)]]
    # The code of each has sub-calls of its own.
    children = iter([ScriptedRoot(), *(root for cells in parts for root in [ScriptedRoot(*cells)] * 2)])
    parent = ScriptedRoot(in_code("rlm_query('When?')\nrlm_query('Where?')"), in_code(SUBMIT))
    turns: list[Turn] = []
    space = workspace(sandbox, parent, budget=Budget(Limits(depth=2)), bind=lambda _: next(children))
    space = replace(space, profile=replace(PROFILE, max_depth=2))
    RecursiveStrategy(space, told=turns.append).answer("When was the treaty signed?")
    assert [(turn.part, turn.number) for turn in turns] == [
        ("1.1", 1),
        ("1", 1),
        ("1", 2),
        ("2", 1),
        ("", 1),
        ("", 2),
    ]


def test_a_child_has_a_session_of_its_own_and_the_rest_of_the_budget(sandbox: Sandbox) -> None:
    child = ScriptedRoot(in_code("x"), in_code(SUBMIT))
    budget = Budget(Limits(calls=10, depth=1))
    bound: list[Budget] = []

    def bind(below: Budget) -> ScriptedRoot:
        bound.append(below)
        return child

    code = "x = 'mine'\nr = rlm_query('When was the treaty signed?', outline()[0])\nprint(r['answer'], r['status'], x)"
    parent = ScriptedRoot(in_code(code), in_code("submit(r['answer'], r['evidence'])"))
    turns: list[Turn] = []
    space = workspace(sandbox, parent, budget=budget, bind=bind)
    answer = RecursiveStrategy(space, told=turns.append).answer("When was the treaty signed?")
    assert answer.status is AnswerStatus.ANSWERED
    assert answer.usage.calls == 4
    assert [turn.depth for turn in turns] == [1, 1, 0, 0]
    assert "name 'x' is not defined" in (turns[0].error or "")
    assert turns[2].output == "The treaty of Ryswick was signed in 1697. answered mine\n"
    assert [each.limits.depth for each in bound] == [1, 0, 0]
    assert bound[1].limits.calls == 9


def test_a_child_that_finds_nothing_is_no_failure_of_its_parent(sandbox: Sandbox) -> None:
    parent = ScriptedRoot(in_code("rlm_query('?!')"), in_code("rlm_query('Who?')['answer']"), in_code(SUBMIT))
    space = workspace(sandbox, parent, budget=Budget(Limits(depth=1)), bind=lambda _: ScriptedRoot("blah"))
    assert RecursiveStrategy(space).answer("When was it signed?").status is AnswerStatus.ANSWERED


def of_parent_and_child(sandbox: Sandbox, child: str, *parent: str) -> Answer:
    """A parent whose budget ends after its script."""
    root = ScriptedRoot(*map(in_code, parent))
    space = workspace(sandbox, root, budget=Budget(Limits(depth=1)), bind=lambda _: ScriptedRoot(in_code(child)))
    return RecursiveStrategy(space).answer("Who signed what, and when?")


def test_what_a_part_found_is_the_answer_when_the_budget_ends_after_it(sandbox: Sandbox) -> None:
    answer = of_parent_and_child(sandbox, SUBMIT, "r = rlm_query('When was the treaty signed?')")
    assert answer.status is AnswerStatus.PARTIAL
    assert answer.text == (
        "Of a part of the question, “When was the treaty signed?”: The treaty of Ryswick was signed in 1697. [1]"
        " (Not finished: The budget is spent.)"
    )
    assert answer.citations[0].quote == "The treaty of Ryswick was signed in 1697."
    assert answer.result is None


def test_a_draft_of_the_run_itself_is_better_than_what_a_part_found(sandbox: Sandbox) -> None:
    draft = 'draft("It ended the Nine Years\' War.", ["It ended the Nine Years\' War."])'
    for cells in ((draft, "rlm_query('When?')"), ("rlm_query('When?')", draft)):
        assert of_parent_and_child(sandbox, SUBMIT, *cells).text.startswith("It ended the Nine Years' War.")


def test_what_a_part_could_not_support_is_no_answer_of_the_run(sandbox: Sandbox) -> None:
    doubtful = 'draft("It was signed in 1702 by Peter.", ["The treaty of Ryswick was signed in 1697."])'
    assert "No answer was found" in of_parent_and_child(sandbox, doubtful, "rlm_query('When?')").text
