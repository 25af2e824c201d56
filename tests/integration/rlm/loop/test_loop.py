"""Runs of the loop in the real sandbox: all that other sandboxes do, and what only a process of its own can."""

import pytest

from rlm.answers import AnswerStatus
from rlm.errors import RunCancelledError
from rlm.loop.strategy import RecursiveStrategy
from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.recursive_runs import SUBMIT, Asked, context, environment
from tests.unit.rlm.loop.test_loop import *  # noqa: F403 - its tests, with the fixtures of this folder


def test_a_sandbox_that_is_lost_is_started_anew_and_the_model_told(hasty: Sandbox) -> None:
    asked = Asked(hasty, in_code("x = 1\nwhile True: pass"), in_code("x"), in_code(SUBMIT))
    assert "variables are gone" in (asked.turns[0].error or "")
    assert "name 'x' is not defined" in (asked.turns[1].error or "")
    assert asked.draft.status is AnswerStatus.ANSWERED


def test_cancelling_ends_code_that_calls_no_tool(sandbox: Sandbox) -> None:
    asked = iter(range(1_000))
    root = ScriptedRoot(in_code("1"), in_code("while True: pass"))
    given = environment(sandbox, root, cancelled=lambda: next(asked) > 3)
    with pytest.raises(RunCancelledError):
        list(RecursiveStrategy(given).stream(context(given)))
