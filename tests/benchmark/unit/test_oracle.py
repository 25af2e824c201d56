"""The recursive loop with a root and sub-models that make no mistake: whatever is wrong then is the loop's."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rlm.answers import AnswerStatus
from rlm.errors import not_cancelled
from rlm.llm.budgets import Usage
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore_result
from rlm.llm.profiles import ModelProfile
from rlm.operators.operators import Operators
from rlm.operators.packing import PackLimits
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import Sandbox, SandboxIsolation
from tests.benchmark.tasks.generate import Spec, generate
from tests.benchmark.tasks.scoring import score
from tests.support.corpora import corpus_of
from tests.support.oracle import Oracle
from tests.support.recursive_runs import drafted, environment

PROFILE = ModelProfile("oracle", 1_000_000, 32_000, batch_items=100, writes_code=True)


class OracleCalls:
    """Sub-calls that an oracle answers in this process."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        return [self._reply(call) for call in calls]

    def stream(
        self, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Iterator[str | SubReply | SubFailure]:
        yield self._reply(call)

    def _reply(self, call: SubCall) -> SubReply:
        messages = [{"content": call.system}, {"content": call.prompt}]
        return SubReply(
            self._oracle.reply({"messages": messages, "response_format": {"json_schema": {"schema": call.schema}}}),
            Usage(1, 1, 1),
        )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = build_sandbox(SandboxIsolation.PLAIN)
    yield made
    made.close()


@pytest.mark.parametrize("task", ["needles", "multihop", "aggregation", "pairs"])
def test_reading_without_error_answers_exactly(task: str, sandbox: Sandbox, tmp_path: Path) -> None:
    folder = generate(Spec(task, 40_000, count=12 if task == "aggregation" else 4, unanswerable=0.25), tmp_path)
    texts = folder.texts()
    given = environment(
        sandbox,
        OracleCalls(Oracle(folder)),
        corpus=corpus_of(*texts.values(), titles=list(texts)),
        profile=PROFILE,
        operators=lambda corpus, calls: Operators(corpus, calls, limits=PackLimits(100, 100_000)),
    )
    for question in folder.questions():
        draft = drafted(given, question.text)
        assert score(question, draft.text, declined=draft.status is AnswerStatus.NOT_FOUND) == 1.0, draft
        assert draft.finished
        assert len(draft.evidence) == len(question.evidence)
