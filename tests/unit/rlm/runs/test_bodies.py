"""What is logged of a run, and how a run ends."""

import pytest

from ingest.runs import RunState
from rlm.answers import Answer, AnswerStatus, Coverage, Searched
from rlm.runs.bodies import state_of

WHOLE = Coverage(tokens_in_scope=100, tokens_read=100, slices=2, slices_read=2)
PART = Coverage(tokens_in_scope=100, tokens_read=50, slices=2, slices_read=1)


@pytest.mark.parametrize(
    ("status", "coverage", "finished", "state"),
    [
        (AnswerStatus.ANSWERED, WHOLE, True, RunState.COMPLETED),
        (AnswerStatus.ANSWERED, PART, True, RunState.COMPLETED),
        (AnswerStatus.NOT_FOUND, PART, True, RunState.COMPLETED),
        (AnswerStatus.PARTIAL, None, True, RunState.COMPLETED),  # a flagged claim
        (AnswerStatus.PARTIAL, WHOLE, True, RunState.COMPLETED),
        (AnswerStatus.PARTIAL, PART, True, RunState.PARTIAL),
        (AnswerStatus.PARTIAL, WHOLE, False, RunState.PARTIAL),
        (AnswerStatus.PARTIAL, None, False, RunState.PARTIAL),
    ],
)
def test_a_run_ends_as_partial_when_its_answer_was_not_finished_or_lacks_some_of_its_scope(
    status: AnswerStatus, coverage: Coverage | None, finished: bool, state: RunState
) -> None:
    answer = Answer(status, "", (), (), "direct", None, Searched(0, 0, ()), coverage=coverage, finished=finished)
    assert state_of(answer) is state
