"""Runs within runs: sessions, budgets and answers of the parts."""

from dataclasses import replace

from rlm.answers import AnswerStatus, Draft
from rlm.events import Turn
from rlm.llm.budgets import Budget, Limits
from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.recursive_runs import PROFILE, SIGNED, SUBMIT, drafted, environment, quotes


def test_a_part_of_a_run_is_warned_of_what_the_whole_run_has_spent(sandbox: Sandbox) -> None:
    child = ScriptedRoot(in_code("1"), in_code(SUBMIT))
    parent = ScriptedRoot(in_code("1"), in_code("rlm_query('When?')"), in_code(SUBMIT))
    drafted(environment(sandbox, parent, budget=Budget(Limits(calls=5, depth=1)), bind=lambda _: child))
    assert "Budget" not in child.prompts[0]
    assert "over 50% of the calls" in child.prompts[1]


def test_the_cells_of_parts_are_told_apart(sandbox: Sandbox) -> None:
    parts = [[in_code("rlm_query('Why?')"), in_code(SUBMIT)], [in_code(SUBMIT)], [in_code(SUBMIT)]]
    # The code of each has sub-calls of its own.
    children = iter([ScriptedRoot(), *(root for cells in parts for root in [ScriptedRoot(*cells)] * 2)])
    parent = ScriptedRoot(in_code("rlm_query('When?')\nrlm_query('Where?')"), in_code(SUBMIT))
    turns: list[Turn] = []
    given = environment(sandbox, parent, budget=Budget(Limits(depth=2)), bind=lambda _: next(children))
    drafted(replace(given, profile=replace(PROFILE, max_depth=2), told=turns.append))
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
    bound: list[Budget] = []

    def bind(below: Budget) -> ScriptedRoot:
        bound.append(below)
        return child

    code = "x = 'mine'\nr = rlm_query('When was the treaty signed?', outline()[0])\nprint(r['answer'], r['status'], x)"
    parent = ScriptedRoot(in_code(code), in_code("submit(r['answer'], r['evidence'])"))
    turns: list[Turn] = []
    budget = Budget(Limits(calls=10, depth=1))
    draft = drafted(environment(sandbox, parent, budget=budget, bind=bind, told=turns.append))
    assert draft.status is AnswerStatus.ANSWERED
    assert draft.text == f"{SIGNED} [1]"
    assert quotes(draft) == [SIGNED]
    assert [turn.depth for turn in turns] == [1, 1, 0, 0]
    assert "name 'x' is not defined" in (turns[0].error or "")
    assert turns[2].output == f"{SIGNED} [1] answered mine\n"
    assert [each.limits.depth for each in bound] == [1, 0, 0]
    assert bound[1].limits.calls == 9


def test_the_evidence_of_a_part_keeps_its_numbers(sandbox: Sandbox) -> None:
    ended = "It ended the Nine Years' War."
    child = ScriptedRoot(in_code(f'submit("{ended} [2]", ["{SIGNED}", "{ended}"])'))
    parent = ScriptedRoot(in_code("r = rlm_query('What did it end?')\nsubmit(r['answer'], r['evidence'])"))
    draft = drafted(environment(sandbox, parent, budget=Budget(Limits(depth=1)), bind=lambda _: child))
    assert draft.text == f"{ended} [2]"
    assert draft.evidence.keys() == {2}
    assert quotes(draft) == [ended]


def test_a_child_that_finds_nothing_is_no_failure_of_its_parent(sandbox: Sandbox) -> None:
    parent = ScriptedRoot(in_code("rlm_query('?!')"), in_code("rlm_query('Who?')['answer']"), in_code(SUBMIT))
    given = environment(sandbox, parent, budget=Budget(Limits(depth=1)), bind=lambda _: ScriptedRoot("blah"))
    assert drafted(given).status is AnswerStatus.ANSWERED


def of_parent_and_child(sandbox: Sandbox, child: str, *parent: str) -> Draft:
    """A parent whose budget ends after its script."""
    root = ScriptedRoot(*map(in_code, parent))
    given = environment(sandbox, root, budget=Budget(Limits(depth=1)), bind=lambda _: ScriptedRoot(in_code(child)))
    return drafted(given, "Who signed what, and when?")


def test_what_a_part_found_is_the_answer_when_the_budget_ends_after_it(sandbox: Sandbox) -> None:
    draft = of_parent_and_child(sandbox, SUBMIT, "r = rlm_query('When was the treaty signed?')")
    assert draft.status is AnswerStatus.PARTIAL
    assert draft.text == f"{SIGNED} [1]"
    assert "“When was the treaty signed?”" in draft.notes[0]
    assert quotes(draft) == [SIGNED]


def test_a_draft_of_the_run_itself_is_better_than_what_a_part_found(sandbox: Sandbox) -> None:
    draft = 'draft("It ended the Nine Years\' War.", ["It ended the Nine Years\' War."])'
    for cells in ((draft, "rlm_query('When?')"), ("rlm_query('When?')", draft)):
        assert of_parent_and_child(sandbox, SUBMIT, *cells).text.startswith("It ended the Nine Years' War.")


def test_a_part_that_the_documents_do_not_answer_is_no_answer_of_the_run(sandbox: Sandbox) -> None:
    assert "No answer was found" in of_parent_and_child(sandbox, "submit(None)", "rlm_query('When?')").text
