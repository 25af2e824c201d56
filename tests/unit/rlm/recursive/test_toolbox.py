import pytest

from rlm.errors import RunCancelledError
from rlm.operators.operators import Operators
from rlm.profiles import ModelProfile
from rlm.recursive.spans import OpenedSpans
from rlm.recursive.submitting import Submissions
from rlm.recursive.time_limit import TimeLimit
from rlm.recursive.toolbox import Toolbox, ToolContext
from tests.fakes.scripted_root import ScriptedRoot
from tests.support.corpora import corpus_of


@pytest.mark.parametrize("by", ["line", "chunk", "document"])
def test_cutting_records_ends_when_the_run_is_cancelled(by: str) -> None:
    corpus, subcalls = corpus_of("One.", "Two."), ScriptedRoot()
    opened = OpenedSpans(corpus)
    context = ToolContext(
        corpus=corpus,
        subcalls=subcalls,
        operators=Operators(corpus, subcalls),
        profile=ModelProfile("scripted", 16_000, 1_000),
        opened=opened,
        submissions=Submissions("Which?", corpus, opened),
        time=TimeLimit(None),
        cancelled=lambda: True,
    )
    with pytest.raises(RunCancelledError):
        Toolbox(context).records(by=by)
