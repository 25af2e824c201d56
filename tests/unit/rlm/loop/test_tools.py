"""Tools of a run's code, called as it calls them."""

from collections.abc import Callable
from typing import Any

import pytest
from rlm.loop.spans import OpenedSpans
from rlm.loop.submitting import Submissions
from rlm.loop.toolbox import Descend, Toolbox, ToolContext

from rlm.errors import LanguageModelUnavailableError, RunCancelledError
from rlm.llm.port import SubFailure
from rlm.llm.profiles import ModelProfile
from rlm.loop.time_limit import TimeLimit
from rlm.operators.operators import Operators
from rlm.sandbox.port import ToolError
from tests.fakes.scripted_root import ScriptedRoot
from tests.support.corpora import corpus_of

SHIPS = "\n".join(f"Ship {n}: built in {1700 + n}" for n in range(1, 31))


class Toolkit:
    """A toolbox over documents, with sub-calls by a rule; `tools` are as a run's code has them."""

    def __init__(
        self,
        *documents: str,
        sub: Callable[[str], str | SubFailure] = str.upper,
        descend: Descend | None = None,
        cancelled: bool = False,
    ) -> None:
        corpus = corpus_of(*(documents or (SHIPS,)))
        subcalls = ScriptedRoot(sub=sub)
        self.opened = OpenedSpans(corpus)
        self.submissions = Submissions("Which?", corpus, self.opened)
        context = ToolContext(
            corpus=corpus,
            subcalls=subcalls,
            operators=Operators(corpus, subcalls),
            profile=ModelProfile("scripted", 16_000, 1_000),
            opened=self.opened,
            submissions=self.submissions,
            time=TimeLimit(None),
            cancelled=lambda: cancelled,
            descend=descend,
        )
        self.toolbox = Toolbox(context)
        self.tools: dict[str, Any] = dict(self.toolbox.tools())


@pytest.mark.parametrize("by", ["line", "chunk", "document"])
def test_cutting_records_ends_when_the_run_is_cancelled(by: str) -> None:
    with pytest.raises(RunCancelledError):
        Toolkit("One.", "Two.", cancelled=True).toolbox.records(by=by)


def some(prompt: str) -> str | SubFailure:
    return SubFailure("budget_exhausted", "No more.") if prompt.endswith("3") else "1"


def test_what_is_computed_from_sub_calls_of_which_some_failed_says_so() -> None:
    kit = Toolkit(sub=some)
    replies = kit.tools["llm_query_batched"]([f"Count {n}" for n in range(20)])
    assert replies.count(None) == 2
    assert kit.toolbox.notes() == ["llm_query_batched: 2 of 20 have no reply: budget exhausted."]
    kit.tools["records"]()
    with pytest.raises(ToolError, match="2 sub-calls have no reply: budget exhausted"):
        kit.tools["submit"](18, None, True)
    kit.tools["submit"](18, None, True)
    assert kit.submissions.final is not None
    assert not kit.submissions.final.supported
    assert not kit.opened.judged_all


def test_a_sub_call_that_is_answered_later_is_missed_no_more() -> None:
    failing = iter([SubFailure("language_model_timeout", "Too slow.")])
    kit = Toolkit(sub=lambda _: next(failing, "1"))
    with pytest.raises(ToolError, match="none of the 1 sub-calls"):
        kit.tools["llm_query_batched"](["Count"])
    assert kit.opened.missing == "1 sub-call has no reply: language model timeout"
    assert kit.tools["llm_query_batched"](["Count"]) == ["1"]
    assert kit.opened.judged_all


def test_a_part_of_a_run_is_not_about_all_documents_where_its_list_is_empty() -> None:
    kit = Toolkit(descend=lambda question, corpus: {"documents": len(corpus.documents)})
    with pytest.raises(ToolError, match="no documents in an empty list"):
        kit.tools["rlm_query"]("Which?", [])
    assert kit.tools["rlm_query"]("Which?") == {"documents": 1}
    assert kit.tools["rlm_query"]("Which?", "doc-1") == {"documents": 1}


def test_a_part_without_a_record_is_told() -> None:
    prose = "The fleet left in spring and came back late, as everybody in the harbour had said it would."
    kit = Toolkit(f"{SHIPS}\n\n{prose}")
    start = len(SHIPS) + 2
    assert kit.tools["records"]({"document": "doc-1", "start": start, "end": start + len(prose)}) == []
    assert any("none in that part" in note for note in kit.toolbox.notes())


def test_a_cell_that_calls_a_tool_for_each_of_very_many_things_is_told_how_else() -> None:
    kit = Toolkit()
    for _ in range(20_000):
        kit.tools["read"]("doc-1", 0, 1)
    with pytest.raises(ToolError, match=r"20,000 times, and that is the most: read\(\) and the operators take lists"):
        kit.tools["read"]("doc-1", 0, 1)
    kit.tools["draft"](None)
    kit.toolbox.begin_cell()
    assert kit.tools["read"]("doc-1", 0, 4) == "Ship"


def test_a_model_that_is_away_ends_the_attempt_and_is_nothing_that_code_could_mend() -> None:
    def sub(_: str) -> str:
        raise LanguageModelUnavailableError("The model's server is away.")

    with pytest.raises(LanguageModelUnavailableError):
        Toolkit(sub=sub).tools["llm_query"]("Count")
